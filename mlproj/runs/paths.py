"""Which files a declared path, folder or glob means, without ever opening one or walking in circles."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.globs import glob_expression, is_glob
from mlproj.text import one_line

_MOST_NOTES = 100
# Links that lead to folders with links that lead to folders … can make a few folders look like billions.
_MOST_LINKED_FOLDERS = 1000


@dataclass(frozen=True)
class FoundFile:
    """A regular file: its path as reached from the folder, with forward slashes, and its status."""

    path: str
    status: os.stat_result


@dataclass(frozen=True)
class Expansion:
    """What a pattern means: its files in order, whether anything answered to it, and what was passed over."""

    files: list[FoundFile]
    exists: bool
    notes: list[str]


def expand(pattern: str, folder: Path, within: Path | None, excluded: Sequence[Path] = ()) -> Expansion:
    """The files that ``pattern`` means in ``folder``: a file, all files of a folder, or a glob (``*``,
    ``**``, ``?``).

    Nothing whose real path is outside ``within`` (``None``: anywhere) or inside one of ``excluded`` is
    looked at; it is told in ``notes``, as are special files and links that lead nowhere or in a circle.
    """
    boundary = None if within is None else os.path.realpath(within)
    walk = _Walk(os.fspath(folder), boundary, [os.path.realpath(each) for each in excluded])
    clean = os.path.normpath(pattern).replace(os.sep, "/")
    if boundary is not None and clean.split("/")[0] == "..":
        return Expansion([], False, [f"{one_line(pattern)} leads outside the project and was not read"])
    # A file may be named like a glob: what is there under the very name is meant.
    if not is_glob(clean) or os.path.lexists(os.path.join(walk.folder, clean)):  # noqa: PTH118  pathlib is slow on 10 000 files
        files = sorted(walk.files_at(clean, frozenset()), key=lambda each: each.path)
        there = os.path.exists(os.path.join(walk.folder, clean))  # noqa: PTH110, PTH118  pathlib is slow on 10 000 files
        return Expansion(files, there and (bool(files) or not walk.notes), walk.told(lambda _: True))
    parts = clean.split("/")
    fixed = next(index for index, part in enumerate(parts) if is_glob(part))
    start = "/".join(parts[:fixed]) or ("/" if clean.startswith("/") else ".")
    matches = re.compile(glob_expression(clean), re.DOTALL).fullmatch
    files = [each for each in walk.files_at(start, frozenset()) if matches(each.path)]
    return Expansion(
        sorted(files, key=lambda each: each.path),
        bool(files),
        walk.told(lambda path: matches(path) is not None),
    )


@dataclass
class _Walk:
    folder: str
    boundary: str | None
    excluded: list[str]
    notes: list[tuple[str, str]] = field(default_factory=list)
    linked_folders: int = 0

    def files_at(self, path: str, above: frozenset[str]) -> Iterator[FoundFile]:
        """The file at ``path``, or those of the folder there; ``above`` are the real
        folders that led to it.
        """
        whole = os.path.join(self.folder, path)  # noqa: PTH118  os.path: pathlib is slow on 10 000 files
        try:
            link = stat.S_ISLNK(os.lstat(whole).st_mode)
            real = os.path.realpath(whole)
            if self._outside(real):
                self._note(
                    path,
                    "leads outside the project and was not read" if link else "is outside and was not read",
                )
                return
            if any(_inside(real, each) for each in self.excluded):
                return
            status = os.stat(whole)  # noqa: PTH116  pathlib is slow on 10 000 files
            if stat.S_ISREG(status.st_mode):
                yield FoundFile("/".join(part for part in path.split("/") if part != "."), status)
            elif not stat.S_ISDIR(status.st_mode):
                self._note(path, "is no regular file and was not read")
            elif real in above or (link and self._holds(real, above)):
                self._note(path, "leads in a circle and was not followed")
            elif link and self.linked_folders >= _MOST_LINKED_FOLDERS:
                self._note(path, f"is one of more than {_MOST_LINKED_FOLDERS} linked folders and was not followed")
            else:
                self.linked_folders += link
                for name in sorted(os.listdir(whole)):  # noqa: PTH208  pathlib is slow on 10 000 files
                    yield from self.files_at(name if path == "." else f"{path.rstrip('/')}/{name}", above | {real})
        except FileNotFoundError:
            if os.path.lexists(whole):
                self._note(path, "is a link that leads nowhere")
        except (OSError, RecursionError) as error:
            self._note(path, f"could not be read: {getattr(error, 'strerror', None) or 'too deep'}")

    def _outside(self, real: str) -> bool:
        return self.boundary is not None and not _inside(real, self.boundary)

    def _holds(self, real: str, above: frozenset[str]) -> bool:
        """Whether a folder holds one of those that led to it, as `/` does all of them."""
        return any(_inside(each, real) for each in above or {os.path.realpath(self.folder)})

    def _note(self, path: str, what: str) -> None:
        if len(self.notes) < 10 * _MOST_NOTES:
            self.notes.append((path, what))

    def told(self, concerns: Callable[[str], bool]) -> list[str]:
        """The notes on folders, and on what else the pattern concerns."""
        shown = [
            f"{one_line(path)} {what}"
            for path, what in self.notes
            if concerns(path) or os.path.isdir(os.path.join(self.folder, path))  # noqa: PTH112, PTH118  pathlib is slow on 10 000 files
        ]
        return shown[:_MOST_NOTES]


def _inside(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip("/") + "/")
