"""An archive's entries as values, the limits on them, and which names they may have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from mlproj.errors import SourceError
from mlproj.text import UNPRINTABLE, one_line

Kind = Literal["file", "folder", "link", "hard link", "other"]

LARGEST_TOTAL = 20_000_000_000
# No project's files shrink that far; what unpacks to little anyway may.
LARGEST_RATIO = 200
ALWAYS_ALLOWED = 500_000_000
MOST_ENTRIES = 500_000
LONGEST_PATH, LONGEST_NAME, DEEPEST_PATH = 1024, 255, 64

_SURROGATES = re.compile("[\ud800-\udfff]")  # bytes that are not UTF-8: odd, but a name on Linux
_DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Entry:
    """One entry of an archive; ``content`` gives its bytes and may be asked only until the next entry is read."""

    name: str
    kind: Kind
    executable: bool = False
    target: str = ""
    size: int = 0
    content: Callable[[], Iterable[bytes]] = tuple


@dataclass(frozen=True)
class Limits:
    """The most that an archive may unpack to; ``reason`` says where ``total`` (in bytes) comes from."""

    total: int
    entries: int
    reason: str = ""


def limits_for(packed: int, asked: int | None) -> Limits:
    """The limits on an archive of ``packed`` bytes, where ``asked`` is the total that the user allows, if they say."""
    if asked is not None:
        return Limits(asked, max(MOST_ENTRIES, asked * MOST_ENTRIES // LARGEST_TOTAL))
    by_ratio = max(ALWAYS_ALLOWED, packed * LARGEST_RATIO)
    if by_ratio < LARGEST_TOTAL:
        reason = f", which for an archive of {bytes_in_words(packed)} looks like a bomb"
        return Limits(by_ratio, MOST_ENTRIES, reason)
    return Limits(LARGEST_TOTAL, MOST_ENTRIES)


def too_large(limits: Limits) -> SourceError:
    """The error about an archive that unpacks to more than it may."""
    message = f"it unpacks to more than {bytes_in_words(limits.total)}{limits.reason}"
    return SourceError(message, hint="If you trust where it comes from, `--unpack-limit 50GB`, say, raises the limit.")


def too_many(limits: Limits) -> SourceError:
    """The error about an archive of too many entries."""
    message = f"it has more than {limits.entries:,} files and folders"
    return SourceError(message, hint="If you trust where it comes from, `--unpack-limit 50GB`, say, raises the limit.")


def bytes_in_words(count: int) -> str:
    """A number of bytes as people say it: ``20 GB``, ``1.5 MB``."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"


def checked_parts(name: str) -> tuple[str, ...]:
    """The parts of an entry's name, below the folder that it is unpacked into; none for that folder itself.

    Raises ``SourceError`` for a name that leads out of it, that hides what it is, or that is too long.
    """
    shown = one_line(name if len(name) <= 300 else name[:300] + "…")
    if name.startswith("/") or _DRIVE.match(name):
        raise SourceError(f"its entry `{shown}` has an absolute name", hint=_PACK_AGAIN)
    if "\\" in name:
        raise SourceError(f"its entry `{shown}` has a backslash in its name", hint=_PACK_AGAIN)
    if has_odd_characters(name):
        raise SourceError(f"its entry `{shown}` has characters in its name that hide what it is")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise SourceError(f"its entry `{shown}` would be written outside of the project (`..`)", hint=_PACK_AGAIN)
    if len(_encoded(name)) > LONGEST_PATH or len(parts) > DEEPEST_PATH:
        raise SourceError(f"its entry `{shown}` has a name too long: over {LONGEST_PATH} bytes or {DEEPEST_PATH} parts")
    if any(len(_encoded(part)) > LONGEST_NAME for part in parts):
        raise SourceError(f"its entry `{shown}` has a name too long: a part over {LONGEST_NAME} bytes")
    return parts


_PACK_AGAIN = "Pack it again from within the project's folder: `git archive` and `tar -C FOLDER -cf FILE .` do it well."


def has_odd_characters(text: str) -> bool:
    """Whether ``text`` holds control characters or marks that turn the reading direction."""
    if text.isascii():
        return not text.isprintable()
    return UNPRINTABLE.search(_SURROGATES.sub("", text)) is not None or "\n" in text or "\t" in text


def comparable(part: str) -> str:
    """What two names have in common that some file system, or a reader, takes for one: case, Unicode form, no width."""
    if part.isascii():
        return part.lower().rstrip(". ") or part
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", part).casefold())
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return visible.rstrip(". ") or part


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
