"""Signals as exceptions, raised where those are not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_S = 0.005
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_IMPORT_SYSTEM = frozenset(("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"))

Handler = Callable[[int, FrameType | None], None]


def raising(exception: Callable[[int], BaseException]) -> Handler:
    """A handler of signals that raises ``exception`` of their number, in the midst of an import not before its end.

    There the import system's callbacks would swallow it, a class that is being made would wrap it in an error of its
    own (``__set_name__``), and a module would be left half-made for whoever goes on.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if _in_an_import(frame):
            again = threading.Timer(_AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, number))
            again.daemon = True
            again.start()
            return
        raise exception(number)

    return handle


@contextmanager
def held_back() -> Iterator[None]:
    """Have a signal that asks to end wait for the end of a ``with`` block; a second one ends the block.

    Where a signal ends the process at once, or is ignored, it still is. Only in the main thread signals come at all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING}
    handlers: dict[int, Handler] = {number: handler for number, handler in before.items() if callable(handler)}

    def hold(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if len(came) == 1:
            signal.raise_signal(came[0])


def _in_an_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False
