"""A run's log by ranges of its bytes, so that one of any size can be looked at: lines, their colours, finding in it."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

WINDOW = 64 * 1024
MOST = 1024 * 1024
_STEP = 4 * 1024 * 1024
_NEWLINE = b"\n"
# ECMA-48: SGR sets colours; every other control sequence, and OSC with its titles and links, is left out.
_ESCAPES = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_a-z=>78]")
_STYLES = {1: "a-b", 2: "a-d", 3: "a-i", 4: "a-u"}
_ENDS = {22: ("a-b", "a-d"), 23: ("a-i",), 24: ("a-u",)}
Span = tuple[str, str]


@dataclass(frozen=True)
class LogWindow:
    """Lines of a log and where they are in it, in bytes; each line is texts with the classes of their colours."""

    start: int
    end: int
    size: int
    lines: list[list[Span]]


def log_window(path: Path, at: int, length: int = WINDOW, *, back: bool = False) -> LogWindow:
    """The whole lines of about ``length`` bytes from ``at`` on, or with ``back`` those before it.

    A line that is longer than that comes in pieces. Of a log that is not there: nothing.
    """
    length = max(1, min(length, MOST))
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return LogWindow(0, 0, 0, [])
    with stream:
        size = stream.seek(0, 2)
        at = max(0, min(at, size))
        start, end = (max(0, at - length), at) if back else (at, min(size, at + length))
        stream.seek(max(0, start - 1))
        data = stream.read(end - max(0, start - 1))
        if start > 0:
            before, data = data[:1], data[1:]
            # From the beginning of a line on, where that is known: `at` is one when it was given out here.
            cut = data.find(_NEWLINE) + 1 if before != _NEWLINE and back else 0
            if 0 < cut < len(data):
                start, data = start + cut, data[cut:]
        if not back and end < size and (cut := data.rfind(_NEWLINE) + 1):
            end, data = start + cut, data[:cut]
    return LogWindow(start, end, size, styled_lines(data.decode("utf-8", "replace")))


def styled_lines(text: str) -> list[list[Span]]:
    """Lines as texts with classes. Of what a progress bar wrote over itself, the last is left."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    styles: set[str] = set()
    return [_styled(line.rstrip("\r").rpartition("\r")[2], styles) for line in lines]


def _styled(line: str, styles: set[str]) -> list[Span]:
    spans: list[Span] = []
    place = 0
    for escape in _ESCAPES.finditer(line):
        if escape.start() > place:
            spans.append((line[place : escape.start()], " ".join(sorted(styles))))
        place = escape.end()
        if escape[1] is not None:
            _restyle(styles, [int(code or 0) for code in re.split("[;:]", escape[1]) if code.isdigit() or not code])
    if place < len(line):
        spans.append((line[place:], " ".join(sorted(styles))))
    return spans


def _restyle(styles: set[str], codes: list[int]) -> None:
    position = 0
    while position < len(codes):
        code = codes[position]
        position += 1
        if code == 0:
            styles.clear()
        elif code in _STYLES:
            styles.add(_STYLES[code])
        elif code in _ENDS:
            styles.difference_update(_ENDS[code])
        elif 30 <= code <= 37 or 90 <= code <= 97 or code == 39:
            _uncolour(styles)
            if code != 39:
                styles.add(f"a-{code}")
        elif code in (38, 48):
            # 38;5;N is one of 256 colours, of which the first 16 are those above; 38;2;R;G;B is any.
            kind = codes[position] if position < len(codes) else 0
            if code == 38 and kind == 5 and position + 1 < len(codes):
                _uncolour(styles)
                number = codes[position + 1]
                if number < 16:
                    styles.add(f"a-{30 + number if number < 8 else 82 + number}")
            position += 2 if kind == 5 else 4


def _uncolour(styles: set[str]) -> None:
    styles.difference_update({each for each in styles if each[2:].isdigit()})


def find_in_log(path: Path, text: str, at: int, direction: Literal["next", "previous"]) -> int | None:
    """Where ``text``, in any case, is next in a log from the byte ``at`` on, or before it; ``None``: nowhere."""
    pattern = re.compile(re.escape(text.encode("utf-8", "replace")), re.IGNORECASE)
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if direction == "next":
                found = pattern.search(content, max(0, at))
                return found.start() if found else None
            end = min(at, len(content))
            while end > 0:
                start = max(0, end - _STEP)
                # What lies across two steps begins in this one.
                last = None
                for match in pattern.finditer(content, start, min(len(content), end + len(text) * 4)):
                    if match.start() < end:
                        last = match.start()
                if last is not None:
                    return last
                end = start
    except (FileNotFoundError, ValueError):
        return None  # an empty file has no map
    return None
