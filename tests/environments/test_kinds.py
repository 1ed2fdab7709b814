"""One `hello` project in every kind of environment: the same records, exit statuses and messages."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlproj.files import sha256_of_text
from tests.docker_engine import PYTHON_IMAGE

HELLO = "import sys\nprint('hello ' * int(sys.argv[1]))\n"
MANIFEST = """
environment: {environment}
entry_points:
  main:
    command: [python3, hello.py, "{{times}}"]
    parameters: {{times: {{type: int, default: 2}}}}
"""
ALL = ("virtualenv", "conda", "docker", "system")
BUILT = ("virtualenv", "conda", "docker")
LOCKS = {"virtualenv": "pylock.toml", "conda": "conda-lock.yml", "docker": "mlproj.lock"}


@dataclass(frozen=True)
class Hello:
    """The project, in one kind of environment."""

    kind: str
    folder: Path
    declare: Callable[[str], None]

    def run(self, *options: str) -> tuple[int, dict[str, Any], str]:
        """Exit status, record and all that was said."""
        done = self.start(*options, "--json")
        out, err = done.communicate(timeout=120)
        return done.returncode, json.loads(out) if out else {}, err

    def start(self, *options: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "mlproj", "run", str(self.folder), *options]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(argv, text=True, **pipes)


@pytest.fixture
def hello(request: pytest.FixtureRequest, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hello:
    kind: str = request.param
    (project / "hello.py").write_text(HELLO)
    declared = {
        "virtualenv": "{virtualenv: {dependencies: [apple]}}",
        "conda": "{conda: {channels: [conda-forge], dependencies: [python, apple]}}",
        "docker": "{docker: {build: .}}",
        "system": "{system: {}}",
    }
    if kind == "docker":
        request.getfixturevalue("engine")
        nonce = request.getfixturevalue("nonce")
        (project / "Dockerfile").write_text(f"FROM {PYTHON_IMAGE}\nRUN sleep 0.5 && echo {nonce} > /nonce\n")
    if kind == "conda":
        alias = request.getfixturevalue("conda_channel")
        (tmp_path / "condarc").write_text(f"channel_alias: file://{alias}\n")
        monkeypatch.setenv("CONDARC", str(tmp_path / "condarc"))

    def declare(environment: str) -> None:
        (project / "mlproj.yaml").write_text(MANIFEST.format(environment=environment))

    declare(declared[kind])
    return Hello(kind, project, declare)


def each(*kinds: str) -> Any:
    return pytest.mark.parametrize("hello", kinds, indirect=True)


def built(mlproj: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(mlproj("envs", "--json").stdout)
    return found


@each(*ALL)
def test_cold_and_warm(hello: Hello, mlproj: Any, tmp_path: Path) -> None:
    status, record, said = hello.run("-P", "times=3")
    assert (status, record["status"]) == (0, "finished"), said
    assert "hello hello hello" in said
    environment = record["environment"]
    assert (environment["kind"], bool(environment["key"]), bool(environment["platform"])) == (hello.kind, True, True)
    kept = tmp_path / "home" / "runs" / record["id"]
    if hello.kind == "system":
        assert (environment["lock"], environment["managed_by"]) == (None, "the caller")
    else:
        assert (environment["lock"], environment["managed_by"]) == (LOCKS[hello.kind], "mlproj")
        assert sha256_of_text((kept / environment["lock"]).read_text()) == environment["lock_sha256"]
        assert [(one["kind"], one["key"]) for one in built(mlproj)] == [(hello.kind, environment["key"])]
    if hello.kind in ("virtualenv", "conda"):
        assert "apple" in environment["packages"]

    status, again, said = hello.run()
    assert (status, again["environment"]) == (0, environment)
    assert set(again) == set(record)
    assert not [word for word in ("resolving", "installing", "building") if word in said], said


@each(*BUILT)
def test_locked(hello: Hello, mlproj: Any) -> None:
    status, _, said = hello.run("--locked")
    assert status == 125, said
    assert LOCKS[hello.kind] in said
    assert "mlproj lock" in said
    assert mlproj("lock", hello.folder).returncode == 0
    assert (hello.folder / LOCKS[hello.kind]).is_file()
    status, record, said = hello.run("--locked")
    assert (status, record["status"]) == (0, "finished"), said
    status, again, said = hello.run("--frozen")
    assert (status, again["environment"]["key"]) == (0, record["environment"]["key"]), said
    before = (hello.folder / LOCKS[hello.kind]).read_bytes()
    assert mlproj("lock", hello.folder).returncode == 0
    assert (hello.folder / LOCKS[hello.kind]).read_bytes() == before


@each("system")
def test_what_is_not_built_has_no_lock(hello: Hello, mlproj: Any) -> None:
    assert hello.run("--locked")[0] == 2
    assert mlproj("lock", hello.folder).returncode == 2
    assert hello.run("--frozen")[0] == 2


@each(*BUILT)
def test_killed_while_building(hello: Hello, mlproj: Any) -> None:
    process = hello.start()
    assert process.stderr is not None
    # A tiny virtualenv is installed before this hears of it.
    phrases = {"virtualenv": "resolving", "conda": "installing", "docker": "building"}
    while (line := process.stderr.readline()) and phrases[hello.kind] not in line:
        pass
    assert line, "it was never built"
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in family:
        one.send_signal(signal.SIGKILL)
    process.communicate()
    assert built(mlproj) == []
    status, record, said = hello.run()
    assert (status, record["status"]) == (0, "finished"), said
    assert [one["key"] for one in built(mlproj)] == [record["environment"]["key"]]
    kept = json.loads(mlproj("runs", "--json").stdout)
    assert sorted(one["status"] for one in kept) == ["finished", "lost"]


@each(*BUILT)
def test_two_at_once_build_once(hello: Hello, mlproj: Any) -> None:
    both = [hello.start("--json") for _ in range(2)]
    ended = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    keys = {json.loads(out)["environment"]["key"] for out, _ in ended}
    assert [one["key"] for one in built(mlproj)] == list(keys)
    assert "".join(err for _, err in ended).count("waiting for another mlproj") == 1


@pytest.mark.parametrize(
    ("hello", "environment", "status", "said"),
    [
        ("virtualenv", "{virtualenv: {dependencies: [no-such-thing]}}", 125, "no-such-thing"),
        ("conda", "{conda: {channels: [conda-forge], dependencies: [no-such-thing]}}", 125, "no-such-thing"),
        ("docker", "{docker: {image: no-such-thing, pull: never}}", 125, "no-such-thing"),
        ("virtualenv", "{virtualenv: {dependencie: []}}", 2, "Did you mean `dependencies`?"),
        ("conda", "{conda: {dependencie: []}}", 2, "Did you mean `dependencies`?"),
        ("docker", "{docker: {imag: x}}", 2, "Did you mean `image`?"),
        ("system", "{system: {imag: x}}", 2, "unknown key `imag`"),
    ],
    indirect=["hello"],
)
def test_a_bad_specification(hello: Hello, mlproj: Any, environment: str, status: int, said: str) -> None:
    hello.declare(environment)
    found, _, told = hello.run()
    assert (found, said in told, "Traceback" in told) == (status, True, False), told
    assert built(mlproj) == []
    kept = json.loads(mlproj("runs", "--json").stdout)
    # From the moment that the command line and the manifest are right, a run is recorded.
    assert [(one["status"], one["exit_status"]) for one in kept] == ([("failed", 125)] if status == 125 else [])


@each(*BUILT)
def test_removing(hello: Hello, mlproj: Any) -> None:
    _, record, _ = hello.run()
    assert built(mlproj)[0]["size"] > 0
    assert str(hello.folder) in built(mlproj)[0]["projects"]
    assert mlproj("envs", "remove", record["environment"]["key"][:12]).returncode == 0
    assert built(mlproj) == []
    status, again, said = hello.run()
    assert (status, again["environment"]["key"]) == (0, record["environment"]["key"]), said
    assert mlproj("envs", "prune").returncode == 0
    assert built(mlproj) == []


@each(*BUILT)
def test_a_dry_run_builds_nothing(hello: Hello, mlproj: Any) -> None:
    done = mlproj("run", hello.folder, "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert (done.returncode, plan["environment"]["kind"], plan["environment"]["built"]) == (0, hello.kind, False)
    assert built(mlproj) == []
    _, record, _ = hello.run()
    plan = json.loads(mlproj("run", hello.folder, "--dry-run", "--json").stdout)
    assert (plan["environment"]["key"], plan["environment"]["built"]) == (record["environment"]["key"], True)
