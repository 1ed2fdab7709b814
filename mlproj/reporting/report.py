"""The content of a report on one run, as a value that each form of report is written from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlproj.runs.baseline import Baseline, BaselineRow
from mlproj.runs.metric_history import metric_history
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store

_MOST_POINTS = 400


@dataclass(frozen=True)
class Check:
    """Something that a run was to fulfil, an assertion or a metric's baseline; ``told`` says what was found."""

    name: str
    passed: bool
    told: str = ""


@dataclass(frozen=True)
class MetricLine:
    """A metric in a report: its value, the baseline's with an arrow for the better or the worse, and its curve."""

    name: str
    value: float | None
    row: BaselineRow | None = None
    curve: Sequence[float] = ()

    @property
    def change(self) -> str:
        """How it stands to the baseline's, an arrow the way that it went: ``↓ -7.6 (better)``; empty without one."""
        if self.row is None:
            return ""
        if not self.row.delta:
            return {"new": "new", "missing": "missing"}.get(self.row.direction, "=")
        known = f" ({self.row.direction})" if self.row.direction in ("better", "worse") else ""
        return f"{'↑' if self.row.delta > 0 else '↓'} {self.row.delta:+.3g}{known}"


@dataclass(frozen=True)
class Report:
    """All that a report on a run says."""

    record: RunRecord
    metrics: list[MetricLine]
    checks: list[Check] = field(default_factory=list)
    baseline: Baseline | None = None

    @property
    def title(self) -> str:
        """Project and entry point."""
        return f"{self.record.project}: {self.record.entry_point}"

    @property
    def passed(self) -> bool:
        """Whether the run finished, and all that it was to fulfil was."""
        return self.record.status == "finished" and all(each.passed for each in self.checks)

    @property
    def command(self) -> str:
        """The command as one would write it."""
        return shlex.join(self.record.command.argv)

    @property
    def source(self) -> str:
        """The source in short: the commit, the digest."""
        source = self.record.source
        if source.commit is None:
            return f"sha256 {source.digest}" if source.digest else source.kind
        return f"commit {source.commit}{' with changes' if source.dirty else ''}"

    @property
    def files(self) -> list[tuple[str, str, int, str]]:
        """The kept files: output, path, size, SHA-256."""
        return [
            (output.name or "logged", each.path, each.size, each.sha256)
            for output in self.record.outputs
            for each in output.files
        ]


def report_on(
    store: Store,
    record: RunRecord,
    checks: Sequence[Check] = (),
    baseline: Baseline | None = None,
    rows: Sequence[BaselineRow] = (),
) -> Report:
    """Put together what is to be told of a run. Raises StoreError."""
    by_name = {row.name: row for row in rows}
    names = sorted({*record.metrics, *by_name})
    metrics = [
        MetricLine(name, record.metrics.get(name), by_name.get(name), _curve(store, record.id, name)) for name in names
    ]
    return Report(record, metrics, list(checks), baseline)


def _curve(store: Store, run_id: str, name: str) -> list[float]:
    """A metric's values over its steps, thinned to as many as can be told apart."""
    values = [point.value for point in metric_history(store, run_id, name)]
    step = max(1, -(-len(values) // _MOST_POINTS))
    return values[::step] if len(values) > 1 else []


def figure(value: Any) -> str:
    """A number as a report shows it."""
    return "" if value is None else f"{value:.6g}" if isinstance(value, (int, float)) else str(value)
