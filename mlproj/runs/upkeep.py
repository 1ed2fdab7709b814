"""Mending the store: runs whose runner died, rows and folders that do not agree, a database made anew."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlproj import locks
from mlproj.errors import StoreError
from mlproj.runs.database import (
    DATABASE_NAME,
    explained,
    integrity_problems,
    on_network_file_system,
    open_database,
    refuse_newer,
    transaction,
)
from mlproj.runs.identifiers import is_run_id
from mlproj.runs.index import (
    UnindexableRecordError,
    check_indexable,
    forget_metrics,
    index_record,
    number_of,
    plain,
)
from mlproj.runs.intake import open_intake
from mlproj.runs.layout import CRATE_PREFIX, NEW_PREFIX, RunFiles, live_files, trashed_files
from mlproj.runs.record import RunRecord, not_brought
from mlproj.runs.record_files import read_record, write_record
from mlproj.runs.store import Store, is_live
from mlproj.runs.times import now_text, seconds_of, time_text
from mlproj.runs.totals import with_totals
from mlproj.text import one_line, plural


def settle_lost(store: Store, this_host: str) -> list[RunRecord]:
    """Close every run that is called running and whose runner is dead, as ``lost``; returns those records.

    Their ``supervisor`` tells the caller which processes may be left. A run whose final record was
    written, and not its row, gets its row instead. On a network file system locks do not tell of the dead
    of another host, so that host's runs are left for it to judge. Raises StoreError.
    """
    with explained(store.folder):
        known = {row[0] for row in store.connection.execute("SELECT id FROM runs")}
        running = [row[0] for row in store.connection.execute("SELECT id FROM runs WHERE status = 'running'")]
        folders = set(os.listdir(store.folder / "runs"))  # noqa: PTH208  pathlib takes 30 ms more for 10 000
    suspects = [run_id for run_id in running if run_id in folders]
    suspects += sorted(name for name in folders - known if is_run_id(name))
    lost = [_settled(store, run_id, this_host) for run_id in suspects if not is_live(store, run_id)]
    return [record for record in lost if record is not None]


def _settled(store: Store, run_id: str, this_host: str) -> RunRecord | None:
    files = live_files(store.folder, run_id)
    if not files.folder.exists():
        return None  # moved to the trash meanwhile
    with explained(store.folder), locks.exclusive_here(files.change_lock):
        try:
            record = read_record(files)
        except (FileNotFoundError, StoreError):
            return None  # `check` tells of it
        found_lost = record.status == "running"
        if found_lost:
            elsewhere = record.host not in (None, this_host)
            if elsewhere and on_network_file_system(store.folder):
                return None
            record = _as_lost(files, record)
            write_record(files, record)
            files.reserve.unlink(missing_ok=True)
            shutil.rmtree(files.uploads, ignore_errors=True)
        try:
            record = index_anew(store, files, record)
        except UnindexableRecordError:
            return None  # `check` tells of it
    return record if found_lost else None


def _as_lost(files: RunFiles, record: RunRecord) -> RunRecord:
    heard = [path.stat().st_mtime for path in (files.record, files.log, files.metrics) if path.exists()]
    ended = max(heard, default=time.time())
    try:
        started = seconds_of(record.started_at)
    except (TypeError, ValueError, OverflowError, AttributeError):
        started = ended
    return replace(
        record,
        status="lost",
        ended_at=time_text(ended),
        duration_s=round(max(0.0, ended - started), 3),
        error="the mlproj that ran it ended without a word",
    )


def index_anew(store: Store, files: RunFiles, record: RunRecord) -> RunRecord:
    """Put a run that nobody runs into the database, with all of its metrics file."""
    with transaction(store.folder, store.connection) as connection:
        # From the beginning: a record that was never closed lacks what the dead runner had taken in.
        forget_metrics(connection, index_record(connection, replace(record, metrics={})))
    totals = open_intake(store, record.id, files.metrics).close()
    if record.status == "lost":
        record = with_totals(record, totals)
        write_record(files, record)
    with transaction(store.folder, store.connection) as connection:
        index_record(connection, record)
    return record


def rebuild(folder: Path) -> tuple[int, list[str]]:
    """Make a new database from the runs' folders; returns how many runs it holds and what could not be read.

    Works when the database is damaged or missing; the old one is kept as ``mlproj.db.old-…``. Raises
    StoreError.
    """
    scratch = folder / "rebuild"
    problems: list[str] = []
    refuse_newer(folder / DATABASE_NAME)
    with explained(folder):
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        with locks.exclusive(folder / "rebuild.lock"):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            store = Store(folder, open_database(scratch / DATABASE_NAME))
            count = 0
            try:
                for files in _all_files(folder):
                    problem = _taken_in(store, files)
                    count += problem is None
                    problems += [] if problem is None else [problem]
                store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                store.connection.close()
            _replace_database(folder, scratch)
    return count, problems


def _taken_in(store: Store, files: RunFiles) -> str | None:
    try:
        index_anew(store, files, read_record(files))
    except FileNotFoundError:
        return f"{one_line(files.folder)} has no run.json"
    except StoreError as error:
        return error.message
    return None


def _replace_database(folder: Path, scratch: Path) -> None:
    moment = now_text().replace(":", "").replace(".", "")
    for suffix in ("-wal", "-shm", "-journal", ""):
        old = folder / f"{DATABASE_NAME}{suffix}"
        if old.exists():
            old.rename(folder / f"{DATABASE_NAME}.old-{moment}{suffix}")
    (scratch / DATABASE_NAME).rename(folder / DATABASE_NAME)
    shutil.rmtree(scratch)


def check(store: Store) -> list[str]:
    """What is wrong with the store, in words, and what to do about it; empty when it is sound."""
    problems = [f"the database is damaged: {each}" for each in integrity_problems(store.folder / DATABASE_NAME)]
    if problems:
        return [*problems, "`mlproj store rebuild` makes a new database from the runs' own folders"]
    with explained(store.folder):
        rows = {row[0] for row in store.connection.execute("SELECT id FROM runs")}
        seen = set()
        for files in _all_files(store.folder):
            seen.add(files.folder.name)
            problems += _problems_of(files, known=files.folder.name in rows)
            problems += _other_metrics(store, files)
        problems += [f"run {run_id} is in the database and its folder is gone" for run_id in sorted(rows - seen)]
        begun = sum(_is_abandoned(each) for each in (store.folder / "runs").glob(f"{NEW_PREFIX}*"))
    if begun:
        problems.append(f"{plural(begun, 'run')} died before they began: `mlproj gc` removes what is left")
    return problems


def _problems_of(files: RunFiles, *, known: bool) -> Iterator[str]:
    try:
        record = read_record(files)
        check_indexable(record)
    except FileNotFoundError:
        yield f"{one_line(files.folder)} has no run.json"
        return
    except StoreError as error:
        yield error.message
        return
    if record.id != files.folder.name:
        yield f"{one_line(files.record)} is the record of another run, {one_line(record.id)}"
    if not known:
        yield f"run {files.folder.name} is not in the database: `mlproj store rebuild` puts it there"
    absent = not_brought(record)
    for output in record.outputs:
        for each in output.files:
            kept = files.artifacts / each.path
            if f"artifacts/{each.path}" in absent and not os.path.lexists(kept):
                continue
            if not kept.is_file() or kept.stat().st_size != each.size:
                yield f"run {record.id}: the artifact {one_line(each.path)} is gone or of another size"


def _other_metrics(store: Store, files: RunFiles) -> Iterator[str]:
    """Where a run that has ended has other metrics in the database, which filters ask, than in its record."""
    try:
        record = read_record(files)
        check_indexable(record)
    except (FileNotFoundError, StoreError):
        return
    number = number_of(store.connection, record.id)
    if number < 0 or record.status == "running":
        return
    rows = store.connection.execute("SELECT name, value FROM metrics WHERE run = ?", (number,))
    found = {name: str(math.nan if value is None else float(value)) for name, value in rows}
    recorded = {plain(name): str(float(value)) for name, value in record.metrics.items()}
    if other := sorted(name for name in {**found, **recorded} if found.get(name) != recorded.get(name)):
        names = ", ".join(one_line(name) for name in other[:3]) + (", …" if len(other) > 3 else "")
        told = f"run {record.id}: its metrics in the database are not those of its run.json: {names}"
        yield f"{told}; `mlproj store rebuild` takes them from there"


def sweep(store: Store) -> int:
    """Remove what runs that died before they began left behind; returns how many there were."""
    return _swept(store, NEW_PREFIX)


def sweep_crates(store: Store) -> int:
    """Remove what imports that were killed left behind; returns how many there were."""
    return _swept(store, CRATE_PREFIX)


def _swept(store: Store, prefix: str) -> int:
    count = 0
    for each in (store.folder / "runs").glob(f"{prefix}*"):
        with _abandoned(each) as is_abandoned:
            if is_abandoned:
                shutil.rmtree(each, ignore_errors=True)
                count += 1
    return count


def _is_abandoned(folder: Path) -> bool:
    with _abandoned(folder) as is_abandoned:
        return is_abandoned


@contextmanager
def _abandoned(folder: Path) -> Iterator[bool]:
    """Whether whoever made a folder is dead; its lock is held for the length of the ``with`` block."""
    held = None
    try:
        lock = folder / "alive.lock"
        has_lock = lock.exists()
        # Between its mkdir and its lock a folder that is being made looks dead; a minute is longer than that takes.
        is_settled = has_lock and folder.name.startswith(CRATE_PREFIX)
        is_dead = is_settled or time.time() - folder.stat().st_mtime >= 60
        if is_dead and has_lock:
            held = locks.try_shared(lock)
            is_dead = held is not None
    except OSError:
        is_dead = False
    try:
        yield is_dead
    finally:
        if held is not None:
            held.release()


def _run_ids(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir() if is_run_id(each.name)} if folder.exists() else set()


def _all_files(folder: Path) -> Iterator[RunFiles]:
    for run_id in sorted(_run_ids(folder / "runs")):
        yield live_files(folder, run_id)
    for run_id in sorted(_run_ids(folder / "trash")):
        yield trashed_files(folder, run_id)
