"""Regular expressions of strangers: matched for no longer than a limit, since some take for ever on some texts."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIMIT_S = 0.5

Method = Callable[[str], "re.Match[str] | None"]
Limited = Callable[[Method, str], "re.Match[str] | None"]


class TooSlowError(Exception):
    """A match that did not come to an end within its limit."""


def _unlimited(method: Method, text: str) -> re.Match[str] | None:
    return method(text)


def _limited(method: Method, text: str) -> re.Match[str] | None:
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        return method(text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def limited() -> Iterator[Limited]:
    """For the length of the block, a function that calls a pattern's ``search`` or ``fullmatch`` with a text.

    It raises ``TooSlowError`` after half a second. Python's matcher looks for signals now and then, so a timer's can
    end it; in other threads than the main one, which get no signals, there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield _unlimited
        return

    def give_up(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, give_up)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield _limited
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches. Raises ``TooSlowError`` when that cannot be told within the limit."""
    with limited() as match:
        return match(re.compile(pattern).fullmatch, text) is not None
