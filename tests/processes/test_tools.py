"""Build tools under a guardian: their output, their exit status, and their end when mlproj is gone."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mlproj.processes import run_tool
from mlproj.processes.strays import end_strays


def run(*argv: str, **options) -> tuple[int, bytes, list[str]]:
    log, lines = io.BytesIO(), []
    status = run_tool(argv, cwd=Path("/"), env=os.environ, log=log, on_line=lines.append, **options)
    return status, log.getvalue(), lines


def test_lines_and_log_hold_both_streams() -> None:
    status, log, lines = run("sh", "-c", "echo one; echo two >&2; printf three")
    assert (status, log, lines) == (0, b"one\ntwo\nthree", ["one", "two", "three"])


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_exit_status(script: str, status: int) -> None:
    assert run("sh", "-c", script)[0] == status


def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-tool"):
        run("no-such-tool")


def test_no_word_is_an_option_of_a_shell() -> None:
    assert run("printf", "%s", "$(touch /tmp/never); `x` \n'")[1] == b"$(touch /tmp/never); `x` \n'"


def test_a_tool_has_no_stdin() -> None:
    assert run("cat")[0] == 0


def test_what_a_tool_leaves_in_the_background_is_ended() -> None:
    status, log, _ = run("sh", "-c", "setsid sleep 1000 & echo $!")
    assert status == 0
    assert not psutil.pid_exists(int(log))


BUILD = """
import io, os, sys
from pathlib import Path
from mlproj.processes import run_tool
def told(line): print(line, flush=True)
script = "trap '' TERM INT; setsid sleep 1000 & echo $! $$; wait"
run_tool(["sh", "-c", script], cwd=Path("/"), env=os.environ, log=io.BytesIO(), on_line=told)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_tool_does_not_outlive_mlproj(number: signal.Signals) -> None:
    mlproj = subprocess.Popen(
        [sys.executable, "-c", BUILD], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert mlproj.stdout is not None
    pids = [int(pid) for pid in mlproj.stdout.readline().split()]
    processes = [psutil.Process(pid) for pid in pids]
    mlproj.send_signal(number)
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    mlproj.communicate()


def test_strays_are_found_by_their_environment() -> None:
    environment = {**os.environ, "MLPROJ_RUN_ID": "stray-of-a-test"}
    stray = subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True)
    other = subprocess.Popen(["sleep", "1000"])
    try:
        assert end_strays("MLPROJ_RUN_ID", ["stray-of-a-test"]) == 1
        assert stray.poll() is not None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
