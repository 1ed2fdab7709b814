"""mlproj's side of a guarded command: starting its guardian, telling it signals, hearing of its end."""

from __future__ import annotations

import contextlib
import marshal
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.errors import ExecutionError
from mlproj.text import one_line

_SCRIPT = str(Path(__file__).with_name("guardian.py"))


@dataclass(frozen=True)
class Guardian:
    """A guardian that waits for its order, or whose command is running."""

    process: subprocess.Popen[bytes]
    orders: int
    events: int
    channel: int
    """Where a command that is told more later is told it; it reads at ``channel_reader``."""
    channel_reader: int


def start_guardian(stdin: int, stdout: int, stderr: int) -> Guardian:
    """Start a guardian whose command will have these descriptors as its standard streams.

    It takes ten milliseconds to come up; meanwhile the caller can prepare the order.
    """
    orders_reader, orders = os.pipe()
    events, events_writer = os.pipe()
    channel_reader, channel = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", _SCRIPT, str(orders_reader), str(events_writer)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[orders_reader, events_writer, channel_reader],
            # A virtualenv's interpreter finds its library without the caller's PYTHON* variables, which may be
            # meant for another version.
            env={"PATH": os.defpath},
        )
    except BaseException:
        os.close(orders)
        os.close(events)
        os.close(channel)
        raise
    finally:
        os.close(orders_reader)
        os.close(events_writer)
        os.close(channel_reader)
    return Guardian(process, orders, events, channel, channel_reader)


def order(
    guardian: Guardian,
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    grace: float,
    timeout: float | None = None,
    terminal: int | None = None,
    channel: bool = False,
) -> None:
    """Tell the guardian what to run.

    ``grace`` is the time in seconds between asking and killing, ``timeout`` the time after which to ask.
    ``terminal`` is the command's descriptor (0 to 2) that is its controlling terminal. With a ``channel`` it has the
    descriptor ``channel_reader`` too, and is told more by ``hand_over``.
    """
    message = {
        "argv": list(argv),
        "cwd": str(cwd),
        "env": dict(env),
        "grace": grace,
        "timeout": timeout,
        "terminal": terminal,
        "channel": guardian.channel_reader if channel else None,
    }
    _send(guardian, message)


def hand_over(guardian: Guardian, message: bytes, timeout: float | None) -> None:
    """Give a command that was started with a channel all that it waits for, and its time from now on.

    It reads four bytes of length (big-endian) and the message.
    """
    if timeout is not None:
        _tell(guardian, {"timeout": timeout})
    with contextlib.suppress(OSError):  # it has ended already, which is told as an event
        _write(guardian.channel, message)


def pass_on(guardian: Guardian, number: int) -> None:
    """Send a signal to the command's process group."""
    _tell(guardian, {"signal": int(number)})


def end(guardian: Guardian, number: int, grace: float) -> None:
    """Send a signal to the command's process group, and SIGKILL to all that is left of it after ``grace`` seconds."""
    _tell(guardian, {"end": int(number), "grace": grace})


def dismiss(guardian: Guardian) -> None:
    """Close the way to it, upon which the guardian ends whatever it runs, and wait until it has."""
    os.close(guardian.orders)
    os.close(guardian.channel)
    guardian.process.wait()
    os.close(guardian.events)


def _tell(guardian: Guardian, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # it is gone, and the command with it
        _send(guardian, message)


def _send(guardian: Guardian, message: dict[str, Any]) -> None:
    _write(guardian.orders, marshal.dumps(message))


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(len(data).to_bytes(4, "big") + data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_events(received: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The events in what the guardian has sent, and the beginning of the next one."""
    events = []
    while len(received) >= 4 and len(received) >= 4 + (length := int.from_bytes(received[:4], "big")):
        events.append(marshal.loads(received[4 : 4 + length]))
        received = received[4 + length :]
    return events, received


def explain_failure(failure: Sequence[Any]) -> ExecutionError:
    """The error of a command that could not be started, from the guardian's ``failed`` event."""
    number, what = failure
    reason = os.strerror(number)
    if number == 2:
        return ExecutionError(
            f"the command `{one_line(what)}` is not there",
            hint="It is neither a file of the project nor a program of the environment.",
        )
    return ExecutionError(f"the command `{one_line(what)}` cannot be started: {reason}")
