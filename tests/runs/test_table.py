"""A page of the table of runs, from the database alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.errors import UsageError
from mlproj.runs import table
from mlproj.runs.curve_points import curve_points, metric_summaries
from mlproj.runs.intake import open_intake
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.query import search_ids
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, begin, finish, new_run_id, open_store
from mlproj.runs.table import Column, Selection
from mlproj.runs.trash import delete

Record = Callable[..., str]


@pytest.fixture
def store(own_home: Path) -> Store:
    return open_store(own_home)


@pytest.fixture
def record(store: Store) -> Record:
    """Record a finished run; ``points`` are its metric `loss`."""

    def made(points: list[float] | None = None, **fields: Any) -> str:
        begun = {
            "id": new_run_id(store),
            "started_at": "2026-11-21T10:00:00.000Z",
            "project": "wine",
            "experiment": "default",
        }
        run = RunRecord(**{**begun, **fields})
        live = begin(store, run)
        append_lines(live.files.metrics, [{"name": "loss", "value": value} for value in points or []])
        open_intake(store, live.id, live.files.metrics).close()
        finish(live, RunRecord(**{**begun, **fields, "status": "finished"}))
        return live.id

    return made


def names(runs: list[table.TableRun]) -> list[object]:
    return [run.attributes["name"] for run in runs]


@pytest.mark.parametrize(
    "order",
    ["", "metrics.rmse", "-metrics.rmse", "params.alpha", "-params.alpha", "-started_at", "metrics.none", "name desc"],
)
@pytest.mark.parametrize("filter_text", ["", "params.alpha > 0", "status = finished"])
def test_the_order_is_that_of_the_command_line(store: Store, record: Record, order: str, filter_text: str) -> None:
    values = [
        ("a", 2, 0.1),
        ("b", math.nan, "text"),
        ("c", 1, 0.3),
        ("d", None, None),
        ("e", 2, 0.1),
        ("f", 3, "apple"),
    ]
    for name, rmse, alpha in values:
        metrics = {} if rmse is None else {"rmse": float(rmse)}
        record(name=name, metrics=metrics, parameters={} if alpha is None else {"alpha": alpha})
    wanted = search_ids(store, filter_text, order)
    pages = [table.page_of_runs(store, Selection(filter_text, order), first, 2) for first in (0, 2, 4, 6)]
    assert [run.id for page in pages for run in page] == wanted
    assert table.count_runs(store, Selection(filter_text, order)) == len(wanted)


def test_an_experiment_a_project_and_the_trash(store: Store, record: Record) -> None:
    record(name="one", experiment="first")
    gone = record(name="two", experiment="first", project="beer")
    record(name="three", experiment="second")
    delete(store, gone)
    assert names(table.page_of_runs(store, Selection(experiment="first"), 0, 9)) == ["one"]
    assert names(table.page_of_runs(store, Selection(trashed=True), 0, 9)) == ["two"]
    assert table.tally(store, "experiment") == [("first", 1), ("second", 1)]
    assert table.tally(store, "project", trashed=True) == [("beer", 1)]


def test_what_stands_in_the_columns(store: Store, record: Record) -> None:
    record(parameters={"layers": [1, 2], "on": True}, metrics={"rmse": 0.123456789}, tags={"stage": "draft"})
    runs = table.page_of_runs(store, Selection(), 0, 1)
    columns = [Column("params", "layers"), Column("params", "on"), Column("metrics", "rmse"), Column("tags", "stage")]
    cells = table.cells_of(store, runs, columns)
    assert [cells[runs[0].number, column].text for column in columns] == ["[1, 2]", "true", "0.123457", "draft"]
    assert table.names_of(store, runs, "params") == ["layers", "on"]


def test_columns_that_tell_runs_apart_and_those_that_do_not(store: Store, record: Record) -> None:
    record(parameters={"alpha": 1, "seed": 7})
    record(parameters={"alpha": 2, "seed": 7})
    columns = [Column("params", "alpha"), Column("params", "seed"), Column("", "project")]
    assert table.constant_columns(store, Selection(), columns) == {columns[1], columns[2]}


def test_groups_and_how_a_metric_is_spread_in_them(store: Store, record: Record) -> None:
    for solver, loss in (("sgd", 1.0), ("sgd", 3.0), ("adam", 5.0), (None, 7.0)):
        record(parameters={} if solver is None else {"solver": solver}, metrics={"loss": loss})
    key = Column("params", "solver")
    groups = table.groups_of(store, Selection(), key, 0, 9)
    assert [(group.value, group.runs) for group in groups] == [("sgd", 2), (None, 1), ("adam", 1)]
    spread = table.spreads_of(store, Selection(), key, ["loss"])["sgd", "loss"]
    assert (spread.mean, spread.lowest, spread.highest, spread.runs) == (2.0, 1.0, 3.0, 2)
    assert len(table.runs_of_group(store, Selection(), key, "sgd", 0, 1)) == 1
    assert len(table.runs_of_group(store, Selection(), key, None, 0, 9)) == 1


def test_a_filter_that_cannot_be_read_names_its_column(store: Store) -> None:
    with pytest.raises(UsageError, match="column 4"):
        table.count_runs(store, Selection("x ="))


def test_a_curve_keeps_its_extremes_however_thin(store: Store, record: Record) -> None:
    values = [math.sin(step / 50) for step in range(20_000)]
    values[7777], values[15_003] = 9.0, -9.0
    run_id = record(points=values)
    drawn = curve_points(store, run_id, "loss", 400)
    assert drawn.total == 20_000
    assert len(drawn.steps) <= 400
    assert (drawn.lowest, drawn.highest) == (-9.0, 9.0)
    assert drawn.steps[drawn.values.index(9.0)] == 7777
    assert drawn.steps == sorted(drawn.steps)
    part = curve_points(store, run_id, "loss", 400, since=7700, until=7800)
    assert part.steps == list(range(7700, 7801))


def test_a_short_curve_is_whole_and_nan_is_a_gap(store: Store, record: Record) -> None:
    run_id = record(points=[1.0, math.nan, 3.0])
    drawn = curve_points(store, run_id, "loss")
    assert drawn.values == [1.0, None, 3.0]
    summary = metric_summaries(store, run_id)[0]
    assert (summary.value, summary.lowest, summary.highest, summary.points) == (3.0, 1.0, 3.0, 3)
    assert curve_points(store, run_id, "none").total == 0


def test_a_sparkline_of_a_long_curve_looks_few_points_up(store: Store, record: Record) -> None:
    record(points=[float(step) for step in range(5000)])
    runs = table.page_of_runs(store, Selection(), 0, 1)
    values = table.sampled_curves(store, runs, "loss")[runs[0].number]
    assert len(values) == 40
    assert (values[0], values[-1]) == (0.0, 4999.0)


def test_counting_reads_no_run(store: Store) -> None:
    for attribute in ("experiment", "project"):
        statement = f"SELECT {attribute}, count(*) FROM runs WHERE deleted_at IS NULL GROUP BY {attribute}"
        plan = store.connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        assert [f"USING INDEX runs_by_{attribute}" in step[3] for step in plan] == [True]
