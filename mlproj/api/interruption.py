"""Signals that ask mlproj to end while no command is running that they could be passed on to."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from mlproj.signals import raising


class Interrupted(BaseException):
    """A signal that asks mlproj to end came while no command was running that it could be passed on to."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn the signals that ask to end into ``Interrupted``, in the main thread, where no command gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    ours = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, raising(Interrupted)) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
