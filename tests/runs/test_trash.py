from __future__ import annotations

import pytest

from mlproj.errors import StoreError, UsageError
from mlproj.runs.metric_history import metric_history
from mlproj.runs.query import search, search_ids
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, begin, close_store, load, new_run_id, open_store
from mlproj.runs.trash import delete, gc, restore
from mlproj.runs.upkeep import check, rebuild


def test_a_deleted_run_goes_to_the_trash_and_comes_back_whole(store: Store, record_run) -> None:
    run = record_run({"rmse": 1.0})
    (store.folder / "runs" / run.id / "artifacts" / "model.bin").write_bytes(b"weights")
    delete(store, run.id)
    assert search_ids(store) == []
    assert search_ids(store, trashed=True) == [run.id]
    assert load(store, run.id).deleted_at is not None
    restore(store, run.id)
    assert search(store).records == [run]
    assert (store.folder / "runs" / run.id / "artifacts" / "model.bin").read_bytes() == b"weights"


def test_a_rebuilt_store_still_knows_what_is_in_the_trash(store: Store, record_run) -> None:
    run = record_run({"rmse": 1.0})
    delete(store, run.id)
    close_store(store)
    assert rebuild(store.folder) == (1, [])
    mended = open_store(store.folder)
    assert (search_ids(mended), search_ids(mended, trashed=True)) == ([], [run.id])


def test_gc_frees_what_has_been_in_the_trash_long_enough(store: Store, record_run) -> None:
    run, kept = record_run({"rmse": 1.0}), record_run()
    (store.folder / "runs" / run.id / "artifacts" / "model.bin").write_bytes(b"x" * 1000)
    delete(store, run.id)
    assert gc(store, older_than_s=3600).runs == 0
    freed = gc(store)
    assert freed.runs == 1
    assert freed.bytes > 1000
    assert not (store.folder / "trash" / run.id).exists()
    assert metric_history(store, run.id, "rmse") == []
    assert search_ids(store) == [kept.id]
    assert check(store) == []


def test_a_running_run_is_not_deleted(store: Store) -> None:
    live = begin(store, RunRecord(id=new_run_id(store)))
    with pytest.raises(UsageError, match="is running"):
        delete(store, live.id)
    assert search_ids(store) == [live.id]


def test_what_is_not_in_the_trash_is_not_restored(store: Store, record_run) -> None:
    run = record_run()
    with pytest.raises(UsageError, match="not in the trash"):
        restore(store, run.id)


def test_deleting_twice_loses_nothing(store: Store, record_run) -> None:
    record = record_run(name="twice")
    delete(store, record.id)
    with pytest.raises(StoreError):
        delete(store, record.id)
    restore(store, record.id)
    assert load(store, record.id).name == "twice"
