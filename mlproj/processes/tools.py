"""Running a build tool (uv, virtualenv) under a guardian, its output going to a log file line by line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mlproj.processes.guarded import Guardian, dismiss, order, read_events, start_guardian

_GRACE = 2.0


def run_tool(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: BinaryIO,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run a tool to its end and give its exit status (128 + n when signal n ended it).

    stdout and stderr are appended to ``log`` as they come; each decoded line goes to ``on_line`` too. The tool has
    no stdin. It and all its descendants are ended when this process dies or is interrupted.

    Raises ``FileNotFoundError`` when there is no such executable.
    """
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        guardian = start_guardian(null, writer, writer)
    finally:
        os.close(writer)
        os.close(null)
    try:
        with os.fdopen(reader, "rb") as output:
            order(guardian, argv, cwd=cwd, env=env, grace=_GRACE)
            for line in output:
                log.write(line)
                if on_line is not None:
                    on_line(line.decode(errors="replace").rstrip("\r\n"))
        events = _remaining_events(guardian.events)
    finally:
        dismiss(guardian)
    if "failed" in events:
        number, what = events["failed"]
        raise FileNotFoundError(number, os.strerror(number), what)
    status = int(events.get("exited", -9))
    return status if status >= 0 else 128 - status


def _remaining_events(descriptor: int) -> dict[str, Any]:
    received = b""
    while data := os.read(descriptor, 65536):
        received += data
    events, _ = read_events(received)
    return {name: value for event in events for name, value in event.items()}


def run_in_silence(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], grace: float, timeout: float
) -> dict[str, Any]:
    """Run a program without input or output, for ``timeout`` seconds at most, and give what its guardian tells of it:
    ``exited`` (-n for signal n) and ``timed_out``, or ``failed`` when it could not be started.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        guardian = start_guardian(null, null, null)
    finally:
        os.close(null)
    try:
        order(guardian, argv, cwd=cwd, env=env, grace=grace, timeout=timeout)
        return _remaining_events(guardian.events)
    finally:
        dismiss(guardian)


def start_tool(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: BinaryIO) -> Guardian:
    """Start a tool that is to run beside other work, its output going to ``log``, which has to be a file.

    ``finish_tool`` waits for its end, ``dismiss`` ends it.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        guardian = start_guardian(null, log.fileno(), log.fileno())
    finally:
        os.close(null)
    order(guardian, argv, cwd=cwd, env=env, grace=_GRACE)
    return guardian


def finish_tool(guardian: Guardian) -> int:
    """Wait for a started tool's end and give its exit status (127 when it could not be started)."""
    try:
        events = _remaining_events(guardian.events)
    finally:
        dismiss(guardian)
    status = int(events.get("exited", 127))
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def ended(tools: list[Guardian]) -> Iterator[None]:
    """End what of the started tools is still in the list when the block is left, however it is left."""
    try:
        yield
    finally:
        for guardian in tools:
            dismiss(guardian)
