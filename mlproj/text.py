"""Text that is safe and helpful to show a person: no control characters, the nearest valid name, spans of time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# C0 and C1 controls (with ESC, so every ANSI and OSC sequence), and the marks that turn the reading direction
# around (Unicode's UAX #9), by which a name can pose as another one. Newline and tab stay.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: object) -> str:
    """``text`` with every character that could act on a terminal shown as its escape (``\\x1b``)."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


def one_line(text: object) -> str:
    """``printable`` text with newlines and tabs escaped as well."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def brief(text: object, most: int = 200) -> str:
    """``one_line`` text of at most ``most`` characters, and an ellipsis for the rest."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[:most]}…"


def listed(names: Sequence[str], most: int = 3) -> str:
    """A few names, each in a line's form, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(one_line, names[:most])) + more


def is_text(text: str) -> bool:
    """Whether all in it is characters: no halves of UTF-16 pairs, which UTF-8 cannot have."""
    return not any("\ud800" <= each <= "\udfff" for each in text)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``name`` is most likely a misspelling of, or ``None``."""
    import difflib

    by_lower = {candidate.lower().replace("-", "_"): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`` Did you mean `nearest`?`` with a leading space, or the empty string when nothing is near."""
    found = nearest(name, candidates)
    return "" if found is None else f" Did you mean `{one_line(found)}`?"


def duration(seconds: float) -> str:
    """A span of time in the two units that matter: ``0.8 s``, ``2 m 05 s``, ``3 h 07 m``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} m {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} m"


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2 files``, ``3 processes``."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
