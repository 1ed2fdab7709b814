"""The runner's side of a run's metrics file: adding what it found elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlproj.runs.metric_lines import MetricPoint, append_lines


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
