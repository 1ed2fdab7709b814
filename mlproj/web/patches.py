"""Patches and differences, a class for each of their lines."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_STARTS = (
    ("diff ", "file"), ("+++", "file"), ("---", "file"), ("index ", "file"), ("@@", "hunk"), ("+", "add"), ("-", "del"),
)  # fmt: skip
_MOST_LINES = 2000
Line = tuple[str, str]


def patch_lines(text: str) -> list[Line]:
    """The lines of a patch, each with the class that it is drawn in."""
    return [(line, next((kind for start, kind in _STARTS if line.startswith(start)), "")) for line in text.splitlines()]


def difference(one: Sequence[str], other: Sequence[str], names: tuple[str, str]) -> list[Line]:
    """What differs between two texts, as a unified diff of their last lines; nothing when they are the same."""
    # It takes the square of the lines at worst.
    lines = difflib.unified_diff(one[-_MOST_LINES:], other[-_MOST_LINES:], *names, lineterm="")
    return patch_lines("\n".join(lines))
