"""Changing a stored run: its record, and what it logged, while it runs and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlproj import locks
from mlproj.runs.database import explained, transaction
from mlproj.runs.index import index_record
from mlproj.runs.intake import open_intake
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import RunRecord
from mlproj.runs.record_files import read_record, write_record
from mlproj.runs.store import Store, files_of, is_live
from mlproj.runs.totals import NAME_TAG, with_totals


def change_record(store: Store, run_id: str, change: Callable[[RunRecord], RunRecord]) -> RunRecord:
    """Change the record of a run that has ended, and give it as it is then. Raises StoreError."""
    files = files_of(store, run_id)
    with explained(store.folder), locks.exclusive_here(files.change_lock):
        record = change(read_record(files))
        write_record(files, record)
    with transaction(store.folder, store.connection) as connection:
        index_record(connection, record)
    return record


def add_logged(store: Store, run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Add lines of the form of ``metric_lines`` to what a run logged, running or not; else it stays as it was.

    Whoever is killed in it leaves the run whole. Raises StoreError.
    """
    files = files_of(store, run_id)
    added = list(lines)
    if not added:
        return
    if is_live(store, run_id):
        # The runner alone writes the record of a live run; it reads its metrics file until the end.
        with explained(store.folder):
            append_lines(files.metrics, added)
        return

    def with_added(record: RunRecord) -> RunRecord:
        append_lines(files.metrics, added)
        # From where the run's own intake ended: what was changed of the rest since stays changed.
        totals = open_intake(store, run_id, files.metrics).close()
        name = totals.tags.get(NAME_TAG) or record.name
        return replace(with_totals(record, totals), name=name, notices=record.notices)

    change_record(store, run_id, with_added)
