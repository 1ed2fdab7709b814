"""The guardian: a small process between mlproj and a command, which ends the command when mlproj is gone.

Run as a script by ``guarded.py``, by the bare interpreter (``-I -S``) so that it starts in ten milliseconds; it
imports nothing of mlproj. It leads a session of its own, so that a terminal's signals reach mlproj alone and a
stopped command can be continued; on Linux it adopts the command's orphans (a subreaper, prctl(2)), so that none
can slip away by daemonising. On macOS orphans are found as long as their parents live.

Protocol, over the first two pipes whose ends are its arguments: in comes what to run, then ``{"signal": n}`` (pass it
on), ``{"end": n, "grace": s}`` (pass it on, kill what is left after s seconds) and ``{"timeout": s}`` (from now on). A
command that is told more later inherits the third pipe's end. Out come ``{"started": pid}`` or
``{"failed": [errno, what]}``, ``{"exited": status, …}`` and, once nothing is left, end of file. A message is four bytes
of length and a mapping as ``marshal`` writes it: both are one interpreter, and json would double the time to start.
"""

from __future__ import annotations

import marshal
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # the same functions; signal itself imports enum, a third of the time to start

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_WHEN_ALONE = 5.0


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants() -> list[int]:
    """Every living process below this one, children first."""
    parents = {}
    if sys.platform == "linux":
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", "rb") as stream:
                        state, parent = stream.read().rpartition(b")")[2].split()[:2]
                except OSError:
                    continue
                if state not in (b"Z", b"X"):
                    parents[int(entry)] = int(parent)
    else:
        reader, writer = os.pipe()
        child = os.posix_spawn(
            "/bin/ps", ["ps", "-axo", "pid=,ppid="], {}, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)]
        )
        os.close(writer)
        with os.fdopen(reader) as stream:
            for line in stream:
                pid, parent = line.split()
                parents[int(pid)] = int(parent)
        os.waitpid(child, 0)
        parents.pop(child, None)
    found, generation = [], [os.getpid()]
    while generation:
        generation = [pid for pid, parent in parents.items() if parent in generation]
        found += generation
    return found


def _start(order: dict[str, Any]) -> tuple[int | None, list[Any] | None]:
    """Fork and exec the command; gives its pid, or the error number and the thing that could not be had."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        what = order["argv"][0]
        try:
            os.setpgid(0, 0)
            if order["terminal"] is not None:
                os.tcsetpgrp(order["terminal"], os.getpid())
            for number in range(1, signal.NSIG):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    try:
                        signal.signal(number, signal.SIG_DFL)
                    except (OSError, ValueError):
                        pass
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if order["cwd"] is not None:
                what = order["cwd"]
                os.chdir(order["cwd"])
                what = order["argv"][0]
            above = 3
            for kept in sorted([writer, 4096] + ([order["channel"]] if order["channel"] is not None else [])):
                os.closerange(above, kept)
                above = kept + 1
            os.execvpe(order["argv"][0], order["argv"], order["env"])
        except OSError as error:
            os.write(writer, marshal.dumps([error.errno, what]))
        finally:
            os._exit(127)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        failure = stream.read()
    if failure:
        os.waitpid(pid, 0)
        return None, marshal.loads(failure)
    return pid, None


def _send_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _send_all(number: int) -> None:
    for pid in _descendants():
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


class Watch:
    """What the guardian knows while the command lives."""

    def __init__(self, pid: int, timeout: float | None, grace: float) -> None:
        self.pid = pid
        self.grace = grace
        self.exited: int | None = None
        self.kill_at: float | None = None
        self.timeout_at = None if timeout is None else time.monotonic() + timeout
        self.timed_out = False
        self.alone = False

    def end(self, number: int, grace: float) -> None:
        """Send the command a signal, and have all killed that is left after ``grace`` seconds."""
        if self.exited is None:
            _send_group(self.pid, number)
            # A stopped command gets no signal but SIGKILL before it is continued.
            _send_group(self.pid, signal.SIGCONT)
        self.kill_at = min(self.kill_at or float("inf"), time.monotonic() + grace)

    def reap(self) -> None:
        """Take note of every child that has ended: the command, and orphans of its that were adopted."""
        while True:
            try:
                pid, status, _ = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.exited = status

    def next_deadline(self) -> float | None:
        """When there will be something to do, whatever comes in."""
        deadlines = [self.kill_at, None if self.exited is not None else self.timeout_at]
        return min((each for each in deadlines if each is not None), default=None)


def _serve(orders: int, pending: bytes, events: int, watch: Watch) -> None:
    """Pass signals on, keep time, and return once neither the command nor anything it started is left.

    ``pending`` is the beginning of a message.
    """
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    told = False
    while True:
        watch.reap()
        if watch.exited is not None and not told:
            told = True
            _tell(events, {"exited": os.waitstatus_to_exitcode(watch.exited), "timed_out": watch.timed_out})
            watch.timeout_at = None
            if _descendants():
                _send_all(signal.SIGTERM)
                _send_all(signal.SIGCONT)
                watch.kill_at = min(watch.kill_at or float("inf"), time.monotonic() + watch.grace)
        if watch.exited is not None and not _descendants():
            watch.reap()  # those that ended between the two looks
            return
        now = time.monotonic()
        if watch.timeout_at is not None and now >= watch.timeout_at:
            watch.timeout_at = None
            watch.timed_out = True
            watch.end(signal.SIGTERM, watch.grace)
        if watch.kill_at is not None and now >= watch.kill_at:
            _send_all(signal.SIGKILL)
            watch.kill_at = now + 0.05
        deadline = watch.next_deadline()
        if watch.exited is not None:
            # An adopted orphan's end is told by SIGCHLD, but not that of a process two steps below.
            deadline = min(deadline or float("inf"), now + 0.05)
        wait = None if deadline is None else max(0.0, deadline - now)
        listened_to: list[Any] = [wakeup] if watch.alone else [wakeup, orders]
        ready, _, _ = select.select(listened_to, [], [], wait)
        if wakeup in ready:
            os.read(wakeup, 4096)
        if orders in ready:
            data = os.read(orders, 65536)
            if not data:
                watch.alone = True
                watch.end(signal.SIGTERM, min(watch.grace, GRACE_WHEN_ALONE))
                continue
            messages, pending = _messages(pending + data)
            for message in messages:
                _obey(message, watch)


def _obey(order: dict[str, Any], watch: Watch) -> None:
    if "end" in order:
        watch.end(order["end"], order["grace"])
    elif "timeout" in order:
        watch.timeout_at = time.monotonic() + order["timeout"]
    elif watch.exited is None:
        _send_group(watch.pid, order["signal"])


def _messages(received: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The whole messages in what was received, and the beginning of the next one."""
    found = []
    while len(received) >= 4 and len(received) >= 4 + (length := int.from_bytes(received[:4], "big")):
        found.append(marshal.loads(received[4 : 4 + length]))
        received = received[4 + length :]
    return found, received


def _tell(events: int, event: dict[str, Any]) -> None:
    data = marshal.dumps(event)
    try:
        os.write(events, len(data).to_bytes(4, "big") + data)
    except OSError:
        pass


def main() -> None:
    """Wait for the order, run it, serve until nothing is left."""
    orders, events = int(sys.argv[1]), int(sys.argv[2])
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGTTOU,
        signal.SIGPIPE,
    ):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    received = b""
    messages: list[dict[str, Any]] = []
    while not messages:
        data = os.read(orders, 1 << 20)
        if not data:
            return
        messages, received = _messages(received + data)
    # What came right behind the order, a signal say, is for the command too.
    order, *early = messages
    if order["terminal"] is not None:
        import fcntl
        import termios

        fcntl.ioctl(order["terminal"], termios.TIOCSCTTY, 0)
    pid, failure = _start(order)
    # The command's own ends are its alone: with ours open too, its reader would never see the end of them.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if descriptor != order["terminal"]:
            os.dup2(null, descriptor)
    if pid is None:
        _tell(events, {"failed": failure})
        return
    _tell(events, {"started": pid})
    watch = Watch(pid, order["timeout"], order["grace"])
    for message in early:
        _obey(message, watch)
    _serve(orders, received, events, watch)
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory = used.ru_maxrss if sys.platform == "darwin" else used.ru_maxrss * 1024
    _tell(events, {"used": [used.ru_utime, used.ru_stime, memory]})


if __name__ == "__main__":
    main()
    os._exit(0)  # there is nothing to take down
