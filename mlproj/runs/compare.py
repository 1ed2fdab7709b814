"""Runs side by side: what differs between them, as a value for tables and for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproj.runs.record import RunRecord


@dataclass(frozen=True)
class Row:
    """One thing in all the runs: ``values`` has ``None`` for a run without it.

    ``delta`` is the last run's number minus the first one's, ``None`` where one of them has none.
    """

    name: str
    values: list[Any]
    same: bool
    delta: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, each section a list of rows in which value ``i`` belongs to run ``i`` of ``ids``."""

    ids: list[str]
    names: list[str]
    run: list[Row]
    parameters: list[Row]
    metrics: list[Row]
    tags: list[Row]
    source: list[Row]
    environment: list[Row]
    packages: list[Row]
    inputs: list[Row]
    outputs: list[Row]

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain lists and mappings."""
        return dataclasses.asdict(self)


def compare(records: Sequence[RunRecord]) -> Comparison:
    """Put runs side by side. Where and when they ran is no difference; what they ran, read and gave is."""

    def rows(mapping_of: Callable[[RunRecord], Mapping[str, Any]]) -> list[Row]:
        return _rows([mapping_of(record) for record in records])

    return Comparison(
        ids=[record.id for record in records],
        names=[record.name for record in records],
        run=rows(_run_facts),
        parameters=rows(lambda record: record.parameters),
        metrics=rows(lambda record: record.metrics),
        tags=rows(lambda record: record.tags),
        source=rows(_source_facts),
        environment=rows(_environment_facts),
        packages=rows(lambda record: record.environment.packages),
        inputs=rows(lambda record: {each.path: each.sha256 for each in record.inputs}),
        outputs=rows(_output_facts),
    )


def _run_facts(record: RunRecord) -> dict[str, Any]:
    return {
        "project": record.project,
        "experiment": record.experiment,
        "entry_point": record.entry_point,
        "status": record.status,
        "exit_status": record.exit_status,
        "duration_s": record.duration_s,
        "max_memory_bytes": record.resources.max_memory_bytes,
    }


def _source_facts(record: RunRecord) -> dict[str, Any]:
    source = record.source
    return {
        "commit": source.commit,
        "branch": source.branch,
        "dirty": source.dirty,
        "patch": source.patch_sha256,
        "digest": source.digest,
        "remote": source.remote,
    }


def _environment_facts(record: RunRecord) -> dict[str, Any]:
    environment = record.environment
    return {
        "kind": environment.kind,
        "key": environment.key,
        "python": environment.python,
        "platform": environment.platform,
        "lock": environment.lock_sha256,
    }


def _output_facts(record: RunRecord) -> dict[str, Any]:
    return {file.path: file.sha256 for output in record.outputs for file in output.files}


def _rows(mappings: Sequence[Mapping[str, Any]]) -> list[Row]:
    names = dict.fromkeys(name for mapping in mappings for name in mapping)
    return [_row(name, [mapping.get(name) for mapping in mappings]) for name in names]


def _row(name: str, values: list[Any]) -> Row:
    first, last = values[0], values[-1]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (first, last))
    delta = last - first if numbers and len(values) > 1 else None
    return Row(name, values, all(_equal(value, first) for value in values), delta)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    # To Python True == 1, and to somebody comparing runs it is not.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
