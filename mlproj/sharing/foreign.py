"""The runs that a crate of another tool describes: what a Process Run Crate says of an action, as a record.

https://www.researchobject.org/workflow-run-crate/profiles/process_run_crate/ is the least that is understood; of a
Workflow Run Crate it is the workflow's own run, and of a Provenance Run Crate its steps are not taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mlproj.errors import UsageError
from mlproj.files import sha256_of_file
from mlproj.runs.identifiers import id_from
from mlproj.runs.record import EnvironmentRecord, FileRecord, InputRecord, OutputRecord, RunRecord, SourceRecord, Status
from mlproj.runs.times import seconds_of, time_text
from mlproj.sharing.crate_metadata import METADATA_NAME
from mlproj.sharing.crate_reading import ReadCrate, types_of
from mlproj.text import one_line, plural

_ACTIONS = frozenset(("CreateAction", "ActivateAction", "UpdateAction"))
_MOST_RUNS = 1000
_STATUSES: dict[str, tuple[Status, int | None]] = {
    "CompletedActionStatus": ("finished", 0),
    "FailedActionStatus": ("failed", None),
    "ActiveActionStatus": ("lost", None),
    "PotentialActionStatus": ("lost", None),
}
_NOT_TOLD: tuple[Status, int | None] = ("finished", None)
_Entity = Mapping[str, Any]


@dataclass
class ForeignRun:
    """A run of another tool: its record, and where below the run's folder which files of the crate belong."""

    record: RunRecord
    files: dict[str, str] = field(default_factory=dict)


def foreign_runs(crate: ReadCrate) -> list[ForeignRun]:
    """The runs in a crate. Raises UsageError when it describes none."""
    actions = [key for key, each in crate.entities.items() if _ACTIONS.intersection(types_of(each))]
    if not actions:
        raise UsageError(
            "the crate describes no run: it has no CreateAction",
            hint="What mlproj imports are Process, Workflow and Provenance Run Crates.",
        )
    main = set(_ids(crate.entities[crate.root].get("mainEntity")))
    of_workflow = [key for key in actions if main.intersection(_ids(crate.entities[key].get("instrument")))]
    chosen = of_workflow or actions
    if len(chosen) > _MOST_RUNS:
        raise UsageError(f"the crate describes {len(chosen)} runs; {_MOST_RUNS} are the most that are imported")
    steps = len(actions) - len(chosen)
    fingerprint = sha256_of_file(crate.folder / METADATA_NAME) if (crate.folder / METADATA_NAME).exists() else ""
    return [_Reading(crate, key, fingerprint, steps).run() for key in chosen]


class _Reading:
    """The reading of one action: what of it was understood, and what was not."""

    def __init__(self, crate: ReadCrate, key: str, fingerprint: str, steps: int) -> None:
        self.crate, self.key, self.fingerprint, self.steps = crate, key, fingerprint, steps
        self.action = crate.entities[key]
        self.files: dict[str, str] = {}
        self.absent: list[str] = []
        self.not_taken: dict[str, int] = {"step": steps} if steps else {}

    def run(self) -> ForeignRun:
        """The action as a run."""
        started, ended = self._time("startTime"), self._time("endTime")
        parameters, inputs = self._objects()
        metrics, outputs = self._results()
        status, exit_status = _STATUSES.get(self._status(), _NOT_TOLD)
        instrument = self._named("instrument")
        root = self.crate.entities[self.crate.root]
        notices = [self._taken(parameters, metrics, inputs, outputs, started, ended), *self._lacking()]
        record = RunRecord(
            id=id_from(int((started or 0) * 1000), f"{self.fingerprint} {self.key}"),
            name=_text(self.action.get("name")),
            project=_text(root.get("name")) or instrument or "imported",
            experiment="Default",
            entry_point=instrument,
            status=status,
            exit_status=exit_status,
            parameters=parameters,
            metrics=metrics,
            user=self._named("agent") or None,
            started_at="" if started is None else time_text(started),
            ended_at=None if ended is None else time_text(ended),
            duration_s=None if started is None or ended is None else round(max(0.0, ended - started), 3),
            source=SourceRecord(kind="archive", notes=["it was not mlproj that ran it"]),
            environment=EnvironmentRecord(managed_by=self._engine()),
            inputs=inputs,
            outputs=outputs,
            error=_text(self.action.get("error")) or None,
            command_line=_text(self.action.get("description")) or None,
            notices=notices,
        )
        return ForeignRun(record, self.files)

    def _status(self) -> str:
        said = self.action.get("actionStatus", "")
        return (next(iter(_ids(said)), "") or _text(said)).rpartition("/")[2]

    def _time(self, name: str) -> float | None:
        try:
            return seconds_of(_text(self.action.get(name)))
        except (ValueError, OverflowError):
            return None

    def _entities(self, value: Any) -> Iterator[tuple[str, _Entity]]:
        for identifier in _ids(value):
            yield identifier, self.crate.entities.get(identifier, {})

    def _named(self, name: str) -> str:
        for identifier, entity in self._entities(self.action.get(name)):
            return _text(entity.get("name")) or identifier.lstrip("#")
        return ""

    def _engine(self) -> str | None:
        for each in self.crate.entities.values():
            if "OrganizeAction" in types_of(each):
                for identifier, engine in self._entities(each.get("instrument")):
                    return _text(engine.get("name")) or identifier.lstrip("#")
        return None

    def _objects(self) -> tuple[dict[str, Any], list[InputRecord]]:
        parameters: dict[str, Any] = {}
        inputs = []
        for identifier, entity in self._entities(self.action.get("object")):
            name = self._parameter_name(entity) or _text(entity.get("name")) or identifier.lstrip("#")
            if "PropertyValue" in types_of(entity):
                parameters[name] = _plain(entity.get("value"))
                continue
            found = self._files_of(identifier)
            for each in found:
                path = self.crate.folder / each
                inputs.append(InputRecord(each, path.stat().st_size, self.crate.files[each]))
                self.files[f"inputs/{each}"] = each
            if self._parameter_name(entity):
                parameters[name] = identifier
            if not found:
                self.absent.append(identifier)
        return parameters, inputs

    def _parameter_name(self, entity: _Entity) -> str:
        return next((_text(each.get("name")) for _, each in self._entities(entity.get("exampleOfWork"))), "")

    def _results(self) -> tuple[dict[str, float], list[OutputRecord]]:
        metrics: dict[str, float] = {}
        outputs = []
        for identifier, entity in self._entities(self.action.get("result")):
            name = self._parameter_name(entity) or _text(entity.get("name")) or identifier.lstrip("#")
            if "PropertyValue" in types_of(entity):
                number = _number(entity.get("value"))
                if number is None:
                    self._pass_over("result that is no number")
                else:
                    metrics[name] = number
                continue
            found = self._files_of(identifier)
            if not found:
                self.absent.append(identifier)
                continue
            kept = [FileRecord(each, self._size(each), self.crate.files[each]) for each in found]
            self.files |= {f"artifacts/{each}": each for each in found}
            outputs.append(OutputRecord(name, found[0] if len(found) == 1 else identifier, "artifact", 0, kept))
        return metrics, outputs

    def _size(self, name: str) -> int:
        return (self.crate.folder / name).stat().st_size

    def _files_of(self, identifier: str) -> list[str]:
        """The files in the crate that an entity is: one, or those of a dataset or collection, at any depth."""
        from urllib.parse import unquote

        found: dict[str, None] = {}
        pending, seen = [identifier], set()
        while pending:
            each = pending.pop(0)
            if each in seen:
                continue
            seen.add(each)
            name = str(PurePosixPath(unquote(each.removeprefix("./"))))
            if name in self.crate.files and not (self.crate.folder / name).is_symlink():
                found[name] = None
            pending += _ids(self.crate.entities.get(each, {}).get("hasPart"))
        return list(found)

    def _pass_over(self, what: str) -> None:
        self.not_taken[what] = self.not_taken.get(what, 0) + 1

    def _taken(self, parameters: Any, metrics: Any, inputs: Any, outputs: Any, *times: float | None) -> str:
        counts = ((parameters, "parameter"), (metrics, "metric"), (inputs, "input"), (outputs, "output"))
        parts = [plural(len(each), noun) for each, noun in counts]
        told = "" if None not in times else "; when it ran is not told in full"
        told += "" if self._status() in _STATUSES else "; how it ended is not told"
        return f"taken from a crate of another tool: {', '.join(parts)}{told}; it cannot be reproduced here"

    def _lacking(self) -> Iterator[str]:
        if self.not_taken:
            parts = ", ".join(plural(count, what) for what, count in self.not_taken.items())
            yield f"not taken from the crate: {parts}"
        if self.absent:
            shown = ", ".join(map(one_line, self.absent[:3])) + (", …" if len(self.absent) > 3 else "")
            yield f"not in the crate: {plural(len(self.absent), 'file')} that it names ({shown})"


def _ids(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each["@id"] for each in values if isinstance(each, dict) and isinstance(each.get("@id"), str)]


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _plain(value: Any) -> Any:
    """A value as a parameter may have it; a reference to an entity is its id."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return value.get("@value", value.get("@id"))
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isinf(number) and not isinstance(value, float) and "inf" not in str(value).lower() else number
