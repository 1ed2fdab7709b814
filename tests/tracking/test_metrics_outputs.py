from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlproj.runs.metric_lines import MetricPoint
from mlproj.tracking.metrics_outputs import read_metrics_file


def points_in(tmp_path: Path, name: str, content: str | bytes) -> list[MetricPoint]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    points, notes = read_metrics_file(path)
    assert notes == []
    return points


def test_json_joins_nested_names(tmp_path: Path) -> None:
    content = '{"rmse": 57.6, "test": {"r2": 0.39, "ok": true}, "model": "net", "none": null, "bad": NaN}'
    points = {point.name: point.value for point in points_in(tmp_path, "metrics.json", content)}
    assert math.isnan(points.pop("bad"))
    assert points == {"rmse": 57.6, "test.r2": 0.39, "test.ok": 1.0}


def test_json_lines_are_a_curve(tmp_path: Path) -> None:
    content = '{"step": 10, "loss": 1, "eval": {"acc": 0.5}}\n{"step": 20, "loss": 0.5}\n'
    expected = [MetricPoint("loss", 1, 10), MetricPoint("eval.acc", 0.5, 10), MetricPoint("loss", 0.5, 20)]
    for name in ("metrics.jsonl", "metrics.json"):
        assert points_in(tmp_path, name, content) == expected


def test_lines_of_name_and_value_are_read_as_in_the_metrics_file(tmp_path: Path) -> None:
    assert points_in(tmp_path, "m.jsonl", '{"name": "loss", "value": 0.3, "step": 7}') == [MetricPoint("loss", 0.3, 7)]


@pytest.mark.parametrize("key", ["epoch", "Step", "iteration"])
def test_csv_has_a_step_column(tmp_path: Path, key: str) -> None:
    content = f"\ufeff{key},loss,note\r\n1,0.5,warm\r\n2,0.25,\r\n"
    assert points_in(tmp_path, "metrics.csv", content) == [
        MetricPoint("loss", 0.5, 1),
        MetricPoint("loss", 0.25, 2),
    ]


def test_csv_without_a_step_column_counts_its_rows(tmp_path: Path) -> None:
    assert points_in(tmp_path, "metrics.tsv", "loss\tacc\n1\t2\n3\t\n") == [
        MetricPoint("loss", 1, 0),
        MetricPoint("acc", 2, 0),
        MetricPoint("loss", 3, 1),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.json", "{half", "is not JSON"),
        ("m.json", "[" * 100_000, "nested too deeply"),
        ("m.json", "{}", "holds no numbers"),
        ("m.json", "", "is not JSON"),
        ("m.csv", "", "holds no numbers"),
        ("m.jsonl", '{"loss": 1}\ngarbage\n', "1 line could not be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    assert said in read_metrics_file(tmp_path / name)[1][0]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert read_metrics_file(tmp_path / "none.json") == (
        [],
        ["none.json cannot be read: No such file or directory"],
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.sampled_from(["json", "jsonl", "csv", "tsv", "txt"]))
def test_any_bytes_are_read_without_an_exception(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"metrics.{suffix}"
    path.write_bytes(content)
    read_metrics_file(path)
