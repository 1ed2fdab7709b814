"""Metrics as text, as GitLab reads them."""

from __future__ import annotations

import math

from mlproj.reporting.metrics_text import to_metrics_text
from mlproj.reporting.report import Report
from mlproj.runs.record import RunRecord


def text(**metrics: float) -> str:
    return to_metrics_text(Report(RunRecord(id="0" * 32, metrics=metrics), []))


def test_names_are_cleaned_and_values_written_as_prometheus_does() -> None:
    assert text(**{"val/loss": 0.5, "1st": math.inf, "x": math.nan}) == "val_loss 0.5\n_1st +Inf\nx NaN\n"


def test_names_that_come_to_the_same_keep_their_own_as_a_label() -> None:
    assert text(**{"a|b": 1, 'a\n"': 2, "a\nb": 3}) == 'a_b{name="a|b"} 1.0\na_b{name="a\\nb"} 3.0\na__ 2.0\n'
