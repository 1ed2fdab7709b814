"""The verdict on two runs: identical, equivalent or different, with everything that led to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mlproj.reproduction.differences import Difference, by_how_much
from mlproj.reproduction.nested import nested_runs
from mlproj.reproduction.outputs import compare_outputs
from mlproj.reproduction.rules import Rules, Tolerance, same_number
from mlproj.runs.metric_history import metric_history
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, files_of
from mlproj.text import one_line, plural

VerdictName = Literal["identical", "equivalent", "different"]


@dataclass(frozen=True)
class Verdict:
    """What the comparison of two runs came to.

    ``identical``: exit status, metrics and outputs are the same bit for bit. ``equivalent``: what differs is within
    the manifest's tolerances. ``different``: something is not. ``metrics``, ``files`` and ``nested_runs`` count what
    was compared, that of nested runs too.
    """

    name: VerdictName
    recorded: str
    again: str
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]
    metrics: int
    files: int
    nested_runs: int = 0

    @property
    def beyond(self) -> list[Difference]:
        """The differences that no tolerance allows."""
        return [each for each in self.differences if not each.allowed]


def judge(store: Store, recorded: RunRecord, again: RunRecord, rules: Rules) -> Verdict:
    """Compare two runs that have ended, and the runs that were begun within them. Raises StoreError."""
    nested = nested_runs(store, recorded, again)
    of_nested = Rules(metrics=rules.metrics, artifacts=rules.artifacts)
    parts = [_compared(store, recorded, again, rules)]
    parts += [_labelled(label, _compared(store, one, other, of_nested)) for label, one, other in nested.pairs]
    differences = [*nested.differences, *(each for part in parts for each in part.differences)]
    not_compared = [*nested.not_compared, *(each for part in parts for each in part.not_compared)]
    beyond = any(not each.allowed for each in differences)
    return Verdict(
        "different" if beyond else "equivalent" if differences else "identical",
        recorded.id,
        again.id,
        tuple(differences),
        tuple(not_compared),
        sum(part.metrics for part in parts),
        sum(part.files for part in parts),
        len(nested.pairs),
    )


@dataclass(frozen=True)
class _Compared:
    differences: list[Difference]
    not_compared: list[str]
    metrics: int
    files: int


def _labelled(label: str, part: _Compared) -> _Compared:
    """What was found of a nested run, said to be of it."""
    differences = [replace(each, what=f"{label}: {each.what}") for each in part.differences]
    return replace(part, differences=differences, not_compared=[f"{label}: {each}" for each in part.not_compared])


def _compared(store: Store, recorded: RunRecord, again: RunRecord, rules: Rules) -> _Compared:
    folders = (files_of(store, recorded.id).artifacts, files_of(store, again.id).artifacts)
    outputs = compare_outputs(recorded, again, folders, rules)
    differences = [*_endings(recorded, again), *outputs.differences]
    not_compared = [*outputs.not_compared]
    counted = 0
    for name in sorted({*recorded.metrics, *again.metrics}):
        tolerance = outputs.tolerances[name] if name in outputs.tolerances else rules.for_metric(name)
        if tolerance is None:
            not_compared.append(f"metric {one_line(name)}")
            continue
        counted += 1
        differences += _metric(store, name, recorded, again, tolerance)
    return _Compared(differences, not_compared, counted, outputs.files)


def _endings(recorded: RunRecord, again: RunRecord) -> Iterator[Difference]:
    if recorded.exit_status != again.exit_status:
        how = f"{recorded.exit_status} → {again.exit_status}"
        yield Difference("exit status", how, recorded.exit_status, again.exit_status)
    elif recorded.status != again.status:
        yield Difference("status", f"{recorded.status} → {again.status}", recorded.status, again.status)


def _metric(
    store: Store, name: str, recorded: RunRecord, again: RunRecord, tolerance: Tolerance
) -> Iterator[Difference]:
    what = f"metric {one_line(name)}"
    one, other = recorded.metrics.get(name), again.metrics.get(name)
    if one is None or other is None:
        yield Difference(what, f"is {'missing' if other is None else 'new'}", one, other)
        return
    if not same_number(one, other):
        yield Difference(what, by_how_much(one, other), one, other, tolerance.allows(one, other))
        return
    curves = [
        [(point.step, point.value) for point in metric_history(store, record.id, name)] for record in (recorded, again)
    ]
    if (told := _curves(curves[0], curves[1], tolerance)) is not None:
        yield Difference(what, told[0], one, other, told[1])


_Curve = list[tuple[int | None, float]]


def _curves(recorded: _Curve, again: _Curve, tolerance: Tolerance) -> tuple[str, bool] | None:
    """How two curves that end alike differ on the way, and whether that is allowed; a run may have kept none."""
    if not recorded or not again:
        return None
    if [step for step, _ in recorded] != [step for step, _ in again]:
        return f"ends the same, by other steps ({plural(len(recorded), 'point')} → {len(again)})", False
    apart = [index for index in range(len(again)) if not same_number(recorded[index][1], again[index][1])]
    if not apart:
        return None
    first = apart[0]
    beyond = [index for index in apart if not tolerance.allows(recorded[index][1], again[index][1])]
    at = beyond[0] if beyond else first
    told = by_how_much(recorded[at][1], again[at][1])
    return f"ends the same, and differs on the way, first at step {recorded[at][0]}: {told}", not beyond


def to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as ``--json`` shows it."""
    return {
        "verdict": verdict.name,
        "recorded": verdict.recorded,
        "again": verdict.again,
        "differences": [_as_mapping(each) for each in verdict.differences],
        "not_compared": list(verdict.not_compared),
        "compared": {"metrics": verdict.metrics, "files": verdict.files, "nested_runs": verdict.nested_runs},
    }


def _as_mapping(difference: Difference) -> Mapping[str, Any]:
    return {
        "what": difference.what,
        "how": difference.how,
        "recorded": difference.recorded,
        "again": difference.again,
        "allowed": difference.allowed,
    }
