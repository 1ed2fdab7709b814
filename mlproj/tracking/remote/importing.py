"""Runs of a server, or of any store of MLflow's, brought into the store: again brings in only what is new."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from mlproj import locks
from mlproj.errors import UsageError
from mlproj.files import sha256_of_text
from mlproj.runs.changes import change_record
from mlproj.runs.database import explained
from mlproj.runs.identifiers import id_from, is_run_id
from mlproj.runs.layout import live_files, new_files
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import EnvironmentRecord, RunRecord, SourceRecord, Status, TrackingRecord
from mlproj.runs.record_files import read_record, write_record
from mlproj.runs.store import Store, files_of, load
from mlproj.runs.times import time_text
from mlproj.runs.totals import NAME_TAG
from mlproj.runs.upkeep import index_anew
from mlproj.text import did_you_mean, one_line
from mlproj.tracking.mlflow_tags import OWN_ID, PARENT
from mlproj.tracking.remote import receiving
from mlproj.tracking.remote.exchange import Exchange, own_name
from mlproj.tracking.remote.receiving import with_files
from mlproj.tracking.remote.server import Server, ServerError, all_of, asked
from mlproj.tracking.remote.state import Counterpart, keep_counterpart, read_counterpart
from mlproj.version import __version__

Told = Callable[[str], None]
_PAGE = 1000
_UNFINISHED = "without its artifacts"
_KINDS = {"conda": "conda", "virtualenv": "virtualenv", "docker": "docker"}
# What the record says elsewhere.
_SAID_ELSEWHERE = (NAME_TAG, PARENT, OWN_ID, "mlflow.user", "mlflow.project.entryPoint")


@dataclass
class Imported:
    """What an import did: the ids of runs that are new here, that have changed, and how many were here as they are."""

    new: list[str]
    changed: list[str]
    same: int = 0


@dataclass(frozen=True)
class ImportedRun:
    """A run that was brought in: its id here, and what that took."""

    id: str
    what: Literal["new", "changed", "same"]


def import_runs(server: Server, store: Store, experiment: str | None, told: Told) -> Imported:
    """Bring in all runs of a server, or of one experiment by its name, that are not deleted.

    Raises ServerError, StoreError, and ``UsageError`` when there is no such experiment.
    """
    imported = Imported([], [])
    ids: dict[str, str] = {}
    for each in _experiments(server, experiment):
        for seen in all_of(server, partial(_runs, server, each.experiment_id)):
            parent = ids.get(seen.data.tags.get(PARENT, ""))
            run = import_run(server, store, seen, own_name(each.name), told, parent=parent)
            ids[seen.info.run_id] = run.id
            if run.what == "same":
                imported.same += 1
            else:
                (imported.new if run.what == "new" else imported.changed).append(run.id)
    return imported


def import_run(
    server: Server, store: Store, seen: Any, experiment: str, told: Told, *, parent: str | None = None
) -> ImportedRun:
    """Bring in one run as the server says it is.

    A run that is here in whole and has not changed is left alone, and so is one of our own that the server was sent.
    Whatever kills this, the store holds the run whole or not at all. Raises ServerError, StoreError.
    """
    run_id = id_here(seen)
    with explained(store.folder):
        held = locks.wait_exclusive(store.folder / "import.lock")
    try:
        known = _known(store, server, seen)
        if known is None:
            told(f"fetching run {seen.info.run_id}")
            _bring_in(server, store, seen, run_id, experiment, parent, told)
            return ImportedRun(run_id, "new")
        if known in ("", _fingerprint(seen)):
            return ImportedRun(run_id, "same")
        told(f"fetching what is new of run {seen.info.run_id}")
        _bring_up_to_date(server, store, seen, run_id, told)
        return ImportedRun(run_id, "changed")
    finally:
        held.release()


def id_here(seen: Any) -> str:
    """The id that a run of a server has, or will have, in this store."""
    own = seen.data.tags.get(OWN_ID, "")
    return own if is_run_id(own) else id_from(seen.info.start_time or 0, seen.info.run_id)


def _known(store: Store, server: Server, seen: Any) -> str | None:
    """The fingerprint that a run was brought in with; empty for one that began here, ``None`` when it is not here."""
    run_id = id_here(seen)
    if not files_of(store, run_id).record.exists():
        return None
    counterpart = read_counterpart(store, run_id, server.shown)
    if counterpart is None:
        return "" if OWN_ID in seen.data.tags else _UNFINISHED
    return counterpart.seen or ""


def _experiments(server: Server, name: str | None) -> list[Any]:
    found = list(all_of(server, lambda token: server.client.search_experiments(page_token=token)))
    # Oldest first, so that a parent is here before its children more often than not.
    found.sort(key=lambda each: (getattr(each, "creation_time", None) or 0, each.name))
    if name is None:
        return found
    wanted = [each for each in found if each.name == name or own_name(each.name) == name]
    if not wanted:
        near = did_you_mean(name, [each.name for each in found])
        raise UsageError(f"{server.shown} has no experiment `{one_line(name)}`.{near}")
    return wanted


def _runs(server: Server, experiment_id: str, token: str | None) -> Any:
    order = ["attributes.start_time ASC"]
    return server.client.search_runs([experiment_id], order_by=order, max_results=_PAGE, page_token=token)


def _bring_in(
    server: Server, store: Store, seen: Any, run_id: str, experiment: str, parent: str | None, told: Told
) -> None:
    new, files = new_files(store.folder, run_id), live_files(store.folder, run_id)
    counterpart = _counterpart(server, seen, experiment)
    exchange = Exchange(server, store, run_id, counterpart)
    with explained(store.folder):
        shutil.rmtree(new.folder, ignore_errors=True)
        new.artifacts.mkdir(parents=True)
        # What is not locked is taken for a dead process's, and swept.
        held = locks.wait_exclusive(new.alive_lock)
    try:
        with explained(store.folder):
            for metric in seen.data.metrics:
                with asked(server.uri):
                    history = server.client.get_metric_history(seen.info.run_id, metric)
                append_lines(new.metrics, receiving.point_lines(history))
            record = _record(server, seen, run_id, experiment, parent)
            try:
                fetched = receiving.fetch_artifacts(exchange, new.artifacts, new.uploads, told)
            except ServerError as error:
                # Another import tries again; what is known of the run is worth having.
                fetched, counterpart.seen = [], _UNFINISHED
                notice = f"its artifacts were not brought in: {one_line(error.message)}"
                record = replace(record, notices=[notice])
            lacking = [f"not brought in: the {what}: {one_line(why)}" for what, why in counterpart.refused.items()]
            record = replace(record, notices=[*record.notices, *lacking])
            shutil.rmtree(new.uploads, ignore_errors=True)
            counterpart.files = {each.path: each.sha256 for each in fetched}
            write_record(new, with_files(record, fetched) if fetched else record)
            new.folder.rename(files.folder)
    except BaseException:
        shutil.rmtree(new.folder, ignore_errors=True)
        raise
    finally:
        held.release()
    index_anew(store, files, read_record(files))
    keep_counterpart(store, run_id, counterpart)


def _bring_up_to_date(server: Server, store: Store, seen: Any, run_id: str, told: Told) -> None:
    experiment = load(store, run_id).experiment
    counterpart = read_counterpart(store, run_id, server.shown) or _counterpart(server, seen, experiment)
    exchange = Exchange(server, store, run_id, counterpart)
    receiving.receive_logged(exchange, load(store, run_id))
    counterpart.seen = _fingerprint(seen)
    try:
        receiving.receive_artifacts(exchange, told)
    except ServerError:
        counterpart.seen = _UNFINISHED  # as its record says
    now = _record(server, seen, run_id, experiment, None)
    change_record(
        store,
        run_id,
        lambda record: replace(
            record, name=now.name, status=now.status, ended_at=now.ended_at, duration_s=now.duration_s, error=now.error
        ),
    )
    keep_counterpart(store, run_id, counterpart)


def _counterpart(server: Server, seen: Any, experiment: str) -> Counterpart:
    return Counterpart(
        server.shown,
        experiment,
        seen.info.experiment_id,
        seen.info.run_id,
        dict(seen.data.tags),
        seen=_fingerprint(seen),
        complete=True,
    )


def _fingerprint(seen: Any) -> str:
    metrics = sorted([each.key, repr(each.value), each.step, each.timestamp] for each in receiving.latest_metrics(seen))
    info, data = seen.info, seen.data
    return sha256_of_text(
        json.dumps([info.status, info.end_time, sorted(data.params), sorted(data.tags.items()), metrics])
    )


def _record(server: Server, seen: Any, run_id: str, experiment: str, parent: str | None) -> RunRecord:
    info, tags = seen.info, seen.data.tags
    source_name = tags.get("mlflow.source.name", "")
    commit = tags.get("mlflow.source.git.commit")
    status, error = _STATUSES.get(info.status, ("lost", f"it was {info.status} on the server when it was brought in"))
    with asked(server.uri):
        models = receiving.models_of(server.client, seen)
    started, ended = info.start_time or 0, info.end_time
    return RunRecord(
        id=run_id,
        name=getattr(info, "run_name", None) or tags.get(NAME_TAG, ""),
        project=source_name.rstrip("/").rpartition("/")[2].partition("#")[0] or "mlflow",
        experiment=experiment,
        entry_point=tags.get("mlflow.project.entryPoint", ""),
        status=status,
        parameters=dict(seen.data.params),
        metrics=dict(seen.data.metrics),
        tags={name: value for name, value in tags.items() if name not in _SAID_ELSEWHERE},
        user=tags.get("mlflow.user") or info.user_id or None,
        started_at=time_text(started / 1000),
        ended_at=None if ended is None else time_text(ended / 1000),
        duration_s=None if ended is None else max(0.0, (ended - started) / 1000),
        source=SourceRecord(
            kind="git" if commit else "folder",
            path=source_name,
            commit=commit,
            branch=tags.get("mlflow.source.git.branch"),
            remote=tags.get("mlflow.source.git.repoURL"),
        ),
        environment=EnvironmentRecord(
            kind=_KINDS.get(tags.get("mlflow.project.env", ""), "system"),
            image=tags.get("mlflow.docker.image.uri"),
            managed_by="MLflow",
        ),
        parent=parent,
        datasets=receiving.datasets_of(seen),
        models=models,
        error=error,
        mlproj_version=__version__,
        tracking=TrackingRecord(server.shown, info.experiment_id, info.run_id, sent=True),
    )


_STATUSES: dict[str, tuple[Status, str | None]] = {
    "FINISHED": ("finished", None),
    "FAILED": ("failed", None),
    "KILLED": ("killed", None),
}
