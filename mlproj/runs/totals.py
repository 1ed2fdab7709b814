"""What a run has logged in all, and the record with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mlproj.runs.record import DatasetRecord, ModelRecord, RunRecord
from mlproj.text import one_line

# By this tag MLflow's clients name a run; a name that it was given otherwise stays.
NAME_TAG = "mlflow.runName"
Item = TypeVar("Item")


@dataclass(frozen=True)
class Summary:
    """What is known of one metric: its value at the highest step, and over all its points."""

    value: float
    step: int
    at_ms: int
    minimum: float
    maximum: float
    points: int


@dataclass(frozen=True)
class Totals:
    """What a run logged in all. ``removed_tags`` were taken away; ``notices`` are for the user."""

    summaries: dict[str, Summary]
    params: dict[str, Any]
    tags: dict[str, str]
    removed_tags: list[str]
    datasets: list[DatasetRecord]
    models: list[ModelRecord]
    notices: list[str]
    points: int

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric."""
        return {name: each.value for name, each in self.summaries.items()}


def with_totals(record: RunRecord, totals: Totals) -> RunRecord:
    """``record`` with what the run logged. A declared parameter keeps its value, and a notice says so."""
    notices = [*record.notices, *totals.notices]
    for name, value in totals.params.items():
        if name in record.parameters and record.parameters[name] != value:
            notices.append(f"the run logged another value of its parameter {one_line(name)}; the declared one stays")
    tags = {name: value for name, value in record.tags.items() if name not in totals.removed_tags}
    tags |= totals.tags
    name = tags.pop(NAME_TAG, "")
    return replace(
        record,
        name=record.name or name,
        metrics={**record.metrics, **totals.metrics},
        parameters={**totals.params, **record.parameters},
        tags=tags,
        datasets=_latest(record.datasets, totals.datasets, lambda each: (each.name, each.digest)),
        models=_latest(record.models, totals.models, lambda each: each.id),
        notices=notices,
    )


def _latest(before: Iterable[Item], logged: Iterable[Item], key: Callable[[Item], Hashable]) -> list[Item]:
    return list({key(each): each for each in (*before, *logged)}.values())
