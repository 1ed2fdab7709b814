"""Runs the console blocks of a Markdown page as a reader would type them, and compares what they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run, wherever it stands in a page: the id of a run, a duration.
_VARYING = re.compile(r"…|\b0[0-9a-f]{7,31}\b(?=\W|$)|\b\d+(?:\.\d+)? m?s\b|[ \t]+")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page that it begins at."""

    language: str
    text: str
    line: int


@dataclass
class Command:
    """A command line of a console block, what is said to come of it, and the exit status that it must have."""

    text: str
    line: int
    expected: list[str] = field(default_factory=list)
    status: int | None = 0


def blocks(page: str) -> Iterator[Block]:
    for found in _FENCE.finditer(page):
        yield Block(found[1], found[2], page.count("\n", 0, found.start()) + 1)


def commands(block: Block) -> list[Command]:
    """The ``$ `` lines of a block, each with the lines below it. ``$ echo $?`` says which status the one before has."""
    found: list[Command] = []
    for offset, line in enumerate(block.text.splitlines(), 1):
        if line == "$ echo $?" and found:
            found[-1].status = None
            found.append(Command("echo $?", block.line + offset))
        elif line.startswith("$ "):
            found.append(Command(line[2:], block.line + offset))
        elif found:
            found[-1].expected.append(line)
    for before, after in pairwise(found):
        if after.text == "echo $?":
            before.status = int(after.expected[0])
    # A command that is shown to answer with an error only, fails.
    for command in found:
        if command.status == 0 and command.expected and command.expected[0].startswith("error:"):
            command.status = 2
    return found


class Console:
    """A shell that keeps its exported variables from one command to the next."""

    def __init__(self, folder: Path, state: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.state = state
        self.variables = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            **(variables or {}),
        }
        self.exported = ""
        self.status = 0
        self.in_background: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        """Run a command line in bash; its output, stdout and stderr as they came. One that ends in ``&`` goes on."""
        if command.rstrip().endswith("&"):
            started = subprocess.Popen(
                ["bash", "-c", f"{self.exported}\nexec {command.rstrip('& ')}"],
                cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self.in_background.append(started)
            self._wait_for_a_running_run()
            return ""
        script = f"{self.exported}\n(exit {self.status})\n{command}\nstatus=$?\nexport -p > {shlex.quote(str(self.state))}\nexit $status"
        with (self.state.parent / "output").open("w+b") as output:
            ran = subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, timeout=240,
            )  # fmt: skip
            output.seek(0)
            said = output.read().decode()
        self.exported = self.state.read_text()
        self.status = ran.returncode
        return said

    def _wait_for_a_running_run(self) -> None:
        # Whoever types the next line in another terminal has seen this one start.
        listing = [sys.executable, "-m", "mlproj", "runs", "--filter", "status = running", "--csv"]
        for _ in range(100):
            found = subprocess.run(listing, env=self.variables, capture_output=True, text=True)
            if len(found.stdout.splitlines()) > 1:
                return
        raise AssertionError("no run started")

    def close(self) -> None:
        """End what is left in the background, and see that it was not left there by the page."""
        for started in self.in_background:
            try:
                started.wait(timeout=30)
            finally:
                started.kill()


def missing_line(expected: list[str], said: str, *, form_only: bool = False) -> str | None:
    """The first of the expected lines that the output has not, in order; none when it has them all.

    ``…`` stands for anything; ids of runs, durations and widths of columns may differ. With ``form_only`` numbers may
    too, and a line may go on.
    """
    lines = iter(said.splitlines())
    for line in expected:
        if line.strip() in ("", "…"):
            continue
        pattern = _pattern(line.strip(), form_only=form_only)
        if not any(pattern.fullmatch(each.strip()) for each in lines):
            return line
    return None


def _pattern(line: str, *, form_only: bool) -> re.Pattern[str]:
    pieces, last = [], 0
    for found in _VARYING.finditer(line):
        pieces.append(_literal(line[last : found.start()], form_only=form_only))
        text = found[0]
        if text == "…":
            pieces.append(".*")
        elif text.isspace():
            pieces.append(r"\s+")
        elif text.endswith("s"):
            pieces.append(r"\d+(?:\.\d+)? m?s")
        else:
            pieces.append("[0-9a-f]+")
        last = found.end()
    pieces.append(_literal(line[last:], form_only=form_only))
    return re.compile("".join(pieces) + (".*" if form_only else ""))


def _literal(text: str, *, form_only: bool) -> str:
    escaped = re.escape(text)
    return re.sub(r"\d+(?:\\\.\d+)?", lambda _: r"[\d.]+", escaped) if form_only else escaped
