"""Supervision of one command: its output passed through and logged, signals passed on, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from mlproj.execution import terminal
from mlproj.execution.masking import Masker
from mlproj.execution.plan import Outcome, Plan, Status, Usage
from mlproj.execution.run_log import RunLog
from mlproj.processes import guarded

# Above 128 KiB the C library takes each chunk's memory from the kernel anew, which costs as much as the copying.
_CHUNK = 1 << 16
_PIPE_SIZE = 1 << 20
_TICK_S = 0.5
_PATIENCE_S = 1.0
_F_SETPIPE_SZ = 1031  # linux/fcntl.h; in Python's fcntl module only since 3.10 on some platforms
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_KEYS = {signal.SIGINT: b"\x03", signal.SIGQUIT: b"\x1c", signal.SIGTSTP: b"\x1a"}


@dataclass(frozen=True)
class Streams:
    """Where a command's streams go: descriptors of this process. ``None`` for an output drops it."""

    stdin: int = 0
    stdout: int | None = 1
    stderr: int | None = 2


@dataclass(frozen=True)
class Observers:
    """Who else hears of a command: its log, its output's bytes as they come, and a tick twice a second."""

    log: BinaryIO
    output: Callable[[str, bytes], None] | None = None
    tick: Callable[[], None] | None = None


@dataclass
class Standby:
    """A guardian that has been started for streams, and waits for its plan."""

    guardian: guarded.Guardian
    streams: Streams
    lent: terminal.LentTerminal | None
    readers: dict[int, str]
    begun: bool = False


@dataclass
class _Progress:
    """What has become of the command by now."""

    started: float
    signal: int | None = None
    early: list[int] = field(default_factory=list)
    kill_at: float | None = None
    told_of_waiting: bool = False
    reader_gone: bool = False
    exit_code: int | None = None
    timed_out: bool = False
    used: list[Any] | None = None
    failed: list[Any] | None = None
    notices: list[str] = field(default_factory=list)


def stand_by(streams: Streams) -> Standby:
    """Start what a command's supervision needs, before it is known in full, so that the wait for it is saved."""
    lent = None
    if streams.stdout is not None and streams.stderr is not None:
        lent = terminal.lend_terminal(streams.stdin, streams.stdout, streams.stderr)
    readers: dict[int, str] = {}
    ends: list[int] = []
    to_close: list[int] = []
    for name, target in (("stdout", streams.stdout), ("stderr", streams.stderr)):
        if lent is not None and target is not None and os.isatty(target):
            readers[lent.master] = "stdout"
            ends.append(lent.slave)
            continue
        reader, writer = os.pipe()
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # the user's limit on pipes may be lower
                fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_SIZE)
        readers[reader] = name
        ends.append(writer)
        to_close.append(writer)
    stdin = lent.slave if lent is not None and lent.reads_keys else streams.stdin
    try:
        os.fstat(stdin)
    except OSError:
        stdin = os.open(os.devnull, os.O_RDONLY)
        to_close.append(stdin)
    guardian = guarded.start_guardian(stdin, ends[0], ends[1])
    for descriptor in to_close:
        os.close(descriptor)
    return Standby(guardian, streams, lent, readers)


def start_ahead(standby: Standby, plan: Plan) -> None:
    """Start a command that waits for its message, of which ``supervise`` will be given the plan in full."""
    _start(standby, plan, waits=True)


def _start(standby: Standby, plan: Plan, *, waits: bool) -> None:
    lent = standby.lent
    controlling = None
    if lent is not None:
        controlling = 0 if lent.reads_keys else (1 if standby.streams.stdout == lent.user else 2)
    guarded.order(
        standby.guardian,
        plan.argv,
        cwd=plan.cwd,
        env=plan.variables,
        grace=plan.patience_s,
        timeout=None if waits else plan.timeout_s,
        terminal=controlling,
        channel=waits,
    )
    standby.begun = True


def channel_of(standby: Standby) -> int:
    """The descriptor at which a command that is started ahead reads its message."""
    return standby.guardian.channel_reader


def stand_down(standby: Standby) -> None:
    """Give up a standby whose plan never came."""
    guarded.dismiss(standby.guardian)
    _close(standby)


def supervise(standby: Standby, plan: Plan, observers: Observers) -> Outcome:
    """Run the plan's command to its end and say how it ended.

    Signals that this process gets meanwhile (in its main thread) reach the command's process group; after the
    grace period, or at the second of them, everything it started is killed. SIGTSTP stops both, SIGCONT continues
    both.

    Raises ``ExecutionError`` when the command cannot be started.
    """
    guardian, lent = standby.guardian, standby.lent
    progress = _Progress(time.monotonic())
    with _signals_passed_on(standby, plan, progress):
        if not standby.begun:
            _start(standby, plan, waits=plan.message is not None)
        for number in progress.early:
            signal.raise_signal(number)
        if plan.message is not None:
            guarded.hand_over(guardian, plan.message, plan.timeout_s)
        try:
            if lent is not None:
                terminal.begin_raw(lent)
            _relay(standby, plan, observers, progress)
        finally:
            if lent is not None:
                terminal.end_raw(lent)
            guarded.dismiss(guardian)
            _close(standby)
    if progress.failed is not None:
        raise guarded.explain_failure(progress.failed)
    return _outcome(plan, progress)


def _close(standby: Standby) -> None:
    for descriptor in standby.readers:
        os.close(descriptor)
    if standby.lent is not None:
        os.close(standby.lent.slave)


def _relay(standby: Standby, plan: Plan, observers: Observers, progress: _Progress) -> None:
    """Pass bytes on until the guardian has ended and the command's streams are empty."""
    log = RunLog(observers.log, progress.notices)
    maskers = {name: Masker(plan.secrets) for name in ("stdout", "stderr")}
    targets = {"stdout": standby.streams.stdout, "stderr": standby.streams.stderr}
    events_from = standby.guardian.events
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(events_from, selectors.EVENT_READ, "guardian")
        for descriptor, name in standby.readers.items():
            selector.register(descriptor, selectors.EVENT_READ, name)
        if standby.lent is not None and standby.lent.reads_keys:
            selector.register(standby.streams.stdin, selectors.EVENT_READ, "keys")
        tick_at = time.monotonic() + _TICK_S
        alive = True
        while True:
            # After the guardian's end nothing writes any more: what is left is read without waiting for more.
            ready = selector.select(max(0.0, tick_at - time.monotonic()) if alive else 0)
            streams = [key for key, _ in ready if key.data in maskers]
            if not alive and not streams:
                break
            for key, _ in ready:
                if key.data == "guardian":
                    data = os.read(events_from, 65536)
                    received += data
                    events, received = guarded.read_events(received)
                    _note(events, progress)
                    if not data:
                        alive = False
                        selector.unregister(events_from)
                elif key.data == "keys":
                    _pass_keys(standby, selector)
            for key in streams:
                chunk = _read(key.fd)
                if not chunk:
                    selector.unregister(key.fd)
                    continue
                log.write(maskers[key.data].feed(chunk))
                if not _pass_through(targets[key.data], chunk, standby, plan, progress):
                    # The command learns of it as it would without mlproj: its next write fails.
                    selector.unregister(key.fd)
                    del standby.readers[key.fd]
                    os.close(key.fd)
                if observers.output is not None:
                    observers.output(key.data, chunk)
            if observers.tick is not None and time.monotonic() >= tick_at:
                log.flush()
                observers.tick()
            if time.monotonic() >= tick_at:
                tick_at = time.monotonic() + _TICK_S
                _tell_of_waiting(plan, progress)
    for masker in maskers.values():
        log.write(masker.flush())
    log.flush()


def _tell_of_waiting(plan: Plan, progress: _Progress) -> None:
    """Say once that a signal was passed on and the command has not ended by it, after a second of waiting."""
    if progress.kill_at is None or progress.told_of_waiting or progress.exit_code is not None:
        return
    left = progress.kill_at - time.monotonic()
    if plan.grace_s - left >= _PATIENCE_S and left > 0:
        progress.told_of_waiting = True
        message = f"waiting for the command to end; it is killed in {left:.0f} s, or at once by another signal"
        with contextlib.suppress(OSError):
            os.write(2, f"\r\nmlproj: {message}\r\n".encode() if os.isatty(2) else f"mlproj: {message}\n".encode())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:  # EIO: the last holder of a pty's other end has closed it
        return b""


def _note(events: list[dict[str, Any]], progress: _Progress) -> None:
    for event in events:
        if "exited" in event:
            progress.exit_code = event["exited"]
            progress.timed_out = event["timed_out"]
        elif "failed" in event:
            progress.failed = event["failed"]
        elif "used" in event:
            progress.used = event["used"]


def _pass_keys(standby: Standby, selector: selectors.BaseSelector) -> None:
    assert standby.lent is not None
    keys = _read(standby.streams.stdin)
    if keys:
        os.write(standby.lent.master, keys)
    else:
        selector.unregister(standby.streams.stdin)


def _pass_through(target: int | None, chunk: bytes, standby: Standby, plan: Plan, progress: _Progress) -> bool:
    """Write a chunk on; gives false when there is nobody left to read it."""
    if target is None:
        return True
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(target, rest) :]
    except BrokenPipeError:
        progress.reader_gone = True
        guarded.end(standby.guardian, signal.SIGPIPE, plan.patience_s)
        return False
    except OSError as error:
        notice = f"some of the output could not be passed on: {error.strerror}; it is in the log"
        if notice not in progress.notices:
            progress.notices.append(notice)
            with contextlib.suppress(OSError):
                os.write(2, f"mlproj: {notice}\n".encode())
    return True


@contextlib.contextmanager
def _signals_passed_on(standby: Standby, plan: Plan, progress: _Progress) -> Any:
    """Have signals reach the command for the length of a ``with`` block; in the main thread only (Python's rule)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    guardian, lent = standby.guardian, standby.lent

    def pass_on(number: int, _: object) -> None:
        if lent is not None and number in _KEYS and terminal.wants_keys_as_bytes(lent):
            os.write(lent.master, _KEYS[signal.Signals(number)])
            return
        again = progress.signal is not None
        progress.signal = progress.signal or number
        progress.kill_at = progress.kill_at or time.monotonic() + plan.grace_s
        guarded.end(guardian, number, 0.0 if again else plan.patience_s)

    def suspend(_: int, __: object) -> None:
        if lent is not None and terminal.wants_keys_as_bytes(lent):
            os.write(lent.master, _KEYS[signal.SIGTSTP])
            return
        guarded.pass_on(guardian, signal.SIGTSTP)
        if lent is not None:
            terminal.end_raw(lent)
        os.kill(os.getpid(), signal.SIGSTOP)
        if lent is not None:
            terminal.take_size(lent)
            terminal.begin_raw(lent)
        guarded.pass_on(guardian, signal.SIGCONT)

    def once_begun(handler: Callable[[int, object], None]) -> Callable[[int, object], None]:
        """What the guardian is told first has to be what to run: a signal before that waits in ``early``."""
        return lambda number, frame: handler(number, frame) if standby.begun else progress.early.append(number)

    handlers: dict[int, Any] = dict.fromkeys(_PASSED_ON, once_begun(pass_on))
    handlers[signal.SIGTSTP] = once_begun(suspend)
    if lent is not None:
        handlers[signal.SIGWINCH] = lambda *_: terminal.take_size(lent)
    # What the caller ignores, nohup's SIGHUP say, stays ignored.
    ignored = {number for number in handlers if signal.getsignal(number) is signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items() if number not in ignored}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(plan: Plan, progress: _Progress) -> Outcome:
    user, system, memory = progress.used or (None, None, None)
    usage = Usage(time.monotonic() - progress.started, user, system, memory)
    code = progress.exit_code if progress.exit_code is not None else -signal.SIGKILL
    exit_status = code if code >= 0 else 128 - code
    ended_by = progress.signal or (signal.SIGPIPE if progress.reader_gone else None)
    reason = None
    status: Status = "finished" if exit_status == 0 else "failed"
    if progress.timed_out:
        status, reason = "killed", f"it took longer than its timeout of {plan.timeout_s:g} s"
        exit_status = exit_status or 128 + signal.SIGTERM
    elif ended_by is not None:
        status = "killed"
        exit_status = 128 + ended_by if progress.reader_gone else exit_status or 128 + ended_by
        reason = "the reader of its output went away" if progress.reader_gone else f"by {signal.Signals(ended_by).name}"
    elif progress.exit_code is None:
        status, reason = "killed", "its guardian process was killed"
    elif code < 0:
        status = "killed"
        reason = f"by {_signal_name(-code)}"
    return Outcome(status, exit_status, usage, reason, tuple(progress.notices), progress.signal)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
