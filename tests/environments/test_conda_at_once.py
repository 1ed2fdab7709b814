"""Several that build one conda environment at once, and builders that are killed."""

from __future__ import annotations

import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import builds
from mlproj.errors import EnvironmentBuildError
from tests.environments import conda_channel as conda_files

pytestmark = pytest.mark.usefixtures("own_conda")

# Says a line at each step, and waits for a line on its stdin.
_BUILDER = """
import json, sys
from pathlib import Path
from mlproj import environments
from mlproj.manifest.models import Conda, EnvironmentSpec

spec = EnvironmentSpec(conda=Conda(dependencies=json.loads(sys.argv[2]), channels=json.loads(sys.argv[3])))
print("ready", flush=True)
sys.stdin.readline()
said = []
found = environments.prepare(spec, None, Path(sys.argv[1]), environments.Policy(), said.append)
answer = {"key": found.key, "reused": found.reused, "said": said, "packages": dict(found.packages)}
print(json.dumps(answer), flush=True)
sys.stdin.readline()
"""

Builder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def builder(project: Path) -> Iterator[Builder]:
    started: list[subprocess.Popen[str]] = []

    def start(*dependencies: str, channels: list[str] | None = None) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", _BUILDER, str(project), json.dumps(dependencies), json.dumps(channels or [])]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


class Gate:
    """A server of channels that does not answer what it is told to hold back, and says when that is asked for."""

    def __init__(self) -> None:
        self.held_back = "nothing"
        self.asked, self.open = threading.Event(), threading.Event()
        self.url = ""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if gate.held_back in self.path:
                gate.asked.set()
                gate.open.wait(60)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "channels"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        gate.url = f"http://127.0.0.1:{server.server_port}/mine"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield gate
        gate.open.set()
        server.shutdown()
        thread.join()


def test_six_at_once_build_once(builder: Builder) -> None:
    six = [builder("pear", "fig") for _ in range(6)]
    for process in six:
        go(process)
    answers = [answer(process) for process in six]
    assert len({found["key"] for found in answers}) == 1
    assert sum(not found["reused"] for found in answers) == 1
    assert sum("installing 4 packages" in found["said"] for found in answers) == 1
    assert [one.in_use for one in environments.list_environments()] == [True]
    assert any("waiting for another mlproj that prepares this environment" in found["said"] for found in answers)


@pytest.mark.parametrize("stage", ["repodata", ".conda"])
def test_a_builder_killed_leaves_nothing_that_is_used(
    stage: str, builder: Builder, conda: Any, gate: Gate, own_channel: Callable[..., str], cache: Path
) -> None:
    own_channel("mine", "apple 1.0")
    gate.held_back = stage
    killed = builder("apple", channels=[gate.url])
    go(killed)
    assert gate.asked.wait(30)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    gate.open.set()

    assert environments.list_environments() == []
    found = conda.prepare("apple", channels=[gate.url])
    assert not found.reused and found.packages == {"apple": "1.0"}
    assert list((cache / "scratch").iterdir()) == []


def test_a_builder_killed_in_a_post_link_script_leaves_nothing_that_is_used(
    conda: Any, cache: Path, tmp_path: Path
) -> None:
    folder, pipe = tmp_path / "kiwi", tmp_path / "pipe"
    os.mkfifo(pipe)
    script = f"[ -e {pipe} ] || exit 0\necho $$ > {pipe}\nexec sleep 60\n".encode()
    conda_files.write_package(folder, "kiwi", "1.0", {"bin/.kiwi-post-link.sh": script, "share/kiwi": b"kiwi"})
    conda_files.index_channel(folder)
    text = _BUILDER.replace("Conda(", "Conda(post_link_scripts=True, ")
    argv = [sys.executable, "-c", text, str(conda.folder), '["kiwi"]', json.dumps([f"file://{folder}"])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        go(killed)
        with pipe.open() as stream:
            script_id = int(stream.read())
        key = conda.plan("kiwi", channels=[f"file://{folder}"], post_link_scripts=True).key
        # While it is built, it is not there for anybody.
        assert builds.open_built(cache, key) is None
        killed.kill()
        killed.wait()
    os.kill(script_id, signal.SIGKILL)
    pipe.unlink()

    assert environments.list_environments() == []
    conda.prepare("fig")
    assert not (cache / "environments" / key).is_symlink()
    found = conda.prepare("kiwi", channels=[f"file://{folder}"], post_link_scripts=True)
    assert not found.reused and found.packages == {"kiwi": "1.0"} and not found.folder.is_symlink()


def test_an_interrupt_ends_it_at_once(conda: Any, gate: Gate, own_channel: Callable[..., str], cache: Path) -> None:
    own_channel("mine", "apple 1.0")
    gate.held_back = ".conda"
    text = f"environment: {{conda: {{dependencies: [apple], channels: ['{gate.url}']}}}}\nentry_points: {{main: {{command: 'true'}}}}\n"
    (conda.folder / "mlproj.yaml").write_text(text)
    argv = [sys.executable, "-m", "mlproj", "run", str(conda.folder)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as interrupted:
        assert gate.asked.wait(30)
        interrupted.send_signal(signal.SIGINT)
        _, said = interrupted.communicate(timeout=10)
    assert interrupted.returncode != 0 and "Traceback" not in said
    assert list((cache / "scratch").iterdir()) == [] and environments.list_environments() == []


@pytest.mark.parametrize(("held_back", "said"), [("repodata", "have not answered within"), (".conda", "nothing came")])
def test_a_channel_that_says_nothing_is_not_waited_for_for_ever(
    conda: Any, gate: Gate, own_channel: Callable[..., str], monkeypatch: pytest.MonkeyPatch, held_back: str, said: str
) -> None:
    from mlproj.environments.prefixes import packages, solving

    own_channel("mine", "apple 1.0")
    gate.held_back = held_back
    monkeypatch.setattr(solving, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(solving, "_LIMIT_S", 0.1 if held_back == "repodata" else 60)
    monkeypatch.setattr(packages, "_STALLED_S", 0.1)
    with pytest.raises(EnvironmentBuildError, match=said):
        conda.prepare("apple", channels=[gate.url])
    assert held_back != "repodata" or "waiting for the channels' answers, and for the solver" in conda.said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of its own for the cache, of the size that is asked for."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if os.path.ismount(folder) else ""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{again}{options}", "tmpfs", str(folder)])
        if done.returncode != 0:
            answer = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            answer("no file system can be mounted here")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_and_a_cache_that_cannot_be_written(
    conda: Any, small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "large"
    conda_files.write_package(folder, "melon", "1.0", {"share/melon": os.urandom(4_000_000)})
    conda_files.index_channel(folder)
    monkeypatch.setenv("MLPROJ_CACHE", str(small_disk("size=2m") / "cache"))
    with pytest.raises(EnvironmentBuildError, match="No space left on device"):
        conda.prepare("melon", channels=[f"file://{folder}"])
    assert environments.list_environments() == []
    small_disk("size=50m")
    assert conda.prepare("melon", channels=[f"file://{folder}"]).packages == {"melon": "1.0"}

    small_disk("ro")
    assert conda.prepare_unheld("melon", channels=[f"file://{folder}"]).reused
    with pytest.raises(EnvironmentBuildError, match="Read-only file system"):
        conda.prepare("fig")


def test_an_environment_in_use_is_not_removed(builder: Builder, cache: Path) -> None:
    user = builder("fig")
    go(user)
    key = answer(user)["key"]
    assert environments.prune().in_use == (key,)
    user.kill()
    user.wait()
    assert environments.prune().removed == (key,)


def test_a_cache_that_lost_files_is_mended(conda: Any, cache: Path) -> None:
    conda.prepare("plum")
    environments.prune()
    (kept,) = (cache / "conda" / "packages").glob("*/plum-1.0-0/share/plum")
    # As a run does that writes into a file of its environment, which is the cache's as well.
    kept.write_text("spoiled\n")
    found = conda.prepare("plum")
    assert (found.folder / "share" / "plum").read_text() == "plum\n"
