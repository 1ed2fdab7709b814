"""Deleting runs: into the trash first, out of it again, and for good."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj import locks
from mlproj.errors import StoreError, UsageError
from mlproj.files import folder_size
from mlproj.runs.database import explained, transaction
from mlproj.runs.identifiers import is_run_id
from mlproj.runs.index import forget_run, index_record, number_of
from mlproj.runs.layout import RunFiles, live_files, trashed_files
from mlproj.runs.record_files import read_record, write_record
from mlproj.runs.store import Store, is_live
from mlproj.runs.times import now_text, seconds_of
from mlproj.runs.upkeep import sweep


@dataclass(frozen=True)
class Freed:
    """What was removed for good: how many runs, and the bytes that they took."""

    runs: int
    bytes: int


def delete(store: Store, run_id: str) -> None:
    """Move a run to the trash, with all its files. Raises UsageError while it runs, StoreError."""
    files, target = live_files(store.folder, run_id), trashed_files(store.folder, run_id)
    if is_live(store, run_id):
        raise UsageError(f"run {run_id} is running", hint=f"`mlproj stop {run_id[:12]}` stops it.")
    _move(store, files, target, deleted_at=now_text())


def restore(store: Store, run_id: str) -> None:
    """Take a run out of the trash. Raises UsageError when it is not in it, StoreError."""
    files, target = trashed_files(store.folder, run_id), live_files(store.folder, run_id)
    if not files.folder.exists():
        raise UsageError(f"run {run_id} is not in the trash")
    _move(store, files, target, deleted_at=None)


def _move(store: Store, files: RunFiles, target: RunFiles, *, deleted_at: str | None) -> None:
    with explained(store.folder), locks.exclusive_here(files.change_lock):
        record = replace(read_record(files), deleted_at=deleted_at)
        write_record(files, record)
        target.folder.parent.mkdir(exist_ok=True)
        files.folder.rename(target.folder)
    with transaction(store.folder, store.connection) as connection:
        index_record(connection, record)


def gc(store: Store, older_than_s: float = 0.0) -> Freed:
    """Remove for good what has been in the trash for ``older_than_s`` seconds, and what never came to be
    a run.

    Raises StoreError.
    """
    runs = freed = 0
    for files in _in_trash(store.folder):
        with explained(store.folder):
            if time.time() - _deleted_at(files) < older_than_s:
                continue
            freed += folder_size(files.folder)
            # The row goes first: a folder without one is found again, a row without a folder is a broken run.
            if number_of(store.connection, files.folder.name) != -1:
                with transaction(store.folder, store.connection) as connection:
                    forget_run(connection, files.folder.name)
            shutil.rmtree(files.folder)
            runs += 1
    sweep(store)
    return Freed(runs, freed)


def _in_trash(folder: Path) -> Iterator[RunFiles]:
    trash = folder / "trash"
    for each in sorted(trash.iterdir()) if trash.exists() else ():
        if is_run_id(each.name):
            yield RunFiles(each)


def _deleted_at(files: RunFiles) -> float:
    try:
        deleted_at = read_record(files).deleted_at
        return seconds_of(deleted_at) if deleted_at else files.folder.stat().st_mtime
    except (OSError, ValueError, StoreError):
        return files.folder.stat().st_mtime
