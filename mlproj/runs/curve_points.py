"""A metric's curve with no more points than can be drawn: the lowest and the highest of each share of its length.

Drawn as a line, that is the same picture as all points give, to within a pixel: U. Jugel, Z. Jerzak, G. Hackenbroich,
V. Markl: M4: A Visualization-Oriented Time Series Data Aggregation, VLDB 7 (10), 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlproj.runs.database import explained
from mlproj.runs.index import number_of, plain
from mlproj.runs.intake import summaries_of
from mlproj.runs.store import Store

_AXES = {"step": "step", "time": "at_ms"}


@dataclass(frozen=True)
class CurvePoints:
    """Points to draw, in the order of the axis; ``None`` for a value is NaN. ``total`` is how many there are in all."""

    steps: list[int]
    times_ms: list[int]
    values: list[float | None]
    total: int
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class MetricSummary:
    """What the database keeps of a metric: its last value, where that was, its extremes, how many points it has."""

    name: str
    value: float
    step: int
    at_ms: int
    lowest: float | None
    highest: float | None
    points: int


def metric_summaries(store: Store, run_id: str) -> list[MetricSummary]:
    """The metrics of a run by name. Raises StoreError."""
    found = []
    for name, each in sorted(summaries_of(store, run_id).items()):
        # Of nothing but NaN there is neither.
        lowest, highest = (None, None) if each.minimum > each.maximum else (each.minimum, each.maximum)
        found.append(MetricSummary(name, each.value, each.step, each.at_ms, lowest, highest, each.points))
    return found


def curve_points(
    store: Store,
    run_id: str,
    metric: str,
    most: int = 1000,
    *,
    axis: str = "step",
    since: int | None = None,
    until: int | None = None,
) -> CurvePoints:
    """About ``most`` points of a metric's curve along ``axis``, ``step`` or ``time``.

    ``since`` and ``until`` (steps, or milliseconds since the epoch) are what is looked at of it. Raises StoreError.
    """
    number = number_of(store.connection, run_id)
    where, values = "run = ? AND name = ?", [number, plain(metric)]
    bounds = {f"{_AXES[axis]} >= ?": since, f"{_AXES[axis]} <= ?": until}
    looked_at = " AND ".join([where, *(text for text, bound in bounds.items() if bound is not None)])
    bound = [*values, *(each for each in bounds.values() if each is not None)]
    with explained(store.folder):
        # Points come in the order of time nearly always, so that shares of the steps, which have an index, will do.
        total, begin, end = _extent(store, values, looked_at, bound)
        if total <= most:
            statement = f"SELECT step, at_ms, value FROM metric_points WHERE {looked_at} ORDER BY step, rowid"  # noqa: S608  what is put in is our own, and values are bound
            points = store.connection.execute(statement, bound).fetchall()
        else:
            # A query for each share, not one that groups by share: that would sort all points first.
            width = max(1, -(-(end - begin + 1) // max(1, most // 2)))
            found = set()
            for start in range(begin, end + 1, width):
                share = [*values, start, min(start + width - 1, end)]
                for extreme in ("min", "max"):
                    # With one min() or max() in it, SQLite takes the other columns from the row that has it.
                    row = store.connection.execute(
                        f"SELECT step, rowid, at_ms, value, {extreme}(value) FROM metric_points "  # noqa: S608  what is put in is our own, and values are bound
                        f"WHERE {where} AND step BETWEEN ? AND ?",
                        share,
                    ).fetchone()
                    if row[1] is not None:
                        found.add(tuple(row[:4]))
            points = [(row[0], row[2], row[3]) for row in sorted(found, key=lambda row: row[:2])]
    known = [value for _, _, value in points if value is not None and math.isfinite(value)]
    return CurvePoints(
        [row[0] for row in points],
        [row[1] for row in points],
        [row[2] for row in points],
        total,
        min(known, default=None),
        max(known, default=None),
    )


def _extent(store: Store, values: list[Any], looked_at: str, bound: list[Any]) -> tuple[int, int, int]:
    """How many points there are to look at, and the first and the last of their steps."""
    if len(bound) > len(values):
        statement = f"SELECT count(*), min(step), max(step) FROM metric_points WHERE {looked_at}"  # noqa: S608  what is put in is our own, and values are bound
        found: tuple[int, int, int] = store.connection.execute(statement, bound).fetchone()
        return found
    # Of a whole curve the ends are those of its index, and how many points it has is known: none has to be read.
    ends = [
        store.connection.execute(f"SELECT {end}(step) FROM metric_points WHERE {looked_at}", values).fetchone()[0]  # noqa: S608  what is put in is our own, and values are bound
        for end in ("min", "max")
    ]
    if ends[0] is None:
        return 0, 0, 0
    points = store.connection.execute("SELECT points FROM metrics WHERE run = ? AND name = ?", values).fetchone()
    return points[0] if points else 0, ends[0], ends[1]
