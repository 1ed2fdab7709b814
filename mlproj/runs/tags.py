"""Changing the tags of a run, while it runs and after."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from mlproj import locks
from mlproj.runs.database import explained, transaction
from mlproj.runs.index import index_record
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record_files import read_record, write_record
from mlproj.runs.store import Store, files_of, is_live


def change_tags(store: Store, run_id: str, tags: Mapping[str, str], removed: Collection[str] = ()) -> None:
    """Set and remove tags of a run, running or not. Raises StoreError."""
    files = files_of(store, run_id)
    if is_live(store, run_id):
        # The runner alone writes the record of a live run; it reads its metrics file until the end.
        with explained(store.folder):
            append_lines(files.metrics, [{"tags": {**dict.fromkeys(removed), **tags}}])
        return
    with explained(store.folder), locks.exclusive_here(files.change_lock):
        record = read_record(files)
        kept = {name: value for name, value in record.tags.items() if name not in removed}
        record = replace(record, tags={**kept, **tags})
        write_record(files, record)
    with transaction(store.folder, store.connection) as connection:
        index_record(connection, record)
