"""Hashing what a run reads, with a cache so that unchanged data is read once and not at every run."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.files import sha256_of_file
from mlproj.runs.paths import FoundFile, expand
from mlproj.runs.record import InputRecord
from mlproj.text import one_line

# A file written to within this time could be written to again without its time changing: some file systems
# keep time in steps of two seconds.
_SETTLED_AFTER_S = 2.5
_WORTH_CACHING = 64 * 1024


@dataclass(frozen=True)
class HashedInputs:
    """The inputs with their digests.

    ``problems`` are those that could not be read or are not there, ``notes`` what was passed over within
    them.
    """

    inputs: list[InputRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def hash_inputs(patterns: Sequence[str], project: Path, cache: Path) -> HashedInputs:
    """Hash the files, folders and globs in ``patterns``, relative to ``project`` or absolute.

    Symbolic links are followed, as data often is a link to where there is room for it. The digest of a
    folder or glob is over its sorted lines ``sha256  path``, as ``sha256sum`` writes them. ``cache`` is
    mlproj's cache folder; one that cannot be used costs time and nothing else.
    """
    hashed = HashedInputs()
    if not patterns:
        return hashed
    connection = _open_cache(cache)
    try:
        for pattern in patterns:
            _hash_one(pattern, project, connection, hashed)
    finally:
        if connection is not None:
            connection.close()
    return hashed


def digest_of_input(pattern: str, folder: Path, cache: Path) -> str | None:
    """The digest that ``hash_inputs`` gives one pattern; ``None`` where it is not there, or cannot be read."""
    hashed = hash_inputs([pattern], folder, cache)
    return hashed.inputs[0].sha256 if hashed.inputs and not hashed.problems else None


def _hash_one(pattern: str, project: Path, connection: sqlite3.Connection | None, hashed: HashedInputs) -> None:
    expansion = expand(pattern, project, None)
    said = [f"input {note}" for note in expansion.notes]
    if not expansion.exists:
        hashed.problems.extend(said or [f"input {one_line(pattern)} is not there"])
        return
    hashed.notes.extend(said)
    lines, size = [], 0
    for found in expansion.files:
        try:
            digest = _digest(project / found.path, found, connection)
        except OSError as error:
            reason = one_line(error.strerror or error)
            hashed.problems.append(f"input {one_line(found.path)} cannot be read: {reason}")
            return
        lines.append((found.path, digest))
        size += found.status.st_size
    single = len(lines) == 1 and lines[0][0] == os.path.normpath(pattern)
    whole = lines[0][1] if single else _digest_of_lines(lines)
    hashed.inputs.append(InputRecord(pattern, size, whole, len(lines)))


def _digest_of_lines(lines: list[tuple[str, str]]) -> str:
    text = "".join(f"{digest}  {path}\n" for path, digest in sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _open_cache(folder: Path) -> sqlite3.Connection | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / "input-hashes.db", timeout=2, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            """CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, device INTEGER, inode INTEGER,
            size INTEGER, modified_ns INTEGER, changed_ns INTEGER, sha256 TEXT) WITHOUT ROWID"""
        )
    except (sqlite3.Error, OSError):
        return None
    return connection


def _digest(path: Path, found: FoundFile, connection: sqlite3.Connection | None) -> str:
    status = found.status
    if connection is None or status.st_size < _WORTH_CACHING:
        return sha256_of_file(path)
    name = os.fspath(path).encode("utf-8", "backslashreplace").decode()
    # The time of change (ctime) too: it moves when a file is replaced by one with the same times (`cp -p`).
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with suppress(sqlite3.Error, OverflowError):
        row = connection.execute(
            "SELECT sha256 FROM hashes WHERE path = ? AND device = ? AND inode = ? AND size = ? "
            "AND modified_ns = ? AND changed_ns = ?",
            (name, *identity),
        ).fetchone()
        if row is not None:
            return str(row[0])
    digest = sha256_of_file(path)
    after = path.stat()
    unchanged = (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    if unchanged and time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_AFTER_S:
        with suppress(sqlite3.Error, OverflowError):
            connection.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?)", (name, *identity, digest))
    return digest
