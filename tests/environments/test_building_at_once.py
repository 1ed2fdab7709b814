"""Several that build, use and remove one environment at once, and builders that are killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import Policy, builds
from mlproj.manifest.models import EnvironmentSpec, Virtualenv

# Says a line at each step, and waits where a test wants it to: for a line on its stdin.
_BUILDER = """
import json, sys
from pathlib import Path
from mlproj import environments
from mlproj.manifest.models import EnvironmentSpec, Virtualenv

spec = EnvironmentSpec(virtualenv=Virtualenv(dependencies=json.loads(sys.argv[2])))
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

    def start(*dependencies: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _BUILDER, str(project), json.dumps(dependencies)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
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


def wait_for_the_end_of(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = bool(select.select([descriptor], [], [], 30)[0])
        if not ended:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert ended, f"process {pid} was still there"
    finally:
        os.close(descriptor)


def test_eight_at_once_build_once(builder: Builder, source_project: Callable[..., Path], project: Path) -> None:
    source_project(project / "fig", "fig", requires=["pear"])
    eight = [builder("./fig") for _ in range(8)]
    for process in eight:
        go(process)
    answers = [answer(process) for process in eight]
    assert len({found["key"] for found in answers}) == 1
    assert sum(not found["reused"] for found in answers) == 1
    assert sum("installing 3 packages" in found["said"] for found in answers) == 1
    # All eight are still in it, and none of the others waited for the first to leave.
    assert [one.in_use for one in environments.list_environments()] == [True]
    waiting = [found for found in answers if found["reused"]]
    assert all(found["packages"] == {"apple": "2.0", "fig": "1.0", "pear": "1.0"} for found in waiting)
    assert any("waiting for another mlproj that prepares this environment" in found["said"] for found in waiting)


def test_projects_that_share_a_key_build_it_once(
    builder: Builder, asking: Any, project: Path, tmp_path: Path, cache: Path
) -> None:
    from mlproj.locks import exclusive

    # Another project's builder is at work on the very key that this one will come to.
    key = asking.plan(dependencies=["pear"]).key
    said: list[str] = []
    first = builder("pear")
    with exclusive(builds.build_lock(cache, key)):
        go(first)
        second = tmp_path / "second"
        second.mkdir()
        assert not builds.environment_folder(cache, key).exists()
    spec = EnvironmentSpec(virtualenv=Virtualenv(dependencies=["pear", "apple"]))
    found = environments.prepare(spec, None, second, Policy(), said.append)
    assert found.key == key == answer(first)["key"]
    assert found.held is not None
    found.held.release()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes by their descriptors")
@pytest.mark.parametrize("stage", ["resolving", "installing"])
def test_a_builder_killed_leaves_nothing_that_is_used(
    stage: str,
    builder: Builder,
    asking: Any,
    project: Path,
    tmp_path: Path,
    cache: Path,
    source_project: Callable[..., Path],
) -> None:
    source_project(project / "fig", "fig")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    killed = builder("./fig", TEST_BLOCK=stage, TEST_PIPE=str(pipe))
    go(killed)
    with pipe.open() as stream:
        backend = int(stream.read())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    wait_for_the_end_of(backend)

    assert environments.list_environments() == []
    found = asking.prepare(dependencies=["./fig"])
    assert not found.reused and found.packages == {"fig": "1.0"}
    assert list((cache / "scratch").iterdir()) == []


def test_an_environment_in_use_is_not_removed(builder: Builder, cache: Path) -> None:
    user = builder("pear")
    go(user)
    key = answer(user)["key"]
    assert environments.prune().in_use == (key,)
    with pytest.raises(environments_error(), match="in use by a live run"):
        environments.remove(key)
    assert builds.environment_folder(cache, key).is_dir()

    user.kill()
    user.wait()
    removal = environments.prune()
    assert removal.removed == (key,) and removal.freed > 0
    assert not builds.environment_folder(cache, key).exists()


def environments_error() -> type[Exception]:
    from mlproj.errors import UsageError

    return UsageError


def test_users_and_removers_at_once(builder: Builder, asking: Any, cache: Path) -> None:
    key = asking.prepare(dependencies=["pear"]).key
    users = [builder("pear") for _ in range(4)]
    for user in users:
        go(user)
        environments.prune()
    # Whoever came first each time: everybody has it, and it is whole.
    assert {answer(user)["key"] for user in users} == {key}
    assert builds.read_record(builds.environment_folder(cache, key)) is not None
    environments.prune()
    assert builds.read_record(builds.environment_folder(cache, key)) is not None


def test_a_scratch_folder_of_a_dead_process_goes_with_the_next_command(asking: Any, cache: Path) -> None:
    (cache / "scratch" / "0123").mkdir(parents=True)
    (cache / "scratch" / "0123" / "half").touch()
    (cache / "scratch" / "0123.lock").touch()
    asking.prepare(dependencies=["apple"])
    assert list((cache / "scratch").iterdir()) == []
