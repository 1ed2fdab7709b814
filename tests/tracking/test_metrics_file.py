from __future__ import annotations

import math
from pathlib import Path

from mlproj.runs.metric_lines import MetricPoint, parse_line
from mlproj.tracking.metrics_file import append_points


def test_points_found_elsewhere_are_appended(tmp_path: Path) -> None:
    points = [MetricPoint("loss", math.inf, 3, 1790000000500), MetricPoint("acc", 0.5)]
    append_points(tmp_path / "metrics.jsonl", points)
    append_points(tmp_path / "metrics.jsonl", [])
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines()
    assert [parse_line(line).points[0] for line in lines] == points
