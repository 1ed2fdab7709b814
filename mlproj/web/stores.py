"""The store as a request has it: opened for it alone, and settled when one of its runs has died meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlproj.api.stores import open_settled_store
from mlproj.errors import MlprojError, StoreError
from mlproj.runs.database import DATABASE_NAME, explained
from mlproj.runs.store import Store, close_store, is_live, open_store, open_store_for_reading
from mlproj.web.security import Access


@dataclass(frozen=True)
class Site:
    """What the pages are of: the store's folder, and who may do what."""

    folder: Path
    access: Access


@contextmanager
def reading(site: Site) -> Iterator[Store | None]:
    """The store, to read from in this thread; ``None`` while there is none yet. Raises StoreError."""
    if not (site.folder / DATABASE_NAME).exists():
        yield None
        return
    store = open_store_for_reading(site.folder)
    try:
        if not site.access.read_only and _has_lost(store):
            close_store(store)
            settle(site)
            store = open_store_for_reading(site.folder)
        yield store
    finally:
        close_store(store)


@contextmanager
def changing(site: Site) -> Iterator[Store]:
    """The store, to change it in this thread. Raises StoreError."""
    store = open_store(site.folder)
    try:
        yield store
    finally:
        close_store(store)


def settle(site: Site) -> None:
    """Close the runs whose mlproj died, and bring the store's schema up to date, where the store can be written to."""
    try:
        close_store(open_settled_store(site.folder, lambda _: None))
    except StoreError:
        return  # what can be read is shown all the same


def _has_lost(store: Store) -> bool:
    with explained(store.folder):
        running = store.connection.execute("SELECT id FROM runs WHERE status = 'running'").fetchall()
    try:
        return any(not is_live(store, run_id) for (run_id,) in running)
    except MlprojError:
        return False
