"""What the tests of the command line share: calling it in this process, and a small project that trains something."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlproj.cli.app import main

MANIFEST = """\
name: wine
description: Elastic net on the wine quality data
environment: {system: {}}
entry_points:
  train:
    description: Fit, score and save the model
    command: [python, train.py, "{args}"]
    parameters:
      alpha: {type: float, default: 0.5, min: 0, max: 10, description: Regularisation strength}
      solver: {type: str, choices: [cd, sgd], default: cd}
      features: {type: "list[str]", default: []}
      api_key: {type: "secret?", env: WINE_API_KEY, description: For the registry}
    outputs: {model: model/}
  fail:
    description: End with the status 3
    command: [python, -c, "raise SystemExit(3)"]
  wait:
    description: Say that it is ready, and wait to be ended
    command: [python, -c, "import os, signal; print('ready', os.getpid()); signal.pause()"]
    grace_period: 5s
"""

TRAIN = """\
import json, os, sys
from pathlib import Path

alpha = json.loads(Path(os.environ["MLPROJ_PARAMS"]).read_text())["alpha"]
with open(os.environ["MLPROJ_METRICS"], "a") as stream:
    for step in range(3):
        stream.write(json.dumps({"name": "rmse", "value": alpha * (3 - step), "step": step}) + "\\n")
Path("model").mkdir(exist_ok=True)
Path("model/weights.txt").write_text(f"alpha={alpha}")
print("trained", *sys.argv[1:])
print("a warning", file=sys.stderr)
"""


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Answer]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def one_python(own_home: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` is the one that runs the tests, and what is found out about it is found out once."""
    monkeypatch.setenv("MLPROJ_CACHE", str(shared_cache))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("WINE_API_KEY", raising=False)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Call the command line in this process: ten times faster than in one of its own."""

    def call(*arguments: str | Path) -> Answer:
        capfd.readouterr()
        status = main([str(each) for each in arguments])
        sys.stdout.flush()
        captured = capfd.readouterr()
        return Answer(status, captured.out, captured.err)

    yield call
    gc.enable()  # the command line switches it off, for a process that ends soon


@pytest.fixture
def wine(project: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and the folder that the user is in."""
    folder: Path = project(MANIFEST, {"train.py": TRAIN})
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def trained(wine: Path, cli: Cli) -> list[str]:
    """The ids of three runs, oldest first: alpha 0.1, alpha 0.3 (with a name and a tag), and a failed one."""
    ids = [cli("run", "-e", "train", "-P", "alpha=0.1", "--json").json["id"]]
    words = ("-P", "alpha=0.3", "-P", "features=a,b", "--name", "better", "--tag", "stage=candidate")
    ids.append(cli("run", "-e", "train", *words, "--json").json["id"])
    ids.append(cli("run", "-e", "fail", "--experiment", "second", "--json").json["id"])
    return ids


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line in a process of its own, which is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlproj", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def tree() -> Callable[[Path], dict[str, tuple[int, bytes | None]]]:
    """Everything below a folder: path to mode and content."""

    def read(folder: Path) -> dict[str, tuple[int, bytes | None]]:
        paths = sorted(folder.rglob("*"))
        return {
            str(path.relative_to(folder)): (
                path.lstat().st_mode,
                path.read_bytes() if path.is_file() else None,
            )
            for path in paths
        }

    return read


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go to another machine: one with a store of its own."""

    def go() -> Path:
        home = tmp_path / f"home-{len(list(tmp_path.glob('home-*')))}"
        home.mkdir()
        monkeypatch.setenv("MLPROJ_HOME", str(home))
        return home

    return go


@pytest.fixture
def parts(project: Any, cli: Any) -> Callable[..., str]:
    """Record a run of many small files, or of few large ones; gives its id."""

    def run(files: int, size: int) -> str:
        manifest = """
            environment: {system: {}}
            entry_points: {main: {command: [python, write.py], outputs: {parts: parts/}}}
            """
        script = f"""
import os
os.mkdir("parts")
for number in range({files}):
    with open(f"parts/{{number}}.bin", "wb") as stream:
        stream.write(os.urandom({size}))
"""
        return str(cli("run", project(manifest, {"write.py": script}), "--json").json["id"])

    return run


@pytest.fixture
def kill_when_stalled() -> Callable[..., None]:
    """Kill a process once nothing passes any more through the relay with faults that it sends by."""

    def kill(process: subprocess.Popen[str], faults: Any) -> None:
        assert faults.stalled.wait(60), process.poll()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)

    return kill
