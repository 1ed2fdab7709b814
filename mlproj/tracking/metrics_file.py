"""The runner's side of a run's metrics file: adding what it found elsewhere, and closing the record with it
all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlproj.runs.intake import Totals
from mlproj.runs.metric_lines import MetricPoint, append_lines
from mlproj.runs.record import RunRecord
from mlproj.text import one_line


def append_points(path: Path, points: Iterable[MetricPoint]) -> None:
    """Append points, found in the output or in a file, to the metrics file. Raises OSError, as on a full
    disk.
    """
    append_lines(path, (_line(point) for point in points))


def _line(point: MetricPoint) -> dict[str, Any]:
    line: dict[str, Any] = {"name": point.name, "value": point.value}
    if point.step is not None:
        line["step"] = point.step
    if point.at_ms is not None:
        line["timestamp"] = point.at_ms / 1000
    return line


def with_totals(record: RunRecord, totals: Totals) -> RunRecord:
    """``record`` with what the run logged. A declared parameter keeps its value, and a notice says so."""
    notices = [*record.notices, *totals.notices]
    for name, value in totals.params.items():
        if name in record.parameters and record.parameters[name] != value:
            notices.append(f"the run logged another value of its parameter {one_line(name)}; the declared one stays")
    tags = {name: value for name, value in record.tags.items() if name not in totals.removed_tags}
    return replace(
        record,
        metrics={**record.metrics, **totals.metrics},
        parameters={**totals.params, **record.parameters},
        tags={**tags, **totals.tags},
        notices=notices,
    )
