"""A real Docker engine for tests, its images, and registries of their own.

Where there is none, tests skip with what is missing; on CI (``CI=true``), where ``scripts/ci-docker`` started one, they
fail. Test modules import the fixtures that they use.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import io
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import docker.errors
import pytest

from mlproj import environments
from mlproj.environments.images.engine import Engine, connect
from mlproj.errors import MlprojError

PYTHON_IMAGE = os.environ.get("MLPROJ_TEST_IMAGE", "mlproj-test/python:1")
R_IMAGE = os.environ.get("MLPROJ_TEST_R_IMAGE", "mlproj-test/r:1")


def missing(reason: str) -> NoReturn:
    """Skip the test, or on CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}: `scripts/ci-docker start` makes it")
    pytest.skip(f"{reason} (`scripts/ci-docker start` makes it)")


@pytest.fixture
def engine(own_home: Path) -> Iterator[Engine]:
    """The engine, with the images of the tests. What mlproj builds and pulls in the test is removed after it."""
    try:
        found = connect()
    except MlprojError as error:
        missing(f"no Docker engine: {error.message}")
    for image in (PYTHON_IMAGE, R_IMAGE):
        if not found.client.images(image):
            missing(f"the engine has no image {image}")
    yield found
    environments.prune()
    found.client.close()


@pytest.fixture
def nonce() -> str:
    """Something to put into a Dockerfile, so that no other test's image is the same."""
    return secrets.token_hex(8)


def image_ids(engine: Engine, label: str) -> set[str]:
    """The images that have a label."""
    return {each["Id"] for each in engine.client.images(filters={"label": label})}


def remove_names(engine: Engine, beginning: str) -> None:
    """Remove every name and digest that begins so from the engine's images, and those that are left without one."""
    for image in engine.client.images():
        for reference in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
            if reference.startswith(beginning):
                # With the last tag the digests go.
                with contextlib.suppress(docker.errors.NotFound):
                    engine.client.remove_image(reference, force=True)


@pytest.fixture
def small(engine: Engine, nonce: str) -> Iterator[Callable[[str], str]]:
    """Makes images of one file, quick to push, and gives their references, which are on this engine alone."""

    def make(content: str) -> str:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
        reference = f"mlproj-test/small-{nonce}:{content}"
        answer = engine.client.import_image_from_data(
            tar.getvalue(), repository=reference.partition(":")[0], tag=content
        )
        assert "error" not in answer, answer
        return reference

    yield make
    remove_names(engine, f"mlproj-test/small-{nonce}")


class Relay:
    """An address at which the engine answers, until the line is cut.

    Once ``asked_for`` is in a request, which ``was_asked`` says, no answer comes before ``answer`` is called.
    """

    asked_for = b""

    def __init__(self, engine: Engine, tls: ssl.SSLContext | None = None) -> None:
        self.path = str(engine.address.socket)
        self.tls = tls
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self.listening.getsockname()[1]}"
        self.open: list[socket.socket] = [self.listening]
        self.was_asked, self.answering = threading.Event(), threading.Event()
        self.answering.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self) -> None:
        """Let through what the engine answers."""
        self.answering.set()

    def cut(self) -> None:
        """Break off what goes on, and answer nobody any more."""
        for each in self.open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            if self.tls is not None:
                try:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                except OSError:
                    continue
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(self.path)
            self.open += [connection, behind]
            for pair, passing in (((connection, behind), self._see), ((behind, connection), self._hold)):
                threading.Thread(target=_copy, args=(*pair, passing), daemon=True).start()

    def _see(self, request: bytes) -> None:
        if self.asked_for and self.asked_for in request:
            self.answering.clear()
            self.was_asked.set()

    def _hold(self, _: bytes) -> None:
        self.answering.wait(60)


def _copy(source: socket.socket, target: socket.socket, passing: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            passing(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(engine: Engine) -> Iterator[Relay]:
    """The engine behind an address, as one on another machine is."""
    if engine.address.socket is None:
        pytest.skip("the engine is not on this machine")
    made = Relay(engine)
    yield made
    made.cut()


@dataclass(frozen=True)
class Registry:
    """A registry of images on this machine. ``push`` puts an image that is here into it and gives its digest."""

    address: str
    user: str | None
    password: str | None
    engine: Engine

    def push(self, image: str, name: str) -> str:
        reference = f"{self.address}/{name}"
        client = self.engine.client
        client.tag(image, reference)
        login = {"username": self.user, "password": self.password} if self.user else None
        answers = list(client.push(reference, auth_config=login, stream=True, decode=True))
        assert not [each for each in answers if "error" in each], answers
        digest = next(each["aux"]["Digest"] for each in answers if "aux" in each)
        self.forget(name)
        return str(digest)

    def forget(self, name: str) -> None:
        """Remove an image of the registry from the engine, under every name and digest that it has there."""
        remove_names(self.engine, f"{self.address}/{name.partition(':')[0]}")

    def move(self, image: str, name: str) -> str:
        """Have a name in the registry mean another image, and on the engine what it means there; gives the digest."""
        client, reference = self.engine.client, f"{self.address}/{name}"
        before = [each["Id"] for each in client.images(reference)]
        client.tag(image, reference)
        answers = list(client.push(reference, stream=True, decode=True))
        client.remove_image(reference)
        for identifier in before:
            client.tag(identifier, reference)
        return str(next(each["aux"]["Digest"] for each in answers if "aux" in each))

    def login(self, folder: Path) -> None:
        """Write the configuration that `docker login` leaves behind."""
        word = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"auths": {self.address: {"auth": word}}}))


@pytest.fixture
def start_registry(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    """Starts registries, each on a port of its own; with a user and a password one that nobody else may use."""
    started: list[tuple[subprocess.Popen[bytes], Registry]] = []

    def start(user: str | None = None, password: str | None = None) -> Registry:
        program = shutil.which("docker-registry")
        if program is None:
            missing("no docker-registry")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        folder = tmp_path / f"registry-{len(started)}"
        folder.mkdir()
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": True}},
            "http": {"addr": address},
        }
        if user is not None:
            (folder / "users").write_text(_bcrypt_line(user, password or ""))
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "users")}}
        (folder / "config.yml").write_text(json.dumps(settings))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        registry = Registry(address, user, password, engine)
        started.append((process, registry))
        _wait_for(address, process, folder / "log")
        return registry

    yield start
    for process, registry in started:
        process.terminate()
        process.wait(timeout=30)
        remove_names(engine, registry.address)


@pytest.fixture
def registry(start_registry: Callable[..., Registry]) -> Registry:
    """A registry that everybody may use."""
    return start_registry()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"the registry does not come up: {log.read_text()}")


def _bcrypt_line(user: str, password: str) -> str:
    # The registry takes bcrypt alone, which the standard library has not: of the C library, by Perl's crypt.
    salt = (
        "$2y$05$"
        + "".join(secrets.choice("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") for _ in range(21))
        + "e"
    )
    done = subprocess.run(
        ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, salt], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("$2y$"), "the C library has no bcrypt"
    return f"{user}:{done.stdout}\n"


@pytest.fixture
def stand_in(engine: Engine) -> Iterator[Callable[[str, str], None]]:
    """Gives an image the name of a public one, where the engine has not that one itself: no registry is asked."""
    given: list[str] = []

    def give(image: str, name: str) -> None:
        if not engine.client.images(name):
            engine.client.tag(image, name)
            given.append(name)

    # The names are the engine's: another test process would take them away from one that still uses them.
    with (Path(tempfile.gettempdir()) / "mlproj-tests-stand-ins.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield give
        for name in given:
            remove_names(engine, name)


@pytest.fixture
def public_images(engine: Engine, stand_in: Callable[[str, str], None]) -> Iterator[None]:
    """The public images that the examples are of, where the engine has not those themselves by ours."""
    stand_in(R_IMAGE, "r-base:4.4.1")
    stand_in(PYTHON_IMAGE, "python:3.12-slim")
    had = engine.client.images("mlflow-docker-example")
    yield
    # It takes most of a minute to build: on CI's machines, which are thrown away, it stays for the next test.
    if not had and os.environ.get("CI") != "true":
        remove_names(engine, "mlflow-docker-example")
