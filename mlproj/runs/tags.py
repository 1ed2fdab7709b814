"""Changing the tags of a run, while it runs and after."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from mlproj.runs.changes import add_logged, change_record
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, is_live


def change_tags(store: Store, run_id: str, tags: Mapping[str, str], removed: Collection[str] = ()) -> None:
    """Set and remove tags of a run, running or not. Raises StoreError."""
    if is_live(store, run_id):
        add_logged(store, run_id, [{"tags": {**dict.fromkeys(removed), **tags}}])
        return

    def changed(record: RunRecord) -> RunRecord:
        kept = {name: value for name, value in record.tags.items() if name not in removed}
        return replace(record, tags={**kept, **tags})

    change_record(store, run_id, changed)
