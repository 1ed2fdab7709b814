"""What has to be known of a commit's files before they are checked out, read once from its tree and kept."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.git.process import read_git
from mlproj.sources.unpack.entries import LARGEST_TOTAL, MOST_ENTRIES, bytes_in_words
from mlproj.text import UNPRINTABLE, one_line, plural


@dataclass(frozen=True)
class Survey:
    """A commit's submodules (path and commit of each), its files of attributes, and what is odd about its names.

    ``files`` and ``size`` are what it comes to when it is checked out.
    """

    submodules: tuple[tuple[str, str], ...]
    attributes: tuple[str, ...]
    notes: tuple[str, ...]
    files: int
    size: int


def survey(commit: str, environment: Mapping[str, str], cwd: Path, limit: int | None) -> Survey:
    """Look over the tree of ``commit``, of which ``limit`` bytes may be checked out, if it is given.

    Raises ``GitFailed``, and ``SourceError`` for one that is too large: a few objects can stand for endless files.
    """
    submodules, attributes, names, size = [], [], [], 0
    arguments = ["ls-tree", "-r", "-z", "--long", "--full-tree", "--end-of-options", commit]
    for entry in read_git(arguments, environment, cwd, b"\0"):
        told, _, raw = entry.partition(b"\t")
        mode, _, sha, length = told.decode().split()
        name = raw.decode("utf-8", "surrogateescape")
        names.append(name)
        size += int(length) if length.isdigit() else 0
        check_size(len(names), size, limit)
        if mode == "160000":
            submodules.append((name, sha))
        elif name == ".gitattributes" or name.endswith("/.gitattributes"):
            attributes.append(name)
    return Survey(tuple(submodules), tuple(attributes), tuple(_oddities(names)), len(names), size)


def check_size(files: int, size: int, limit: int | None) -> None:
    """Raise ``SourceError`` for more than may be checked out; ``limit`` takes the place of the default one."""
    most_bytes = LARGEST_TOTAL if limit is None else limit
    most_files = MOST_ENTRIES if limit is None else max(MOST_ENTRIES, limit * MOST_ENTRIES // LARGEST_TOTAL)
    if files <= most_files and size <= most_bytes:
        return
    what = f"{most_files:,} files" if files > most_files else bytes_in_words(most_bytes)
    hint = "If you trust where it comes from, `--unpack-limit 50GB`, say, raises the limit."
    raise SourceError(f"the repository comes to more than {what}", hint=hint)


def dump_survey(found: Survey) -> str:
    """The survey as the text that ``load_survey`` reads."""
    return json.dumps(asdict(found))


def load_survey(path: Path) -> Survey | None:
    """The survey kept in a file; ``None`` when there is none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        submodules = tuple((str(name), str(commit)) for name, commit in kept["submodules"])
        return Survey(
            submodules, tuple(kept["attributes"]), tuple(kept["notes"]), int(kept["files"]), int(kept["size"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _oddities(names: Iterable[str]) -> Iterable[str]:
    first: dict[str, str] = {}
    clashes = []
    hidden = []
    seen: set[str] = set()
    for name in names:
        if UNPRINTABLE.search(name):
            hidden.append(name)
        while name and name not in seen:
            seen.add(name)
            folded = unicodedata.normalize("NFC", name).casefold()
            other = first.setdefault(folded, name)
            if other != name:
                clashes.append((other, name))
            name = name.rpartition("/")[0]
    if clashes:
        shown = "; ".join(f"`{one_line(one)}` and `{one_line(other)}`" for one, other in clashes[:3])
        more = f" (and {plural(len(clashes) - 3, 'pair')} more)" if len(clashes) > 3 else ""
        yield f"names that differ only by case or by how they are encoded: {shown}{more}"
    if hidden:
        shown = ", ".join(f"`{one_line(name)}`" for name in hidden[:3])
        yield f"{plural(len(hidden), 'name')} with characters that cannot be seen: {shown}"
