"""One entry point's session with the store: the runs that its clients write to, read and begin.

Everything that is logged goes into a run's ``metrics.jsonl`` before the client has its answer, so that what was
acknowledged outlives this process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlproj.errors import StoreError
from mlproj.runs.artifacts import collect
from mlproj.runs.database import transaction
from mlproj.runs.identifiers import is_run_id
from mlproj.runs.index import number_of, plain
from mlproj.runs.intake import Intake, open_intake, summaries_of
from mlproj.runs.layout import RunFiles, live_files
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import RunRecord, Status
from mlproj.runs.store import LiveRun, Store, begin, files_of, finish, is_live, load, new_run_id, resume
from mlproj.runs.times import now_text, seconds_of
from mlproj.runs.totals import NAME_TAG, Summary, with_totals
from mlproj.tracking.gateway.errors import missing

# Each holds an open file, of which a process has some hundreds.
_MOST_RESUMED = 32
_UNSAID = "the run that it is a child of ended, and no client had said how this one did"


@dataclass
class OpenRun:
    """A run that this session writes to.

    ``live`` is missing for the run that the session is in, which its runner closes. ``before`` is the record that a
    run had when it was taken up again after its end. ``said`` is the status that a client gave it last.
    """

    record: RunRecord
    files: RunFiles
    intake: Intake
    live: LiveRun | None = None
    before: RunRecord | None = None
    ended_ms: int | None = None
    said: str | None = None


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
    ``notices`` are for the user, each told once.
    """

    store: Store
    own: str
    open_runs: dict[str, OpenRun]
    mask: Callable[[bytes], bytes] | None = None
    notices: dict[str, None] = field(default_factory=dict)


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
    return View(record, summaries_of(session.store, run_id), ended_ms)


def files(session: Session, run_id: str) -> RunFiles:
    """Where the files of a run are. Raises ``MlflowError`` when there is no such run."""
    if run_id in session.open_runs:
        return session.open_runs[run_id].files
    _refuse_unknown(session, run_id)
    return files_of(session.store, run_id)


def _refuse_unknown(session: Session, run_id: str) -> None:
    if not is_run_id(run_id) or number_of(session.store.connection, run_id) == -1:
        raise missing(f"Run with id={run_id} not found")


def log(session: Session, run_id: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append to what a run has logged; one that has ended is taken up again. Raises ``MlflowError``."""
    if session.mask is not None:
        lines = [json.loads(session.mask(json.dumps(line).encode())) for line in lines]
    append_lines(writable(session, run_id).metrics, lines)


def writable(session: Session, run_id: str) -> RunFiles:
    """The files of a run, to write to. Raises ``MlflowError`` when there is no such run, or it is in the trash."""
    if run_id not in session.open_runs:
        _refuse_unknown(session, run_id)
        if not is_live(session.store, run_id):
            _take_up(session, run_id)
    # The runner of a run that is live elsewhere takes in what is appended there.
    return live_files(session.store.folder, run_id)


def _take_up(session: Session, run_id: str) -> None:
    before = load(session.store, run_id)
    if before.deleted_at is not None:
        raise missing(f"The run {run_id} must be in the 'active' state. Current state is deleted.")
    resumed = [each for each, opened in session.open_runs.items() if opened.before is not None]
    for each in resumed[: 1 - _MOST_RESUMED]:
        end(session, each)
    own = session.open_runs[session.own].record
    record = replace(before, status="running", supervisor=own.supervisor, host=own.host)
    live = resume(session.store, record)
    _open(session, live, record, before)


def _open(session: Session, live: LiveRun, record: RunRecord, before: RunRecord | None) -> None:
    intake = open_intake(session.store, live.id, live.files.metrics)
    session.open_runs[live.id] = OpenRun(record, live.files, intake, live, before)


def start(session: Session, run_id: str) -> None:
    """Take note that a client has started a run: from now on it stays in the experiment that it was last shown in."""
    opened = session.open_runs[run_id]
    if opened.said is None and opened.live is None:
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
    _open(session, begin(session.store, record), record, None)
    return record.id


def end(session: Session, run_id: str, status: Status | None = None, error: str | None = None) -> None:
    """Write the final record of a run of this session's: with ``status``, or as it was before it was taken up."""
    opened = session.open_runs.pop(run_id)
    assert opened.live is not None
    record = with_totals(opened.record, opened.intake.close())
    collected = collect([], opened.files.folder, opened.files.artifacts, before={})
    declared = [each for each in record.outputs if each.name]
    record = replace(record, outputs=[*declared, *collected.outputs], notices=[*record.notices, *collected.notes])
    if status is None and opened.before is not None:
        before = opened.before
        record = replace(record, status=before.status, supervisor=before.supervisor, host=before.host)
    else:
        started = seconds_of(record.started_at)
        duration_s = round(max(0.0, seconds_of(now_text()) - started), 3)
        record = replace(record, status=status or "lost", ended_at=now_text(), duration_s=duration_s, error=error)
    finish(opened.live, record)


def end_all(session: Session) -> None:
    """Close the runs that are left when the entry point has ended: how they ended nobody said."""
    for run_id, opened in list(session.open_runs.items()):
        if opened.live is None:
            continue
        with suppress(StoreError, OSError):  # the next command finds it lost
            end(session, run_id, error=_UNSAID if opened.before is None else None)


def uploads(session: Session, run_id: str) -> Path:
    """A folder for what a client is sending to a run, beside its artifacts."""
    folder = writable(session, run_id).uploads
    folder.mkdir(exist_ok=True)
    return folder


def scratch_name() -> str:
    """A name that nothing else has."""
    return os.urandom(12).hex()
