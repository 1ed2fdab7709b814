from __future__ import annotations

import math
from pathlib import Path

from mlproj.runs.intake import Totals
from mlproj.runs.metric_lines import MetricPoint, parse_line
from mlproj.runs.record import RunRecord
from mlproj.tracking.metrics_file import append_points, with_totals


def test_points_found_elsewhere_are_appended(tmp_path: Path) -> None:
    points = [MetricPoint("loss", math.inf, 3, 1790000000500), MetricPoint("acc", 0.5)]
    append_points(tmp_path / "metrics.jsonl", points)
    append_points(tmp_path / "metrics.jsonl", [])
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines()
    assert [parse_line(line).points[0] for line in lines] == points


def test_the_record_gets_what_was_logged_and_keeps_what_was_declared() -> None:
    record = RunRecord(
        id="0" * 32, parameters={"alpha": 0.1}, tags={"team": "blue", "draft": "yes"}, notices=["before"]
    )
    totals = Totals({"loss": 0.5}, {"alpha": 9, "depth": 3}, {"team": "red"}, ["draft"], ["noticed"], 1)
    merged = with_totals(record, totals)
    assert merged.metrics == {"loss": 0.5}
    assert merged.parameters == {"depth": 3, "alpha": 0.1}
    assert merged.tags == {"team": "red"}
    assert merged.notices[:2] == ["before", "noticed"]
    assert "alpha" in merged.notices[2]
