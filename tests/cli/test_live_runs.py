"""A run that goes on: its log is followed, it is shown, and it is stopped, each from another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    """Look until ``condition`` holds, as nothing tells of it."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ready(process: Any) -> int:
    """Wait until the entry point `wait` says that it is ready; gives its process."""
    word, pid = process.stdout.readline().split()
    assert word == "ready"
    return int(pid)


def test_stop_from_another_process(wine: Path, cli: Any, start: Any) -> None:
    runner = start("run", "-e", "wait")
    pid = ready(runner)
    assert cli("runs", "--json", "--filter", "status = running").json[0]["entry_point"] == "wait"
    assert "still running" in cli("show").out
    assert cli("delete", "@last").status == 2
    done = cli("stop", "@last")
    assert done.status == 0
    assert done.out.endswith(" is killed\n")
    assert runner.wait(20) == 128 + 15
    assert not is_running(pid)
    record = cli("show", "--json").json
    assert (record["status"], record["exit_status"], record["error"]) == ("killed", 143, "by SIGTERM")
    assert "✗ killed (exit status 143)" in runner.stderr.read()


def test_stop_of_a_run_that_has_ended(trained: list[str], cli: Any) -> None:
    done = cli("stop", "better")
    assert done.status == 2
    assert "is not running: it is finished" in done.err


def test_stop_waits_as_long_as_it_is_told(project: Any, cli: Any, start: Any) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', 0, flush=True); time.sleep(60)"
    folder = project('entry_points: {wait: {grace_period: 1m, command: [python, -c, "' + stubborn + '"]}}\n')
    runner = start("run", folder)
    ready(runner)
    done = cli("stop", "@last", "--wait", "0.1s")
    assert done.status == 2
    assert "has not ended after 0.1 s" in done.err
    done = cli("stop", "@last")  # the second time it is killed
    assert (done.status, runner.wait(20)) == (0, 128 + 9)
    assert cli("show", "--json").json["status"] == "killed"


def test_logs_prints_both_streams(trained: list[str], cli: Any) -> None:
    done = cli("logs", "better")
    assert done.status == 0
    assert sorted(done.out.splitlines()) == ["a warning", "trained --alpha 0.3 --solver cd --features a --features b"]
    assert cli("logs", "@last").out == ""


def test_logs_follows_a_run_to_its_end(project: Any, cli: Any, start: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    folder = project(
        "entry_points: {wait: {command: [python, wait.py]}}\n",
        {"wait.py": f"print('ready 0')\nprint('then', open({str(tmp_path / 'pipe')!r}).read())\n"},
    )
    runner = start("run", folder)
    ready(runner)
    follower = start("logs", "-f")
    assert follower.stdout.readline() == "ready 0\n"
    assert follower.poll() is None
    (tmp_path / "pipe").write_text("the end")
    assert follower.stdout.readline() == "then the end\n"
    assert follower.wait(20) == 0
    assert runner.wait(20) == 0


def test_logs_does_not_wait_without_being_asked_to(wine: Path, cli: Any, start: Any) -> None:
    runner = start("run", "-e", "wait")
    ready(runner)
    until(lambda: cli("logs").out.startswith("ready"))


def test_tags_of_a_run_that_goes_on(wine: Path, cli: Any, start: Any) -> None:
    runner = start("run", "-e", "wait")
    ready(runner)
    assert cli("tag", "@last", "stage=candidate").status == 0
    assert cli("stop", "@last").status == 0
    assert cli("show", "--json").json["tags"] == {"stage": "candidate"}


def test_ctrl_c_is_the_commands(wine: Path, cli: Any, start: Any) -> None:
    runner = start("run", "-e", "wait")
    pid = ready(runner)
    runner.send_signal(2)
    assert runner.wait(20) != 0
    assert not is_running(pid)
    assert cli("show", "--json").json["status"] == "killed"


def test_a_run_whose_mlproj_was_killed_is_lost_and_nothing_of_it_is_left(wine: Path, cli: Any, start: Any) -> None:
    runner = start("run", "-e", "wait")
    pid = ready(runner)
    runner.kill()
    runner.wait()
    done = cli("runs", "--json")
    assert done.json[0]["status"] == "lost"
    until(lambda: not is_running(pid))
    assert cli("runs").err == ""  # told once
