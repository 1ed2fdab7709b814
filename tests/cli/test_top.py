"""Runs that go on, watched: printed once for a pipe, a screen with keys on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlproj.runs.layout import live_files
from mlproj.runs.samples import Sample, read_samples, sample_line
from tests.cli.test_live_runs import ready

BUSY = """
import json, os, time
print("ready", os.getpid(), flush=True)
step, ballast = 0, bytearray(40 << 20)
while True:
    step += 1
    with open(os.environ["MLPROJ_METRICS"], "a") as stream:
        stream.write(json.dumps({"name": "loss", "value": 1 / step, "step": step}) + "\\n")
    print("epoch", step, flush=True)
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass
"""


class Terminal:
    """A terminal of 120 columns that a command draws on, and on which keys are pressed."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        variables = {**os.environ, "COLUMNS": "120", "LINES": "20", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlproj", *arguments], stdin=slave, stdout=slave, stderr=slave, env=variables
        )
        os.close(slave)
        self.shown = ""

    def until(self, text: str) -> str:
        """Read until ``text`` has been shown since the last call; gives what was."""
        deadline = time.monotonic() + 30
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], 1)
            assert time.monotonic() < deadline, self.shown[-2000:]
            if ready:
                self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self.master, 65536).decode())
        shown, self.shown = self.shown, ""
        return shown

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """Drain what is drawn until the command has ended; gives its exit status."""
        while True:
            try:
                if not os.read(self.master, 65536):
                    break
            except OSError:
                break
        return self.process.wait(20)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield start
    for each in opened:
        each.process.kill()
        each.process.wait()
        os.close(each.master)


@pytest.fixture
def busy(project: Any, start: Any) -> Any:
    """A run that logs, prints and computes until it is stopped."""
    folder = project("name: busy\nenvironment: {system: {}}\nentry_points: {main: {command: [python, busy.py]}}\n")
    (folder / "busy.py").write_text(BUSY)
    runner = start("run", folder)
    ready(runner)
    return runner


def samples_of(home: Path, run_id: str) -> list[Sample]:
    deadline = time.monotonic() + 30
    while not (found := read_samples(live_files(home, run_id).samples)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_nothing_goes_on(cli: Any) -> None:
    assert cli("top").out == "no run is going on\n"
    assert cli("top", "--json").json == []


def test_what_a_run_takes(busy: Any, cli: Any, own_home: Path) -> None:
    run_id = cli("top", "--json").json[0]["id"]
    sample = samples_of(own_home, run_id)[0]
    assert sample.cpu_percent > 20
    assert sample.memory_bytes > 40 << 20
    assert sample.processes >= 1
    shown = cli("top", "--json").json[0]
    assert shown["resources"]["memory_bytes"] > 40 << 20
    assert shown["metrics"]["loss"] <= 1
    assert shown["step"] >= 1
    heading, row = cli("top").out.splitlines()
    assert heading.split() == ["run", "project", "entry_point", "time", "step", "cpu", "memory", "gpu", "metrics"]
    assert re.search(r"busy\s+main\s.* %\s+\d+ MiB\s+loss=", row)


def test_a_run_is_stopped_from_the_screen(busy: Any, terminal: Any, cli: Any) -> None:
    screen = terminal("top", "--every", "0.2")
    screen.until("epoch")
    screen.press("s")
    screen.until("`s` again stops run")
    screen.press("s")
    screen.until("was asked to end")
    screen.until("no run is going on")
    assert busy.wait(20) == 128 + 15
    screen.press("q")
    assert screen.ended() == 0
    assert cli("show", "--json").json["status"] == "killed"


def test_another_key_takes_the_question_back(busy: Any, terminal: Any) -> None:
    screen = terminal("top")
    screen.until("busy")
    screen.press("s")
    screen.until("again stops")
    screen.press("j")
    screen.press("s")
    screen.until("again stops")
    screen.press("\x03")
    assert screen.ended() == 0
    assert busy.poll() is None


def test_the_list_of_runs_is_watched(wine: Path, terminal: Any, cli: Any) -> None:
    screen = terminal("runs", "--watch")
    screen.until("no runs yet")
    assert cli("run", "-e", "train", "--name", "seen").status == 0
    screen.until("finished")
    screen.press("q")
    assert screen.ended() == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [(["--watch"], "draws on a terminal"), (["--watch", "--json"], "goes with neither --json nor --csv")],
)
def test_watching_without_a_terminal(options: list[str], problem: str, cli: Any) -> None:
    done = cli("runs", *options)
    assert done.status == 2
    assert problem in done.err


def test_a_torn_sample_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "resources.jsonl"
    assert read_samples(path) == []
    sample = Sample(1, 99.5, 1024, 2, 40.0, 2048)
    path.write_bytes(sample_line(sample) + b'{"at_ms": 2, "cpu_per' + b"\n[]\n" + sample_line(Sample(3, 1.0, 5)))
    assert read_samples(path) == [sample, Sample(3, 1.0, 5)]
