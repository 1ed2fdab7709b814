"""Runs that have ended and are changed: their record, and what is added to what they logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlproj.runs.changes import add_logged, change_record
from mlproj.runs.identifiers import id_from, is_run_id, milliseconds_of_id
from mlproj.runs.intake import open_intake
from mlproj.runs.metric_history import metric_history, points_after
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, begin, finish, load, new_run_id, open_store
from mlproj.runs.tags import change_tags
from mlproj.runs.totals import with_totals


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def ended(store: Store, *lines: dict[str, object]) -> str:
    """A run that logged these lines and has ended; gives its id."""
    record = RunRecord(id=new_run_id(store), experiment="default", started_at="2026-11-21T10:00:00.000Z")
    live = begin(store, record)
    append_lines(live.files.metrics, lines)
    totals = open_intake(store, live.id, live.files.metrics).close()
    finish(live, replace(with_totals(record, totals), status="finished"))
    return live.id


def test_what_is_added_leaves_the_rest_as_it_is(store: Store) -> None:
    run_id = ended(store, {"name": "loss", "value": 1.0, "step": 0}, {"tag": "team", "value": "blue"})
    change_tags(store, run_id, {}, ["team"])
    add_logged(store, run_id, [{"points": [["loss", 0.5, 1, 1700000000000]]}, {"params": {"depth": "3"}}])
    record = load(store, run_id)
    assert (record.metrics, record.parameters, record.tags) == ({"loss": 0.5}, {"depth": "3"}, {})
    assert [point.value for point in metric_history(store, run_id, "loss")] == [1.0, 0.5]
    assert record.status == "finished"


def test_a_record_is_changed_in_the_database_too(store: Store) -> None:
    run_id = ended(store)
    change_record(store, run_id, lambda record: replace(record, name="second"))
    assert load(store, run_id).name == "second"
    assert store.connection.execute("SELECT name FROM runs WHERE id = ?", (run_id,)).fetchone() == ("second",)


def test_points_are_given_in_the_order_in_which_they_came(store: Store) -> None:
    one = ended(store, *({"name": "a", "value": float(step), "step": 9 - step} for step in range(10)))
    other = ended(store, {"name": "a", "value": 77.0}, {"name": "b", "value": 78.0})
    first = points_after(store, one, 0, 4)
    assert [point.value for _, point in first] == [0.0, 1.0, 2.0, 3.0]
    rest = points_after(store, one, first[-1][0], 100)
    assert [point.value for _, point in rest] == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert [point.name for _, point in points_after(store, other, 0, 100)] == ["a", "b"]
    assert points_after(store, other, points_after(store, other, 0, 100)[-1][0], 100) == []


def test_an_id_made_of_what_is_known_elsewhere() -> None:
    made = id_from(1_700_000_000_000, "e2c1049bc94842bdbb8a59b86f20bc06")
    assert made == id_from(1_700_000_000_000, "e2c1049bc94842bdbb8a59b86f20bc06")
    assert is_run_id(made)
    assert milliseconds_of_id(made) == 1_700_000_000_000
    assert made != id_from(1_700_000_000_000, "another")
    assert is_run_id(id_from(-5, "before its time"))
