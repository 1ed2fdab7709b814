from __future__ import annotations

import math

import pytest

from mlproj.runs.assertions import found_instead, holds
from mlproj.runs.query import search_ids
from mlproj.runs.store import Store


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("metrics.rmse < 60", True),
        ("not metrics.rmse > 60", True),
        ("not metrics.rmse < 60", False),
        ("metrics.rmse not in (1, 2)", True),
        ("not metrics.rmse in (1, 2)", True),
        ("metrics.rmse < 1 or metrics.rmse > 50", True),
        # What is not there, or not a number, keeps no promise, however it is put.
        ("metrics.nope < 5", False),
        ("not metrics.nope > 5", False),
        ("not not metrics.nope > 5", False),
        ("not (metrics.nope not in (1, 2))", False),
        ("not metrics.nope in (1, 2)", False),
        ("not (metrics.rmse < 60 and metrics.nope > 5)", False),
        ("not params.nope = 1", False),
        ("not tags.nope like 'a%'", False),
        ("not parent = abc", False),
        ("metrics.lost < 5", False),
        ("not metrics.lost > 5", False),
        ("metrics.lost != 5", False),
        ("not metrics.lost in (5, 6)", False),
        # Another part of it may decide all the same.
        ("metrics.rmse < 60 or metrics.nope < 1", True),
        ("not (metrics.rmse > 60 and metrics.nope > 5)", True),
        # These ask for just that.
        ("not has(metrics.nope)", True),
        ("has(metrics.lost)", True),
        ("metrics.lost = nan", True),
        ("not metrics.rmse = nan", True),
        ("metrics.lost != nan", False),
        ("params.x = nan", True),
        ("params.x = NaN", True),
    ],
)
def test_an_assertion_is_a_gate(store: Store, record_run, text: str, held: bool) -> None:
    run = record_run({"rmse": 57.6, "lost": math.nan}, parameters={"x": math.nan})
    assert holds(store, run, text) is held


def test_a_filter_takes_runs_without_the_metric_under_not(store: Store, record_run) -> None:
    run = record_run({"rmse": 57.6})
    assert list(search_ids(store, "not metrics.nope > 5")) == [run.id]


def test_what_was_found_instead_is_told_without_a_stray_full_stop(store: Store, record_run) -> None:
    run = record_run({"rmse": 57.6})
    told = found_instead(store, run, "params.zzzz = 1 and metrics.rmes < 1")
    assert told == "the run has no params.zzzz; the run has no metrics.rmes. Did you mean `rmse`?"
