from __future__ import annotations

from mlproj.runs.intake import open_intake
from mlproj.runs.query import search_ids
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, begin, finish, load, new_run_id
from mlproj.runs.tags import change_tags
from mlproj.runs.totals import with_totals


def test_tags_of_a_run_that_is_over(store: Store, record_run) -> None:
    run = record_run(tags={"team": "blue", "draft": "yes"})
    change_tags(store, run.id, {"team": "red"}, removed=["draft", "never there"])
    assert load(store, run.id).tags == {"team": "red"}
    assert search_ids(store, "tags.team = red and not has(tags.draft)") == [run.id]


def test_tags_of_a_run_that_runs_reach_its_last_record(store: Store) -> None:
    record = RunRecord(id=new_run_id(store), tags={"draft": "yes"})
    live = begin(store, record)
    change_tags(store, live.id, {"seen": "by ada"}, removed=["draft"])
    totals = open_intake(store, live.id, live.files.metrics).close()
    finish(live, with_totals(record, totals))
    assert load(store, live.id).tags == {"seen": "by ada"}
