"""A run's metrics beside those of a baseline: which got better, which worse, and whether that is still tolerable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mlproj.errors import UsageError
from mlproj.runs.find import better_end

Direction = Literal["better", "worse", "same", "other", "new", "missing"]


@dataclass(frozen=True)
class Baseline:
    """What a run is held against: where its metrics are from, and the metrics.

    ``unread`` are the names under which a file has something else than a number.
    """

    label: str
    metrics: Mapping[str, float]
    unread: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Slack:
    """How much worse a metric may be: absolute, or a share of the baseline's value (``share``, 0.01 is 1 %)."""

    amount: float = 0.0
    share: bool = False

    def of(self, value: float) -> float:
        """The slack in the metric's unit."""
        if not self.share:
            return self.amount
        return self.amount * abs(value) if math.isfinite(value) else 0.0


@dataclass(frozen=True)
class BaselineRow:
    """One metric beside the baseline's. ``passed`` is false for one that is worse by more than its slack.

    ``direction`` is ``other`` where the metric's name does not tell which end is the better one; such a one passes,
    unless a slack was given for it and it differs by more. A number that has become NaN never passes.
    """

    name: str
    before: float | None
    now: float | None
    direction: Direction
    passed: bool

    @property
    def delta(self) -> float | None:
        """By how much it changed."""
        return None if self.before is None or self.now is None else self.now - self.before


def beside_baseline(metrics: Mapping[str, float], baseline: Baseline, slacks: Mapping[str, Slack]) -> list[BaselineRow]:
    """Each metric of a run or its baseline, by name. What the run lacks, or the baseline has no number for, fails."""
    rows = []
    for name in sorted({*metrics, *baseline.metrics}):
        before, now = baseline.metrics.get(name), metrics.get(name)
        if before is None and name in baseline.unread:
            rows.append(BaselineRow(name, math.nan, now, "other", False))
        elif before is None:
            rows.append(BaselineRow(name, None, now, "new", True))
        elif now is None:
            rows.append(BaselineRow(name, before, None, "missing", False))
        else:
            rows.append(_compared(name, before, now, slacks.get(name)))
    return rows


def _compared(name: str, before: float, now: float, slack: Slack | None) -> BaselineRow:
    if before == now or (math.isnan(before) and math.isnan(now)):
        return BaselineRow(name, before, now, "same", True)
    if math.isnan(now):
        return BaselineRow(name, before, now, "worse", False)
    allowed = (slack or Slack()).of(before)
    try:
        end = better_end(name)
    except UsageError:
        passed = slack is None or math.isnan(before) or abs(now - before) <= allowed
        return BaselineRow(name, before, now, "other", passed)
    worse_by = now - before if end == "min" else before - now
    better = worse_by < 0 or math.isnan(before)
    # 1.1 is 0.1 more than 1, though not for a computer.
    within = worse_by <= allowed or math.isclose(worse_by, allowed, rel_tol=1e-9)
    return BaselineRow(name, before, now, "better" if better else "worse", better or within)


def parse_slack(text: str) -> tuple[str, Slack]:
    """A tolerance as it is written: ``rmse=0.5`` or ``rmse=1%``. Raises ``UsageError``."""
    name, equals, amount = text.rpartition("=")
    share = amount.strip().endswith("%")
    try:
        value = float(amount.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not equals or not name.strip() or not 0 <= value < math.inf:
        raise UsageError(f"--tolerance takes METRIC=AMOUNT or METRIC=PERCENT%; found `{text}`")
    return name.strip(), Slack(value / 100 if share else value, share)
