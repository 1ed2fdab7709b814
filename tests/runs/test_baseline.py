from __future__ import annotations

import math

import pytest

from mlproj.runs.baseline import Baseline, BaselineRow, Slack, beside_baseline


def row(name: str, before: float, now: float, slack: Slack | None = None) -> BaselineRow:
    slacks = {} if slack is None else {name: slack}
    return beside_baseline({name: now}, Baseline("it", {name: before}), slacks)[0]


@pytest.mark.parametrize("name", ["quality", "loss", "accuracy"])
@pytest.mark.parametrize("slack", [None, Slack(1e9), Slack(1, share=True)])
def test_a_number_that_has_become_nan_never_passes(name: str, slack: Slack | None) -> None:
    assert not row(name, 0.9, math.nan, slack).passed
    assert row(name, math.nan, math.nan, slack).passed
    assert row(name, math.nan, 0.9, slack).passed


def test_a_share_of_what_is_without_end_allows_nothing() -> None:
    assert not row("accuracy", math.inf, 1.0, Slack(0.01, share=True)).passed


def test_scikit_learns_negated_errors_are_better_high() -> None:
    assert row("neg_mean_squared_error", -1, -9) == BaselineRow("neg_mean_squared_error", -1, -9, "worse", False)
    assert row("neg_mean_squared_error", -9, -1).direction == "better"


def test_where_the_name_does_not_tell_a_change_passes_within_a_tolerance_or_without_one() -> None:
    assert row("quality", 1, 2) == BaselineRow("quality", 1, 2, "other", True)
    assert not row("quality", 1, 2, Slack(0.5)).passed


def test_a_tolerance_is_as_wide_as_it_is_written() -> None:
    assert row("loss", 1, 1.1, Slack(0.1)).passed
    assert row("loss", 1, 1.1, Slack(0.1, share=True)).passed
    assert not row("loss", 1, 1.1001, Slack(0.1)).passed
