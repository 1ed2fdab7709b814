"""The identity of a folder that is in no repository: a digest of its files' names, kinds and contents."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

IGNORE_FILES = (".gitignore", ".mlprojignore")
# What no project means as its source, so that a folder's identity does not change by running it.
ALWAYS_IGNORED = frozenset(
    (".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".tox", ".nox", "node_modules", ".DS_Store")
    + (".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".mlproj")
)
LARGEST_FILE = 200 << 20


def digest_of_folder(folder: Path, outputs: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """The SHA-256 over every file that is not ignored, and the names of those too large to be read.

    Ignored is what ``.gitignore`` and ``.mlprojignore`` files say, what is never source (``.git``, caches), and the
    ``outputs`` that runs leave. A file
    over 200 MiB counts with its size and time of change instead of its content. Symbolic links count as what they
    point at by name, and are not followed.
    """
    digest = hashlib.sha256()
    too_large = []
    for name, entry in source_files(folder, outputs):
        status = entry.stat(follow_symlinks=False)
        encoded = name.encode("utf-8", "surrogateescape")
        if stat.S_ISLNK(status.st_mode):
            content = os.fsencode(Path(entry.path).readlink())
            kind = b"link"
        elif not stat.S_ISREG(status.st_mode):
            continue
        elif status.st_size > LARGEST_FILE:
            too_large.append(name)
            content, kind = f"{status.st_size} {status.st_mtime_ns}".encode(), b"large"
        else:
            with open(entry.path, "rb") as stream:  # noqa: PTH123  10 000 Path objects cost a tenth of a second
                content = stream.read()
            kind = b"exec" if status.st_mode & stat.S_IXUSR else b"file"
        for part in (kind, encoded, content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest(), tuple(too_large)


def source_files(folder: Path, outputs: Sequence[str] = ()) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file of a folder that is neither ignored nor one of ``outputs``, with its relative name, in their order."""
    return _files(str(folder), _matcher(outputs))


def _matcher(outputs: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name is one of the outputs (paths and globs), or in one that is a folder."""
    if not outputs:
        return lambda _: False
    patterns = [fnmatch.translate(path.rstrip("/").removeprefix("./")) for path in outputs]
    matcher = re.compile("|".join(patterns))
    return lambda name: matcher.match(name) is not None


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
