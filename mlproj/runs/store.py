"""The store of runs: opening it, and a run's way through it from its first record to its last."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproj import locks
from mlproj.errors import StoreError
from mlproj.runs.database import DATABASE_NAME, explained, open_database, open_for_reading, transaction
from mlproj.runs.identifiers import next_id
from mlproj.runs.index import index_record, number_of
from mlproj.runs.layout import RunFiles, live_files, new_files, trashed_files
from mlproj.runs.record import RunRecord
from mlproj.runs.record_files import read_record, reserve_space, write_record
from mlproj.text import one_line


@dataclass(frozen=True)
class Store:
    """An open store. Its connection is one thread's at a time; threads that work at once open their own."""

    folder: Path
    connection: sqlite3.Connection


@dataclass(frozen=True)
class LiveRun:
    """A run that this process runs, which it says by holding the run's lock until
    ``finish`` or its own death.
    """

    store: Store
    id: str
    files: RunFiles
    lock: locks.HeldLock


def open_store(folder: Path) -> Store:
    """Open the store in ``folder`` for reading and writing, made where there is none. Raises StoreError."""
    with explained(folder):
        (folder / "runs").mkdir(parents=True, exist_ok=True)
    return Store(folder, open_database(folder / DATABASE_NAME))


def open_store_for_reading(folder: Path) -> Store:
    """Open a store that is there, to read it only, also from a read-only disk. Raises StoreError."""
    if not (folder / DATABASE_NAME).exists():
        raise StoreError(f"there is no store in {one_line(folder)}")
    return Store(folder, open_for_reading(folder / DATABASE_NAME))


def close_store(store: Store) -> None:
    """Close the store's connection. A process that ends without is safe as well, and spares
    itself the fsync.
    """
    store.connection.close()


def new_run_id(store: Store) -> str:
    """An id for the next run: larger than any in the store, also when the clock went back.
    Raises StoreError.
    """
    with explained(store.folder):
        newest = store.connection.execute("SELECT max(id) FROM runs").fetchone()[0]
    return next_id(newest)


def begin(store: Store, record: RunRecord) -> LiveRun:
    """Put a new run into the store and hold it as running. ``record.id`` is from ``new_run_id``.

    Whatever kills this process, and whenever: the store holds the run whole, or nothing of it. Raises
    StoreError.
    """
    new, files = new_files(store.folder, record.id), live_files(store.folder, record.id)
    lock = None
    try:
        with explained(store.folder):
            new.artifacts.mkdir(parents=True)
            lock = locks.try_exclusive(new.alive_lock)
            if lock is None:
                raise StoreError(f"run {record.id} is being made by another process")
            reserve_space(new.reserve)
            write_record(new, record)
            # Only now do others see the run, with its record in it and its lock held.
            new.folder.rename(files.folder)
            lock = replace(lock, path=files.alive_lock)
        with transaction(store.folder, store.connection) as connection:
            index_record(connection, record)
    except BaseException:
        if lock is not None:
            lock.release()
            shutil.rmtree(new.folder, ignore_errors=True)
            shutil.rmtree(files.folder, ignore_errors=True)
        raise
    return LiveRun(store, record.id, files, lock)


def save(live: LiveRun, record: RunRecord) -> None:
    """Replace the record of a run while it runs, in ``run.json`` and then in the database.
    Raises StoreError.
    """
    write_record(live.files, record)
    with transaction(live.store.folder, live.store.connection) as connection:
        index_record(connection, record)


def finish(live: LiveRun, record: RunRecord) -> None:
    """Write the final record of a run and let go of it.

    Raises StoreError when the record or the database could not be written. With the record written, the next
    ``settle_lost`` mends the database; without it, it finds the run ``lost``.
    """
    try:
        write_record(live.files, record)
        with explained(live.store.folder):
            live.files.reserve.unlink(missing_ok=True)
        with transaction(live.store.folder, live.store.connection) as connection:
            index_record(connection, record)
    finally:
        live.lock.release()


def files_of(store: Store, run_id: str) -> RunFiles:
    """Where the files of a stored run are, in the trash or not."""
    files = live_files(store.folder, run_id)
    trashed = trashed_files(store.folder, run_id)
    return trashed if not files.folder.exists() and trashed.folder.exists() else files


def is_live(store: Store, run_id: str) -> bool:
    """Whether the runner of a run is alive: whether somebody holds the run's lock. Raises StoreError."""
    files = live_files(store.folder, run_id)
    if not files.alive_lock.exists():
        return False
    with explained(store.folder):
        # Shared, so that two who look at once do not take each other for the runner.
        held = locks.try_shared(files.alive_lock)
    if held is None:
        return True
    held.release()
    return False


def load(store: Store, run_id: str) -> RunRecord:
    """The record of a run by its whole id; of a running one with what it has logged so far.

    Raises StoreError when the run's record is missing or damaged.
    """
    try:
        record = read_record(files_of(store, run_id))
    except FileNotFoundError as error:
        raise StoreError(
            f"run {one_line(run_id)} has lost its record, {one_line(files_of(store, run_id).record)}",
            hint="`mlproj store check` lists what is wrong with the store.",
        ) from error
    return _with_logged(store, record) if record.status == "running" else record


def _with_logged(store: Store, record: RunRecord) -> RunRecord:
    # The runner writes run.json at the start and at the end; what is logged in between is in the database.
    def rows(statement: str) -> dict[str, Any]:
        return dict(store.connection.execute(statement, (number,)))

    with explained(store.folder):
        number = number_of(store.connection, record.id)
        params = rows("SELECT name, value FROM params WHERE run = ?")
        tags = rows("SELECT name, value FROM tags WHERE run = ?")
        metrics = rows("SELECT name, value FROM metrics WHERE run = ?")
    return replace(
        record,
        parameters={**params, **record.parameters},
        tags={**record.tags, **tags},
        metrics={
            **record.metrics,
            **{name: float("nan") if value is None else value for name, value in metrics.items()},
        },
    )


def shown_id(store: Store, run_id: str, shortest: int = 8) -> str:
    """The shortest prefix of an id, of at least ``shortest`` characters, that no other run
    in the store has.
    """
    with explained(store.folder):
        neighbours = [
            store.connection.execute(f"SELECT {end}(id) FROM runs WHERE id {sign} ?", (run_id,)).fetchone()[0]  # noqa: S608  what is put in is our own, and values are bound
            for end, sign in (("max", "<"), ("min", ">"))
        ]
    common = max((_common_length(run_id, other) for other in neighbours if other), default=0)
    return run_id[: max(shortest, common + 1)]


def _common_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=True))
    return next((index for index, (left, right) in pairs if left != right), len(one))
