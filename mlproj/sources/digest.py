"""The identity of a folder that is in no repository: a digest of its files' names, kinds and contents; and those."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mlproj.globs import glob_expression, is_glob

IGNORE_FILES = (".gitignore", ".mlprojignore")
# What no project means as its source, so that a folder's identity does not change by running it.
ALWAYS_IGNORED = frozenset(
    (".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".tox", ".nox", "node_modules", ".DS_Store")
    + (".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".mlproj")
)
LARGEST_FILE = 200 << 20
# What is kept with every run of a folder: enough for code, too little to fill a disk by a thousand runs.
MOST_KEPT_BYTES = 5 << 20
MOST_KEPT_FILES = 1000


class SourceFile(NamedTuple):
    """One file of a folder: its name, its kind (``file``, ``exec`` or ``link``), its bytes or what it points at."""

    name: str
    kind: str
    content: bytes


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds: the SHA-256 over all of it, and the names of files too large to be read.

    ``files`` are the files themselves, where all of them are at most 5 MiB and 1,000; else there are none. By the
    ``stamp`` it is told later, without reading, that nothing has changed.
    """

    digest: str
    stamp: str
    too_large: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = field(default=(), repr=False)


def read_folder(folder: Path, outputs: Sequence[str] = ()) -> FolderContent:
    """Read every file that is not ignored.

    Ignored is what ``.gitignore`` and ``.mlprojignore`` files say, what is never source (``.git``, caches), and the
    ``outputs`` that runs leave. A file
    over 200 MiB counts with its size and time of change instead of its content. Symbolic links count as what they
    point at by name, and are not followed.
    """
    digest, stamp = hashlib.sha256(), hashlib.sha256()
    too_large = []
    files: list[SourceFile] = []
    room = MOST_KEPT_BYTES
    for name, entry in source_files(folder, outputs):
        status = entry.stat(follow_symlinks=False)
        stamp.update(_stamp(name, status))
        encoded = name.encode("utf-8", "surrogateescape")
        if stat.S_ISLNK(status.st_mode):
            content, kind = os.fsencode(os.readlink(entry.path)), "link"  # noqa: PTH115  Path changes what it says
        elif not stat.S_ISREG(status.st_mode):
            continue
        elif status.st_size > LARGEST_FILE:
            too_large.append(name)
            content, kind = f"{status.st_size} {status.st_mtime_ns}".encode(), "large"
            room = -1
        else:
            with open(entry.path, "rb") as stream:  # noqa: PTH123  10 000 Path objects cost a tenth of a second
                content = stream.read()
            kind = "exec" if status.st_mode & stat.S_IXUSR else "file"
        for part in (kind.encode(), encoded, content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        room -= len(content)
        if room < 0 or len(files) == MOST_KEPT_FILES:
            room, files = -1, []
        else:
            files.append(SourceFile(name, kind, content))
    return FolderContent(digest.hexdigest(), stamp.hexdigest(), tuple(too_large), tuple(files))


def stamp_of_folder(folder: Path, outputs: Sequence[str] = ()) -> str:
    """The ``stamp`` that ``read_folder`` would give: over the names, sizes and times of the files."""
    stamp = hashlib.sha256()
    for name, entry in source_files(folder, outputs):
        stamp.update(_stamp(name, entry.stat(follow_symlinks=False)))
    return stamp.hexdigest()


def _stamp(name: str, status: os.stat_result) -> bytes:
    return repr((name, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)).encode()


def write_source_files(files: Iterable[SourceFile], folder: Path) -> None:
    """Write the files of a folder into a new one, which is there whole or not at all. Raises OSError."""
    new = folder.with_name(f".{folder.name}.new")
    new.mkdir(parents=True)
    for name, kind, content in files:
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            path.symlink_to(os.fsdecode(content))
            continue
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if kind == "exec" else 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    new.rename(folder)


def source_files(folder: Path, outputs: Sequence[str] = ()) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file of a folder that is neither ignored nor one of ``outputs``, with its relative name, in their order."""
    return _files(str(folder), _matcher(outputs, folder))


def _matcher(outputs: Sequence[str], folder: Path) -> Callable[[str], bool]:
    """Whether a name is one of the outputs (paths and globs), or in one that is a folder."""
    if not outputs:
        return lambda _: False
    paths = [os.path.normpath(path) for path in outputs]
    # A file may be named like a glob: what is there under the very name is meant.
    literal = [not is_glob(path) or os.path.lexists(folder / path) for path in paths]
    patterns = [re.escape(path) if is_name else glob_expression(path) for path, is_name in zip(paths, literal)]
    matcher = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL)
    return lambda name: matcher.fullmatch(name) is not None


def _files(top: str, is_output: Callable[[str], bool]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file below ``top`` that is not ignored, with its relative name, in the order of the names."""
    pending: list[tuple[str, str, tuple[tuple[str, Any], ...]]] = [(top, "", ())]
    while pending:
        folder, prefix, rules = pending.pop()
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        rules = rules + _rules_in(folder, prefix, {entry.name for entry in entries})
        folders = []
        for entry in entries:
            name = prefix + entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name in ALWAYS_IGNORED or is_output(name) or _ignored(name + "/" * is_folder, rules):
                continue
            if is_folder:
                folders.append((entry.path, name + "/", rules))
            else:
                yield name, entry
        pending += reversed(folders)


def _rules_in(folder: str, prefix: str, names: set[str]) -> tuple[tuple[str, Any], ...]:
    present = [name for name in IGNORE_FILES if name in names]
    if not present:
        return ()
    import pathspec

    lines: list[str] = []
    for name in present:
        path = Path(folder, name)
        if path.is_file():
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return ((prefix, pathspec.GitIgnoreSpec.from_lines(lines)),)


def _ignored(name: str, rules: tuple[tuple[str, Any], ...]) -> bool:
    """Whether the deepest ignore file that says anything about ``name`` says to ignore it."""
    for prefix, spec in reversed(rules):
        verdict = spec.check_file(name[len(prefix) :]).include
        if verdict is not None:
            return bool(verdict)
    return False
