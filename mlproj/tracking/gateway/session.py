"""One entry point's session with the store: the runs that its clients write to, read and begin.

Everything that is logged goes into a run's ``metrics.jsonl`` before the client has its answer, so that what was
acknowledged outlives this process.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlproj.errors import StoreError
from mlproj.runs.artifacts import collect
from mlproj.runs.changes import add_logged, change_record
from mlproj.runs.database import transaction
from mlproj.runs.identifiers import is_run_id
from mlproj.runs.index import number_of, plain
from mlproj.runs.intake import Intake, open_intake, summaries_of
from mlproj.runs.layout import RunFiles, live_files
from mlproj.runs.metric_lines import Mask, append_lines
from mlproj.runs.record import RunRecord, Status
from mlproj.runs.store import LiveRun, Store, begin, files_of, finish, is_live, load, new_run_id
from mlproj.runs.times import seconds_of, time_text
from mlproj.runs.totals import NAME_TAG, Summary, with_totals
from mlproj.tracking.gateway.errors import invalid, missing

_MOST_RECENT = 20_000
_UNSAID = "the run that it is a child of ended, and no client had said how this one did"


@dataclass
class OpenRun:
    """A run that this session writes to.

    ``live`` is missing for the run that the session is in, which its runner closes. ``said`` is the status that a
    client gave it last, ``recent`` are the points that were logged last.
    """

    record: RunRecord
    files: RunFiles
    intake: Intake
    live: LiveRun | None = None
    ended_ms: int | None = None
    said: str | None = None
    recent: dict[tuple[object, ...], None] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """A run as a client sees it: its record with what it has logged so far, and what is known of each metric."""

    record: RunRecord
    summaries: Mapping[str, Summary]
    ended_ms: int | None
    said: str | None = None


@dataclass
class Session:
    """What the calls of one entry point's clients work on.

    ``own`` is the run that the entry point is; ``mask`` takes its secrets, when it has any, out of what is logged.
    ``keeps_experiment``: its experiment is not for its script to choose. ``notices`` are for the user, each told once.
    """

    store: Store
    own: str
    open_runs: dict[str, OpenRun]
    mask: Mask | None = None
    keeps_experiment: bool = False
    notices: dict[str, None] = field(default_factory=dict)
    taken_up: set[str] = field(default_factory=set)
    first_experiment: str = field(init=False)

    def __post_init__(self) -> None:
        self.first_experiment = self.open_runs[self.own].record.experiment


def view(session: Session, run_id: str) -> View:
    """A run of the store, as it is now. Raises ``MlflowError`` when there is none."""
    opened = session.open_runs.get(run_id)
    if opened is not None:
        totals = opened.intake.so_far()
        # A line that was logged to a parameter as it is declared says nothing new.
        record = replace(with_totals(opened.record, totals), notices=[])
        return View(record, totals.summaries, opened.ended_ms, opened.said)
    _refuse_unknown(session, run_id)
    record = load(session.store, run_id)
    ended_ms = None if record.ended_at is None else round(seconds_of(record.ended_at) * 1000)
    said = "RUNNING" if run_id in session.taken_up else None
    return View(record, summaries_of(session.store, run_id), ended_ms, said)


def files(session: Session, run_id: str) -> RunFiles:
    """Where the files of a run are. Raises ``MlflowError`` when there is no such run."""
    if run_id in session.open_runs:
        return session.open_runs[run_id].files
    _refuse_unknown(session, run_id)
    return files_of(session.store, run_id)


def _refuse_unknown(session: Session, run_id: str) -> None:
    if not is_run_id(run_id) or number_of(session.store.connection, run_id) == -1:
        raise missing(f"Run with id={run_id} not found")


def log(session: Session, run_id: str, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append to what a run has logged; the record of one that has ended gets it at once.

    Raises ``MlflowError`` for a run that is not there, and for what its file does not take.
    """
    opened = session.open_runs.get(run_id)
    if opened is not None:
        before, _ = opened.intake.refused()
        append_lines(opened.files.metrics, lines)
        refused, why = opened.intake.refused()
        if refused > before:
            raise invalid(f"This cannot be logged: {why.partition(': ')[2]}")
        return
    writable(session, run_id)
    add_logged(session.store, run_id, lines)


def log_points(session: Session, run_id: str, points: Sequence[Sequence[Any]]) -> None:
    """Log points, but none that the run has already: name, value, step and time tell one from another.

    So a call that is made again is of no effect, and what clients since 3.0 log once more with a model; a server on a
    database does not take them either. Raises as ``log``.
    """
    opened = session.open_runs.get(run_id)
    # NaN is not equal to itself.
    new = {tuple(map(repr, point)): point for point in points}
    if opened is not None:
        last = {name: opened.intake.summary(name) for name in {point[0] for point in points}}
        new = {
            key: point for key, point in new.items() if key not in opened.recent and not _is_last(point, last[point[0]])
        }
    if new:
        log(session, run_id, [{"points": list(new.values())}])
    if opened is not None:
        opened.recent |= dict.fromkeys(key for key, point in new.items() if point[3] is not None)
        while len(opened.recent) > _MOST_RECENT:
            del opened.recent[next(iter(opened.recent))]


def _is_last(point: Sequence[Any], last: Summary | None) -> bool:
    return last is not None and [repr(last.value), last.step, last.at_ms] == [repr(point[1]), point[2], point[3]]


def writable(session: Session, run_id: str) -> RunFiles:
    """The files of a run, to write to. Raises ``MlflowError`` when there is no such run, or it is in the trash."""
    if run_id not in session.open_runs:
        _refuse_unknown(session, run_id)
        if not live_files(session.store.folder, run_id).folder.is_dir():
            raise missing(f"The run {run_id} must be in the 'active' state. Current state is deleted.")
    return live_files(session.store.folder, run_id)


def note_artifacts(session: Session, run_id: str) -> None:
    """Have the record of a run that has ended list the artifacts that it has by now; others are listed at their end."""
    if run_id in session.open_runs or is_live(session.store, run_id):
        return
    target = live_files(session.store.folder, run_id)
    change_record(session.store, run_id, lambda record: _with_artifacts(record, target))


def _with_artifacts(record: RunRecord, target: RunFiles) -> RunRecord:
    collected = collect([], target.folder, target.artifacts, before={})
    declared = [each for each in record.outputs if each.name]
    known = {file.path for each in declared for file in each.files}
    own = [
        replace(each, files=files, size=sum(file.size for file in files))
        for each in collected.outputs
        if (files := [file for file in each.files if file.path not in known])
    ]
    return replace(record, outputs=[*declared, *own])


def start(session: Session, run_id: str) -> None:
    """Take note that a client has started a run: from now on it stays in the experiment that it was last shown in."""
    opened = session.open_runs[run_id]
    if opened.said is None and opened.live is None and not session.keeps_experiment:
        with transaction(session.store.folder, session.store.connection) as connection:
            connection.execute("UPDATE runs SET experiment = ? WHERE id = ?", (plain(opened.record.experiment), run_id))
    opened.said = "RUNNING"


def rename(session: Session, run_id: str, name: str) -> None:
    """Give a run a name. One that the entry point's run was given on the command line stays."""
    log(session, run_id, [{"tags": {NAME_TAG: name}}])
    opened = session.open_runs.get(run_id)
    if opened is not None and opened.live is not None:
        opened.record = replace(opened.record, name=name)


def begin_child(session: Session, record: RunRecord) -> str:
    """Begin a run that an entry point's client asks for; gives its id. Raises StoreError."""
    record = replace(record, id=new_run_id(session.store))
    live = begin(session.store, record)
    intake = open_intake(session.store, live.id, live.files.metrics)
    session.open_runs[live.id] = OpenRun(record, live.files, intake, live)
    return record.id


def end(
    session: Session, run_id: str, status: Status, *, ended_ms: int | None = None, error: str | None = None
) -> None:
    """Write the final record of a run that this session began, which ended now or when its client says."""
    opened = session.open_runs.pop(run_id)
    assert opened.live is not None
    record = _with_artifacts(with_totals(opened.record, opened.intake.close()), opened.files)
    started, now = seconds_of(record.started_at), time.time()
    ended = now if ended_ms is None or not started <= ended_ms / 1000 <= now else ended_ms / 1000
    duration_s = round(max(0.0, ended - started), 3)
    shutil.rmtree(opened.files.uploads, ignore_errors=True)
    finish(
        opened.live,
        replace(record, status=status, ended_at=time_text(ended), duration_s=duration_s, error=error),
    )


def end_all(session: Session) -> None:
    """Close the runs that are left when the entry point has ended: how they ended nobody said."""
    for run_id, opened in list(session.open_runs.items()):
        if opened.live is not None:
            with suppress(StoreError, OSError):  # the next command finds it lost
                end(session, run_id, "lost", error=_UNSAID)


def uploads(session: Session, run_id: str) -> Path:
    """A folder for what a client is sending to a run, beside its artifacts."""
    folder = writable(session, run_id).uploads
    folder.mkdir(exist_ok=True)
    return folder


def scratch_name() -> str:
    """A name that nothing else has."""
    return os.urandom(12).hex()
