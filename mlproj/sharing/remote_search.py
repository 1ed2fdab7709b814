"""Searching the runs on a remote, as those of a store are: their records are put into a database for it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlproj.runs.database import DATABASE_NAME, open_database, transaction
from mlproj.runs.filter_sql import compile_filter, compile_order
from mlproj.runs.index import index_record
from mlproj.runs.query import search_ids, unknown_names
from mlproj.runs.store import Store
from mlproj.sharing.manifests import Manifest
from mlproj.sharing.opening import Storage
from mlproj.sharing.pulling import remote_runs


@dataclass(frozen=True)
class FoundThere:
    """The runs that a search of a remote found. ``damaged`` says of which nothing could be read, by their ids, and why;
    ``hints`` say why there are none.
    """

    manifests: list[Manifest]
    damaged: dict[str, str]
    hints: list[str]


def search_remote(storage: Storage, filter_text: str = "", order_by: str = "", limit: int | None = None) -> FoundThere:
    """The runs on a remote that a filter means, newest first unless ``order_by`` says otherwise.

    Raises UsageError with the column of what is wrong, RemoteError.
    """
    runs = remote_runs(storage)
    manifests = {each.id: each.manifest for each in runs if each.manifest is not None}
    damaged = {each.id: each.problem for each in runs if each.problem is not None}
    with tempfile.TemporaryDirectory(prefix="mlproj-remote-") as folder:
        store = Store(Path(folder), open_database(Path(folder) / DATABASE_NAME))
        try:
            with transaction(store.folder, store.connection) as connection:
                for manifest in manifests.values():
                    index_record(connection, manifest.record)
            found = [manifests[run_id] for run_id in search_ids(store, filter_text, order_by, limit)]
            return FoundThere(found, damaged, [] if found else unknown_names(store, filter_text))
        finally:
            store.connection.close()


def check_search(filter_text: str, order_by: str) -> None:
    """Refuse a filter or an order with mistakes, before a remote is asked. Raises UsageError."""
    compile_filter(filter_text)
    if order_by.strip():
        compile_order(order_by)
