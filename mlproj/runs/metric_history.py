"""A metric's points over the steps of a run, and their curve as a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlproj.runs.database import explained
from mlproj.runs.index import number_of, plain
from mlproj.runs.metric_lines import MetricPoint
from mlproj.runs.store import Store

_BARS = "▁▂▃▄▅▆▇█"


def metric_history(store: Store, run_id: str, name: str, first: int = 0, most: int | None = None) -> list[MetricPoint]:
    """The points of a run's metric from the ``first`` on, ordered by step and then as they came; at most so many."""
    with explained(store.folder):
        rows = store.connection.execute(
            "SELECT value, step, at_ms FROM metric_points WHERE run = ? AND name = ? ORDER BY step, rowid "
            "LIMIT ? OFFSET ?",
            (number_of(store.connection, run_id), plain(name), -1 if most is None else most, first),
        )
        return [MetricPoint(name, math.nan if value is None else value, step, at) for value, step, at in rows]


def points_after(store: Store, run_id: str, row: int, most: int) -> list[tuple[int, MetricPoint]]:
    """Points of a run's metrics in the order in which they came, each with its row.

    Those after ``row`` (0: from the first on), at most so many.
    """
    with explained(store.folder):
        number = number_of(store.connection, run_id)
        if row == 0:
            first = store.connection.execute("SELECT min(rowid) FROM metric_points WHERE run = ?", (number,)).fetchone()
            row = (first[0] or 1) - 1
        # By the row, not by the run's index: what is new is at the end.
        rows = store.connection.execute(
            "SELECT rowid, name, value, step, at_ms FROM metric_points WHERE rowid > ? AND +run = ? "
            "ORDER BY rowid LIMIT ?",
            (row, number, most),
        )
        return [
            (at, MetricPoint(name, math.nan if value is None else value, step, at_ms))
            for at, name, value, step, at_ms in rows
        ]


def metric_names(store: Store, run_id: str) -> list[str]:
    """The names of all metrics that a run has points of."""
    with explained(store.folder):
        number = number_of(store.connection, run_id)
        return [str(row[0]) for row in store.connection.execute("SELECT name FROM metrics WHERE run = ?", (number,))]


def sparkline(values: Sequence[float], width: int = 20) -> str:
    """``values`` as a line of at most ``width`` bars, each the mean of its share; NaN and
    infinities are gaps.
    """
    if not values or width < 1:
        return ""
    shares = min(width, len(values))
    means: list[float | None] = []
    for index in range(shares):
        share = values[index * len(values) // shares : (index + 1) * len(values) // shares]
        finite = [value for value in share if math.isfinite(value)]
        # The sum of two large floats can overflow where their mean does not.
        means.append(sum(value / len(finite) for value in finite) if finite else None)
    known = [mean for mean in means if mean is not None]
    if not known:
        return " " * shares
    low, high = min(known), max(known)
    return "".join(" " if mean is None else _BARS[_level(mean, low, high)] for mean in means)


def _level(value: float, low: float, high: float) -> int:
    span = high / 2 - low / 2
    if span <= 0:
        return len(_BARS) // 2 - 1
    return round((value / 2 - low / 2) / span * (len(_BARS) - 1))
