"""``runs/…``: joining the run that an entry point is, beginning others, changing, deleting and searching them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mlproj.errors import UsageError
from mlproj.runs import trash
from mlproj.runs.experiments import experiment_of, experiments, id_of
from mlproj.runs.query import search_ids
from mlproj.runs.record import CommandRecord, Resources, RunRecord, Status
from mlproj.runs.store import is_live
from mlproj.runs.times import now_text, time_text
from mlproj.runs.totals import NAME_TAG
from mlproj.text import one_line
from mlproj.tracking.gateway.call import Answer, Call, CallTable
from mlproj.tracking.gateway.errors import MlflowError, invalid, missing
from mlproj.tracking.gateway.experiment_calls import unchoose_experiment
from mlproj.tracking.gateway.limits import check_tag
from mlproj.tracking.gateway.messages import run_info, run_message
from mlproj.tracking.gateway.session import Session, View, begin_child, end, files, log, rename, start, view, writable
from mlproj.tracking.mlflow_tags import PARENT

_MOST_FOUND = 50_000
_LATEST_MS = 253_402_300_799_000  # the end of the year 9999
_ENDED: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_OWN_TAGS = {"runName": "name", "user": "user", "parentRunId": "parent", "project.entryPoint": "entry_point",
             "source.git.commit": "source.commit"}  # fmt: skip
_OWN_TAG = re.compile(r"\btags?\.`?mlflow\.(?P<name>" + "|".join(map(re.escape, _OWN_TAGS)) + r")`?(?![\w.`])")
_NAMED = r"((?:params?|parameters?|metrics?|tags?)\.(?:`[^`]*`|[^\s`'\"=<>!()]+))"
_NOT_NULL = re.compile(_NAMED + r"\s+IS\s+NOT\s+NULL\b", re.IGNORECASE)
_NULL = re.compile(_NAMED + r"\s+IS\s+NULL\b", re.IGNORECASE)
_VALUES = re.compile(r"""((?<=[=<>(,\s])'(?:[^']|'')*'|(?<=[=<>(,\s])"(?:[^"]|"")*")""")
_STATUSES = (*_ENDED, "RUNNING", "SCHEDULED")


def get(session: Session, call: Call) -> Answer:
    """A run, with what it has logged so far."""
    return {"run": _message(session, call.run_id)}


def create(session: Session, call: Call) -> Answer:
    """Begin a run: a child of the run that it says, and of the entry point's own when it says none."""
    own = session.open_runs[session.own].record
    tags = call.pairs("tags")
    for name, value in tags.items():
        check_tag(name, value, call.client)
    experiment = experiment_of(session.store, call.text("experiment_id", default="0"))
    if experiment is None or experiment.deleted:
        raise missing(f"No Experiment with id={call.text('experiment_id')} exists")
    parent = tags.setdefault(PARENT, session.own)
    files(session, parent)
    started_ms = call.integer("start_time", default=0)
    if started_ms > _LATEST_MS:
        raise invalid(f"Invalid value {started_ms} for parameter 'start_time': it has to be milliseconds.")
    run_id = begin_child(
        session,
        RunRecord(
            id="",
            name=one_line(call.text("run_name", default=tags.pop(NAME_TAG, ""))),
            project=own.project,
            experiment=experiment.name,
            entry_point=own.entry_point,
            user=call.text("user_id", default=own.user or ""),
            started_at=time_text(started_ms / 1000) if started_ms > 0 else now_text(),
            # Its patch, its source and its lock are files of the run that it is a child of.
            source=replace(own.source, patch=None, kept=False, changed=[]),
            environment=replace(own.environment, lock=None),
            command=CommandRecord(cwd=own.command.cwd),
            resources=Resources(),
            parent=parent,
            host=own.host,
            platform=own.platform,
            machine=own.machine,
            mlproj_version=own.mlproj_version,
            supervisor=own.supervisor,
        ),
    )
    tags.pop(NAME_TAG, None)
    if tags:
        log(session, run_id, [{"tags": tags}])
    return {"run": _message(session, run_id)}


def update(session: Session, call: Call) -> Answer:
    """Change a run's name, and say that it has been started or has ended.

    Of the run that the entry point is, the runner says how it ended.
    """
    run_id, status = call.run_id, call.text("status", default="RUNNING")
    if status not in _STATUSES:
        raise invalid(f"Invalid run status {status!r}: it has to be one of {', '.join(_STATUSES)}.")
    if name := call.text("run_name", default=""):
        rename(session, run_id, one_line(name))
    ended_ms = call.integer("end_time", default=0) or None
    opened = session.open_runs.get(run_id)
    if opened is None:
        # It has ended, or another mlproj says when it does: that stays.
        writable(session, run_id)
        if status == "RUNNING" and not is_live(session.store, run_id):
            session.taken_up.add(run_id)
        else:
            session.taken_up.discard(run_id)
        return {"run_info": _info(session, view(session, run_id))}
    seen = replace(view(session, run_id), said=status, ended_ms=ended_ms if status in _ENDED else None)
    if status in _ENDED and opened.live is not None:
        end(session, run_id, _ENDED[status], ended_ms=ended_ms)
    else:
        start(session, run_id)
        opened.said, opened.ended_ms = status, seen.ended_ms
    return {"run_info": _info(session, seen)}


def delete(session: Session, call: Call) -> Answer:
    """Move a run to the trash."""
    run_id = call.run_id
    files(session, run_id)
    if run_id == session.own:
        raise MlflowError("INVALID_STATE", f"The run {run_id} is the one that asks: `mlproj delete` does it later.")
    opened = session.open_runs.get(run_id)
    if opened is not None:
        end(session, run_id, "killed")
    try:
        trash.delete(session.store, run_id)
    except UsageError as error:
        raise MlflowError("INVALID_STATE", error.message) from None
    return {}


def restore(session: Session, call: Call) -> Answer:
    """Take a run out of the trash."""
    files(session, call.run_id)
    try:
        trash.restore(session.store, call.run_id)
    except UsageError as error:
        raise invalid(error.message) from None
    return {}


def search(session: Session, call: Call) -> Answer:
    """Runs by a filter; the filter language is ours, which is MLflow's and more (docs/filter.md)."""
    for opened in session.open_runs.values():
        opened.intake.store_all()
    unchoose_experiment(session, call.texts("experiment_ids"))
    wanted, known = call.texts("experiment_ids"), experiments(session.store)
    names = [each.name for each in known if each.id in wanted]
    if wanted and not names:
        return {"runs": []}
    # To ask for all of them is to ask for none, and a filter has its limits.
    condition = f"experiment in ({', '.join(map(_quoted, names))})" if 0 < len(names) < len(known) else ""
    asked = _translated(call.text("filter", default=""))
    text = " and ".join(f"({each})" for each in (condition, asked) if each.strip())
    order = ", ".join(_order_term(each) for each in call.texts("order_by"))
    most = min(call.integer("max_results", default=1000), _MOST_FOUND)
    first = call.integer("page_token", default=0)
    if most < 1 or first < 0:
        raise invalid("page_token has to be a token that was given before, and max_results positive.")
    kind = call.text("run_view_type", default="ACTIVE_ONLY")
    found: list[str] = []
    try:
        if kind in ("ACTIVE_ONLY", "ALL"):
            found += search_ids(session.store, text, order, first + most + 1)
        if kind in ("DELETED_ONLY", "ALL"):
            found += search_ids(session.store, text, order, first + most + 1, trashed=True)
    except UsageError as error:
        raise invalid(f"Invalid filter or order: {error.message}") from None
    page = [view(session, run_id) for run_id in found[first : first + most]]
    ids = {name: id_of(session.store, name) for name in {seen.record.experiment for seen in page}}
    answer: dict[str, Any] = {"runs": [run_message(seen, ids[seen.record.experiment]) for seen in page]}
    if len(found) > first + most:
        answer["next_page_token"] = str(first + most)
    return answer


def _message(session: Session, run_id: str) -> dict[str, Any]:
    seen = view(session, run_id)
    return run_message(seen, id_of(session.store, seen.record.experiment))


def _info(session: Session, seen: View) -> dict[str, Any]:
    return run_info(seen, id_of(session.store, seen.record.experiment))


def _translated(text: str) -> str:
    """A filter with what MLflow has, and ours has not: its own tags for what are attributes here, and ``IS NULL``."""

    def outside(part: str) -> str:
        part = _OWN_TAG.sub(lambda found: _OWN_TAGS[found["name"]], part)
        part = _NOT_NULL.sub(r"has(\1)", part)
        return _NULL.sub(r"not has(\1)", part)

    # What stands in quotes as a value is left alone; a name in backticks or after a dot is not a value.
    return "".join(
        part if part.startswith(("'", '"')) else outside(part) for part in _VALUES.split(text) if part is not None
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _order_term(text: str) -> str:
    key, _, direction = text.strip().rpartition(" ")
    return f"{key} {direction.lower()}" if direction.lower() in ("asc", "desc") and key else text


CALLS: CallTable = {
    ("GET", "runs/get"): get,
    ("POST", "runs/create"): create,
    ("POST", "runs/update"): update,
    ("POST", "runs/delete"): delete,
    ("POST", "runs/restore"): restore,
    ("POST", "runs/search"): search,
}
