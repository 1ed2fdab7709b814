"""A screen of the terminal that is drawn anew until somebody leaves it, and the keys pressed meanwhile."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Any

from mlproj.cli.console import wants_colour
from mlproj.errors import UsageError

_LEAVING = ("q", "\x1b", "\x03")
_ARROWS = {"\x1b[A": "up", "\x1b[B": "down"}


def show_live(draw: Callable[[], Any], every_s: float, press: Callable[[str], None] = lambda _: None) -> int:
    """Show what ``draw`` gives (a renderable of rich's), anew each ``every_s`` seconds and after each key.

    ``press`` is told each key (``up`` and ``down`` for the arrows) but those that leave: q, Escape, Ctrl-C. Gives 0.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(no_color=not wants_colour(sys.stdout), highlight=False)
    with _keys_at_once(), Live(draw(), console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(draw(), refresh=True)
            ready, _, _ = select.select([0], [], [], every_s)
            keys = os.read(0, 64).decode("utf-8", "replace") if ready else ""
            if ready and not keys:
                return 0
            pressed = _ARROWS.get(keys)
            for key in [pressed] if pressed else keys:
                if key in _LEAVING:
                    return 0
                press(key)


def refuse_without_terminal(option: str) -> None:
    """Raise ``UsageError`` when this process has no terminal to draw on and to read keys from."""
    if not (sys.stdout.isatty() and os.isatty(0)):
        raise UsageError(f"{option} draws on a terminal, and there is none here", hint="For programs there is --json.")


@contextlib.contextmanager
def _keys_at_once() -> Iterator[None]:
    """Have the terminal hand out each key as it is pressed, unseen, Ctrl-C among them."""
    before = termios.tcgetattr(0)
    tty.setcbreak(0)
    attributes = termios.tcgetattr(0)
    attributes[3] &= ~termios.ISIG
    termios.tcsetattr(0, termios.TCSADRAIN, attributes)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
