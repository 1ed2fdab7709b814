"""The user's terminal, lent to a command through a pty: its modes, its size, and giving it back as it was."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from dataclasses import dataclass, field
from typing import Any

_SIZE = struct.Struct("HHHH")
_INPUT, _OUTPUT, _LOCAL = 0, 1, 3


@dataclass
class LentTerminal:
    """A pty for a command, and the user's terminal that stands behind it."""

    user: int
    master: int
    slave: int
    reads_keys: bool
    saved: list[Any] | None = field(default=None, repr=False)


def lend_terminal(stdin: int, stdout: int, stderr: int) -> LentTerminal | None:
    """A pty of the size and modes of the user's terminal, or ``None`` when neither output is one.

    Keys are read from it when stdin is a terminal as well and mlproj is in its foreground.
    """
    user = next((each for each in (stdout, stderr) if _is_terminal(each)), None)
    if user is None:
        return None
    master, slave = os.openpty()
    attributes = termios.tcgetattr(user)
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    lent = LentTerminal(user, master, slave, _is_terminal(stdin) and _in_foreground(stdin))
    take_size(lent)
    return lent


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _in_foreground(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


def take_size(lent: LentTerminal) -> None:
    """Give the pty the size of the user's terminal; its foreground group hears of it (SIGWINCH)."""
    with contextlib.suppress(OSError):  # the user's terminal may be gone, its window closed
        size = fcntl.ioctl(lent.user, termios.TIOCGWINSZ, bytes(_SIZE.size))
        fcntl.ioctl(lent.master, termios.TIOCSWINSZ, size)


def begin_raw(lent: LentTerminal) -> None:
    """Hand keys and output through as they are; only the keys that make signals still do, to mlproj."""
    if not lent.reads_keys or not _in_foreground(lent.user):
        return
    lent.saved = termios.tcgetattr(lent.user)
    raw = termios.tcgetattr(lent.user)
    raw[_INPUT] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP | termios.INPCK)
    raw[_OUTPUT] &= ~termios.OPOST
    raw[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    termios.tcsetattr(lent.user, termios.TCSADRAIN, raw)


def end_raw(lent: LentTerminal) -> None:
    """Put the user's terminal back as it was."""
    if lent.saved is not None:
        with contextlib.suppress(termios.error):  # nothing to put back where the terminal is gone
            termios.tcsetattr(lent.user, termios.TCSADRAIN, lent.saved)
        lent.saved = None


def wants_keys_as_bytes(lent: LentTerminal) -> bool:
    """Whether the command reads Ctrl-C and its like as bytes itself, as editors and some debuggers do."""
    try:
        return not termios.tcgetattr(lent.slave)[_LOCAL] & termios.ISIG
    except termios.error:
        return False
