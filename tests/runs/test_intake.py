from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj.runs.intake import LONGEST_LINE, open_intake
from mlproj.runs.metric_history import metric_history, metric_names, sparkline
from mlproj.runs.metric_lines import MetricPoint, append_lines, parse_line
from mlproj.runs.record import RunRecord
from mlproj.runs.store import LiveRun, Store, begin, load, new_run_id, open_store


@pytest.fixture
def live(store: Store) -> Iterator[LiveRun]:
    run = begin(store, RunRecord(id=new_run_id(store)))
    yield run
    run.lock.release()


def append(live: LiveRun, text: str | bytes) -> None:
    with live.files.metrics.open("ab") as stream:
        stream.write(text.encode() if isinstance(text, str) else text)


def values(live: LiveRun, name: str) -> list[tuple[int | None, float]]:
    return [(point.step, point.value) for point in metric_history(live.store, live.id, name)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"name": "loss", "value": 0.3, "step": 7}', [MetricPoint("loss", 0.3, 7)]),
        (
            '{"name": "loss", "value": 1, "timestamp": 1790000000.5}',
            [MetricPoint("loss", 1.0, None, 1790000000500)],
        ),
        (
            '{"name": "loss", "value": 1, "timestamp": 1790000000500}',
            [MetricPoint("loss", 1.0, None, 1790000000500)],
        ),
        (
            '{"name": "l", "value": 1, "timestamp": "2026-09-21T00:00:00Z"}',
            [MetricPoint("l", 1, None, 1789948800000)],
        ),
        ('{"name": "loss", "value": Infinity, "step": 2.0}', [MetricPoint("loss", math.inf, 2)]),
        ('{"name": "loss", "value": "-inf"}', [MetricPoint("loss", -math.inf)]),
        ('{"name": "done", "value": true}', [MetricPoint("done", 1.0)]),
        (
            '{"metrics": {"loss": 1, "acc": 2}, "step": 3}',
            [MetricPoint("loss", 1, 3), MetricPoint("acc", 2, 3)],
        ),
    ],
)
def test_lines_that_log_points(line: str, expected: list[MetricPoint]) -> None:
    assert parse_line(line.encode()).points == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "3",
        '"x"',
        "{",
        "[" * 99999,
        '{"name": "x"}',
        '{"name": 3, "value": 1}',
        '{"name": "", "value": 1}',
        '{"name": "x", "value": "high"}',
        '{"name": "x", "value": 1, "step": 1.5}',
        '{"name": "x", "value": 1, "step": 1e300}',
        '{"name": "x", "value": 1, "timestamp": "soon"}',
        '{"name": "x", "value": 1, "timestamp": 1e300}',
        '{"name": "' + "x" * 251 + '", "value": 1}',
        '{"param": "x", "value": "' + "y" * 100001 + '"}',
        '{"metrics": 3}',
    ],
)
def test_lines_that_log_nothing_say_why(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        parse_line(line.encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_line_or_a_value_error(line: bytes) -> None:
    with suppress(ValueError):
        parse_line(line)


def test_points_are_taken_in_while_they_come(live: LiveRun) -> None:
    intake = open_intake(live.store, live.id, live.files.metrics)
    intake.poll()
    append(live, '{"name": "loss", "value": 3, "step": 1}\n{"name": "loss", "val')
    intake.poll()
    assert values(live, "loss") == [(1, 3.0)]
    append(live, 'ue": 2, "step": 2}\n')
    intake.poll()
    assert values(live, "loss") == [(1, 3.0), (2, 2.0)]
    append(live, '{"name": "loss", "value": 1, "step": 3}')
    totals = intake.close()
    assert (totals.metrics, totals.points, totals.notices) == ({"loss": 1.0}, 3, [])


def test_the_last_value_is_that_of_the_highest_step(live: LiveRun) -> None:
    append_lines(
        live.files.metrics,
        [
            {"name": "loss", "value": 5, "step": 10},
            {"name": "loss", "value": 9, "step": 3},
            {"name": "acc", "value": 0.1},
            {"name": "acc", "value": 0.2},
            {"name": "loss", "value": 4},
        ],
    )
    totals = open_intake(live.store, live.id, live.files.metrics).close()
    assert totals.metrics == {"loss": 4.0, "acc": 0.2}
    assert values(live, "loss") == [(3, 9.0), (10, 5.0), (11, 4.0)]
    assert values(live, "acc") == [(0, 0.1), (1, 0.2)]
    row = live.store.connection.execute("SELECT minimum, maximum, points FROM metrics WHERE name = 'loss'").fetchone()
    assert row == (4.0, 9.0, 3)


def test_nan_and_infinity_stay_what_they_are(live: LiveRun) -> None:
    append(live, '{"name": "a", "value": NaN}\n{"name": "a", "value": "inf"}\n{"name": "b", "value": "nan"}\n')
    totals = open_intake(live.store, live.id, live.files.metrics).close()
    assert totals.metrics["a"] == math.inf
    assert math.isnan(totals.metrics["b"])
    first, second = metric_history(live.store, live.id, "a")
    assert math.isnan(first.value)
    assert second.value == math.inf
    assert math.isnan(load(live.store, live.id).metrics["b"])


def test_params_and_tags_come_in_too(live: LiveRun) -> None:
    append(
        live,
        '{"param": "depth", "value": 3}\n{"param": "depth", "value": 4}\n{"tag": "team", "value": "blue"}\n',
    )
    append(live, '{"tags": {"a": "1", "b": null}}\n')
    totals = open_intake(live.store, live.id, live.files.metrics).close()
    assert (totals.params, totals.tags, totals.removed_tags) == (
        {"depth": 3},
        {"team": "blue", "a": "1"},
        ["b"],
    )


def test_garbage_is_counted_and_the_rest_is_taken(live: LiveRun) -> None:
    append(live, b"\xff\xfe\n\x00\nnot json\n[]\n\n" + b'{"name": "loss", "value": 1}\n')
    totals = open_intake(live.store, live.id, live.files.metrics).close()
    assert totals.metrics == {"loss": 1.0}
    [notice] = totals.notices
    assert notice.startswith("4 lines of the metrics file could not be read: line 1: not JSON; line 2: not JSON;")


def test_a_line_without_end_takes_no_memory_and_stops_nothing(live: LiveRun) -> None:
    intake = open_intake(live.store, live.id, live.files.metrics)
    for _ in range(3):
        append(live, b"x" * (LONGEST_LINE * 2))
        intake.poll()
    append(live, b'"}\n{"name": "loss", "value": 1}\n')
    totals = intake.close()
    assert totals.metrics == {"loss": 1.0}
    assert totals.notices == [
        f"1 line of the metrics file could not be read: line 1: a line of more than {LONGEST_LINE} bytes"
    ]


def test_a_file_written_anew_is_read_anew_and_told(live: LiveRun) -> None:
    intake = open_intake(live.store, live.id, live.files.metrics)
    append(live, '{"name": "loss", "value": 1, "step": 1}\n' * 3)
    intake.poll()
    live.files.metrics.write_text('{"name": "loss", "value": 2, "step": 5}\n')
    totals = intake.close()
    assert totals.metrics == {"loss": 2.0}
    assert "written anew" in totals.notices[0]


def test_a_metrics_file_that_is_no_file_is_not_opened(live: LiveRun) -> None:
    os.mkfifo(live.files.metrics)
    intake = open_intake(live.store, live.id, live.files.metrics)
    intake.poll()
    assert "no regular file" in intake.close().notices[0]


def test_a_store_that_is_locked_delays_the_points_and_loses_none(
    live: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlproj.runs.intake.POLL_PATIENCE_MS", 1)
    intake = open_intake(live.store, live.id, live.files.metrics)
    append(live, '{"name": "loss", "value": 1}\n')
    other = sqlite3.connect(live.store.folder / "mlproj.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    intake.poll()
    assert values(live, "loss") == []
    other.execute("COMMIT")
    intake.poll()
    assert values(live, "loss") == [(0, 1.0)]
    assert "in use by another process" in intake.close().notices[0]


def test_an_intake_goes_on_where_a_dead_one_stopped(live: LiveRun) -> None:
    append(live, '{"name": "loss", "value": 3, "step": 1}\n')
    open_intake(live.store, live.id, live.files.metrics).poll()
    append(live, '{"name": "loss", "value": 2, "step": 2}\n')
    store = open_store(live.store.folder)
    totals = open_intake(store, live.id, live.files.metrics).close()
    assert (totals.metrics, totals.points) == ({"loss": 2.0}, 2)
    assert values(live, "loss") == [(1, 3.0), (2, 2.0)]


def test_a_name_for_every_value_ends_somewhere(live: LiveRun) -> None:
    append_lines(live.files.metrics, ({"name": f"m{index}", "value": 1} for index in range(10_100)))
    totals = open_intake(live.store, live.id, live.files.metrics).close()
    assert len(totals.metrics) == len(metric_names(live.store, live.id)) == 10_000
    assert "100 lines" in totals.notices[0]


def test_the_largest_step_has_no_next_one(live: LiveRun) -> None:
    step = (1 << 63) - 1
    append_lines(live.files.metrics, [{"name": "x", "value": 1, "step": step}, {"name": "x", "value": 2}])
    assert open_intake(live.store, live.id, live.files.metrics).close().metrics == {"x": 2.0}
    assert values(live, "x") == [(step, 1.0), (step, 2.0)]


def test_curves_are_drawn_from_low_to_high() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert len(sparkline([float(index) for index in range(1000)], width=30)) == 30
    assert sparkline([1.0, math.nan, 3.0]) == "▁ █"
    assert sparkline([2.0, 2.0]) == "▄▄"
    assert sparkline([]) == ""
    assert sparkline([math.inf]) == " "
    assert sparkline([-1.7e308, 1.7e308, 1e308]) == "▁█▇"


@given(st.lists(st.floats(), max_size=50), st.integers(0, 30))
def test_any_numbers_are_a_curve(numbers: list[float], width: int) -> None:
    assert len(sparkline(numbers, width)) == min(width, len(numbers))


def test_a_path_that_never_came_to_be_is_no_metrics(live: LiveRun, tmp_path: Path) -> None:
    totals = open_intake(live.store, live.id, tmp_path / "none").close()
    assert (totals.metrics, totals.notices) == ({}, [])


def test_a_line_that_was_cut_short_costs_only_itself(live: LiveRun) -> None:
    append_lines(live.files.metrics, [{"name": "loss", "value": 1}])
    with live.files.metrics.open("ab") as stream:
        stream.write(b'{"name": "loss", "val')
    append_lines(live.files.metrics, [{"name": "after", "value": 2}])
    totals = open_intake(live.store, live.id, live.files.metrics).close()
    assert totals.metrics == {"loss": 1.0, "after": 2.0}
    assert "1 line of the metrics file could not be read" in totals.notices[0]
