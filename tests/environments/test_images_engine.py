"""Finding the engine as the docker command does, and what is said when it cannot be had."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlproj.environments.images.addresses import named_address, usual_addresses
from mlproj.environments.images.engine import (
    Engine,
    connect,
    connect_to,
    engine_errors,
    engine_platform,
    is_rootless,
    shares_folders,
)
from mlproj.environments.images.over_ssh import ssh_words
from mlproj.errors import EnvironmentBuildError
from tests.docker_engine import PYTHON_IMAGE, Relay, missing

VARIABLES = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
)


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker command's folder, empty, and no variable that says anything."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "docker-configuration"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


def add_context(configuration: Path, name: str, host: str, tls: bool = False) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = configuration / "contexts" / "meta" / digest / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    if tls:
        (configuration / "contexts" / "tls" / digest / "docker").mkdir(parents=True)


def use_context(configuration: Path, name: str) -> None:
    (configuration / "config.json").write_text(json.dumps({"currentContext": name}))


def test_nobody_names_an_engine(configuration: Path) -> None:
    assert named_address() is None
    use_context(configuration, "default")
    assert named_address() is None


def test_the_variable_goes_before_contexts(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(configuration, "desk", "unix:///desk.sock")
    use_context(configuration, "desk")
    monkeypatch.setenv("DOCKER_HOST", "127.0.0.1:2375")

    address = named_address()

    assert address is not None
    assert (address.url, address.certificates) == ("tcp://127.0.0.1:2375", None)


def test_a_context_is_named_by_variable_or_configuration(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(configuration, "desk", "unix:///desk.sock")
    add_context(configuration, "server", "tcp://server:2376", tls=True)
    use_context(configuration, "desk")

    desk = named_address()
    monkeypatch.setenv("DOCKER_CONTEXT", "server")
    server = named_address()

    assert desk is not None
    assert server is not None
    assert desk.socket == Path("/desk.sock")
    assert server.socket is None
    assert server.certificates is not None
    assert server.verify


def test_a_context_that_is_not_there_is_told(configuration: Path) -> None:
    use_context(configuration, "gone")

    with pytest.raises(EnvironmentBuildError, match="no Docker context `gone`") as caught:
        connect()

    assert "docker context ls" in str(caught.value.hint)


def test_certificates_are_where_the_docker_command_looks(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://server:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    address = named_address()
    assert address is not None
    assert address.certificates == configuration

    monkeypatch.setenv("DOCKER_CERT_PATH", "/certificates")
    address = named_address()
    assert address is not None
    assert (address.certificates, address.verify) == (Path("/certificates"), True)


def test_engines_are_looked_for_where_they_usually_are(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/77")

    urls = [address.url for address in usual_addresses()]

    assert urls[:2] == ["unix:///var/run/docker.sock", "unix:///run/user/77/docker.sock"]
    assert urls[-2:] == ["unix:///run/user/77/podman/podman.sock", "unix:///run/podman/podman.sock"]


def test_a_socket_that_is_not_there(configuration: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")

    with pytest.raises(EnvironmentBuildError, match=r"none\.sock \(named by DOCKER_HOST\) is not there") as caught:
        connect()

    assert "start Docker or Podman" in str(caught.value.hint)
    assert caught.value.exit_status == 125


def test_an_engine_that_is_down(configuration: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "old.sock"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/old.sock")

    with pytest.raises(EnvironmentBuildError, match="is not running"):
        connect()


def test_nothing_listens_at_an_address(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{probe.getsockname()[1]}")

        with pytest.raises(EnvironmentBuildError, match="does not answer") as caught:
            connect()

    assert "docker version" in str(caught.value.hint)

    assert "does not answer: Connection refused" in caught.value.message


@pytest.mark.parametrize(
    "host",
    [
        "tcp://127.0.0.1:99999",
        "tcp://[::1",
        "tcp://",
        "tcp://host",
        "127.0.0.1:x",
        "ssh://[::1",
        "npipe://x",
        "unix://",
    ],
)
def test_what_can_be_no_engines_address_is_told(
    host: str, configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)

    with pytest.raises(EnvironmentBuildError, match="no Docker engine can be at .*, which DOCKER_HOST names") as caught:
        connect()

    assert "tcp://host:2376" in str(caught.value.hint)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_no_permission_on_the_socket(configuration: Path, tmp_path: Path) -> None:
    # Where everybody gets to, so that the socket itself is what refuses.
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "engine.sock"))
            listening.listen()
            (folder / "engine.sock").chmod(0o600)
            # All is imported before, as the other user may not read this Python.
            script = (
                "import os, docker\n"
                "import mlproj.environments.images.engine as engine\n"
                "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
                "try: engine.connect()\n"
                "except engine.EnvironmentBuildError as error: print(error)\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                env={**os.environ, "DOCKER_HOST": f"unix://{folder}/engine.sock"},
            )
    finally:
        shutil.rmtree(folder)
    assert "no permission to use the Docker engine" in done.stdout, done.stderr
    assert "usermod -aG docker" in done.stdout


Answer = Callable[[bytes], bytes]
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@pytest.fixture
def answering(
    tmp_path: Path, configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Answer], None]]:
    """Starts something that takes requests on a socket and gives the answers it is told to; DOCKER_HOST names it."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "answering.sock"))
    listening.listen()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/answering.sock")

    def start(answer: Answer) -> None:
        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    if request := connection.recv(65536):
                        connection.sendall(answer(request))

        threading.Thread(target=serve, daemon=True).start()

    yield start
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_an_engine_that_is_too_old(answering: Callable[[Answer], None]) -> None:
    answering(lambda _: b"HTTP/1.1 200 OK\r\nApi-Version: 1.26\r\nContent-Length: 2\r\n\r\nOK")

    with pytest.raises(EnvironmentBuildError, match=r"version 1\.26 of its API, and mlproj needs 1\.30") as caught:
        connect()

    assert "update it" in str(caught.value.hint)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"HELLO\r\n\r\n", PLAIN]
)
def test_what_answers_is_no_engine(answering: Callable[[Answer], None], answer: bytes) -> None:
    answering(lambda _: answer)

    with pytest.raises(EnvironmentBuildError, match="does not answer"):
        connect()


def test_an_engine_that_dies_in_between(engine: Engine, tmp_path: Path) -> None:
    good = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "dying.sock"))
        listening.listen()

        def serve_once() -> None:
            for answer in (b"", good):  # the first connection is the look whether somebody is there
                connection, _ = listening.accept()
                with connection:
                    if answer:
                        connection.recv(65536)
                        connection.sendall(answer)

        serving = threading.Thread(target=serve_once, daemon=True)
        serving.start()
        found = connect_to(f"unix://{tmp_path}/dying.sock")
        serving.join()

    with pytest.raises(EnvironmentBuildError, match="does not answer"), engine_errors(found.address):
        found.client.info()


def test_the_engine_of_this_machine(engine: Engine, tmp_path: Path) -> None:
    again = connect_to(engine.url)

    assert engine_platform(again) == f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine] }"
    assert not is_rootless(again)
    assert shares_folders(again, PYTHON_IMAGE, tmp_path)


def test_an_engine_behind_an_address_is_asked_whether_it_sees_folders(
    engine: Engine, relay: Relay, tmp_path: Path, configuration: Path
) -> None:
    behind = connect_to(relay.url)

    assert shares_folders(behind, PYTHON_IMAGE, tmp_path)
    # What this machine sees and the engine does not: a file system that only this process has.
    assert not shares_folders(behind, PYTHON_IMAGE, private_folder())
    assert not engine.client.containers(all=True, filters={"label": f"mlproj.probe={os.getpid()}"})


SHARED = """
import sys
from pathlib import Path
from mlproj.environments.images.engine import connect_to, shares_folders
scratch = Path(sys.argv[3])
for _ in range(2):
    print(shares_folders(connect_to(sys.argv[1]), sys.argv[2], scratch), len(list(scratch.glob("recalled/*.seen"))))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can have mounts of its own")
def test_an_engine_that_has_not_this_process_s_mounts_is_asked_once_whether_it_sees_folders(
    engine: Engine, tmp_path: Path
) -> None:
    if engine.address.socket is None or shutil.which("unshare") is None:
        pytest.skip("no engine with a socket, or no `unshare`")
    words = [sys.executable, "-c", SHARED, engine.url, PYTHON_IMAGE, str(tmp_path)]
    apart = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "sh", str(tmp_path)]

    same = subprocess.run(words, capture_output=True, text=True, check=True)
    own = subprocess.run([*apart, *words], capture_output=True, text=True)
    same_folder = subprocess.run(["unshare", "--mount", *words], capture_output=True, text=True)
    if own.returncode != 0 and "unshare" in own.stderr:
        pytest.skip(f"no mounts of its own here: {own.stderr}")

    assert same.stdout == "True 0\nTrue 0\n"
    assert own.stdout == "False 1\nFalse 1\n", own.stderr
    assert same_folder.stdout == "True 1\nTrue 1\n", same_folder.stderr


def private_folder() -> Path:
    """A folder of a process's own, under a path that other processes do not see as a folder."""
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    # Through /proc/self each process gets to its own.
    return Path(f"/proc/self/fd/{descriptor}/tmp")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://server", ["--", "server", "docker system dial-stdio"]),
        ("ssh://me@server:2222", ["-l", "me", "-p", "2222", "--", "server", "docker system dial-stdio"]),
    ],
)
def test_an_engine_over_ssh_is_reached_by_the_ssh_command(url: str, words: list[str]) -> None:
    assert ssh_words(url)[-len(words) :] == words


@pytest.mark.parametrize(
    "url", ["ssh://-oProxyCommand=x", "ssh://", "ssh://server:port", "ssh://server/path", "ssh://-l@h"]
)
def test_what_is_no_machine_to_reach_is_refused(url: str) -> None:
    with pytest.raises(EnvironmentBuildError, match="no Docker engine can be at"):
        ssh_words(url)


@pytest.fixture
def ssh_to_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that reaches this machine: what stands behind every server's name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text('#!/bin/bash\nwhile [ "$1" != -- ]; do shift; done\nshift 2\nexec bash -c "$*"\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_an_engine_over_ssh_answers(engine: Engine, ssh_to_here: Path, tmp_path: Path) -> None:
    if shutil.which("docker") is None:
        missing("no docker command")
    far = connect_to("ssh://me@server")

    assert far.client.inspect_image(PYTHON_IMAGE)["Id"] == engine.client.inspect_image(PYTHON_IMAGE)["Id"]
    assert shares_folders(far, PYTHON_IMAGE, tmp_path)


def test_an_engine_over_ssh_that_cannot_be_reached(
    configuration: Path, ssh_to_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ssh_to_here / "ssh").write_text("#!/bin/sh\nexit 255\n")
    monkeypatch.setenv("DOCKER_HOST", "ssh://server")

    with pytest.raises(EnvironmentBuildError, match="ssh://server .*does not answer"):
        connect()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, and what it vouches for: a server at 127.0.0.1, and a client."""
    if shutil.which("openssl") is None:
        missing("no openssl")
    folder = tmp_path / "certificates"
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=authority")
    for name, keyfile in (("server", "server-key.pem"), ("cert", "key.pem")):
        openssl("req", *key, "-keyout", keyfile, "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem"),
            *("-out", f"{name}.pem", "-extfile", "names", "-set_serial", str(len(name))),
        )
    return folder


def test_an_engine_behind_tls_is_shown_the_callers_certificate(
    engine: Engine, certificates: Path, configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    behind = Relay(engine, context)
    monkeypatch.setenv("DOCKER_HOST", behind.url)
    try:
        with pytest.raises(EnvironmentBuildError, match="does not answer"):
            connect()
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))

        found = connect()

        assert found.client.inspect_image(PYTHON_IMAGE)["Id"] == engine.client.inspect_image(PYTHON_IMAGE)["Id"]
        assert connect_to(found.url).client.inspect_image(PYTHON_IMAGE)
    finally:
        behind.cut()
