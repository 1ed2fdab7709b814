"""``traces/…``: what MLflow's tracing logs, kept among the artifacts of the run as the client sent it.

The spans of a trace are a file that the client puts beside it, through the artifact proxy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mlproj.files import dump_json
from mlproj.runs.times import now_ms
from mlproj.tracking.gateway import folders
from mlproj.tracking.gateway.artifact_calls import CHUNK, TRACES
from mlproj.tracking.gateway.call import Answer, Call, CallTable, page
from mlproj.tracking.gateway.errors import MlflowError, invalid, missing
from mlproj.tracking.gateway.messages import pair_list
from mlproj.tracking.gateway.session import Session, files, scratch_name, uploads
from mlproj.tracking.gateway.small_filter import Subject, matches

_INFO = "info.json"
_LOCATION = "mlflow.artifactLocation"
_SPANS = "traces.json"


def start(session: Session, call: Call) -> Answer:
    """A trace that has ended, as clients since 3.0 send it; or one that begins, as clients before did."""
    sent = call.item("trace").fields.get("trace_info")
    if not isinstance(sent, dict):
        return {"trace_info": _begin(session, call)}
    info = dict(sent)
    trace_id = str(info.get("trace_id") or "")
    tags = info.get("tags")
    location = call.item("trace").item("trace_info").item("trace_location").item("mlflow_experiment")
    experiment = location.text("experiment_id", default="0")
    info["tags"] = {**(tags if isinstance(tags, dict) else {}), _LOCATION: _location(experiment, trace_id)}
    _keep(session, trace_id, info)
    return {"trace": {"trace_info": info}}


def _begin(session: Session, call: Call) -> dict[str, Any]:
    trace_id = f"tr-{os.urandom(16).hex()}"
    experiment = call.text("experiment_id")
    info = {
        "request_id": trace_id,
        "experiment_id": experiment,
        "timestamp_ms": call.integer("timestamp_ms", default=now_ms()),
        "status": "IN_PROGRESS",
        "request_metadata": pair_list(call.pairs("request_metadata")),
        "tags": pair_list({**call.pairs("tags"), _LOCATION: _location(experiment, trace_id)}),
    }
    _keep(session, trace_id, info)
    return info


def finish(session: Session, call: Call) -> Answer:
    """The end of a trace, from a client before 3.0."""
    trace_id = call.text("request_id")
    info = _info(session, trace_id)
    begun = int(info.get("timestamp_ms", 0))
    info["execution_time_ms"] = max(0, call.integer("timestamp_ms", default=begun) - begun)
    info["status"] = call.text("status", default="OK")
    for name in ("request_metadata", "tags"):
        before = Call({name: info.get(name, [])}).pairs(name)
        info[name] = pair_list({**before, **call.pairs(name)})
    _keep(session, trace_id, info)
    return {"trace_info": info}


def get(session: Session, call: Call) -> Answer:
    """A trace without its spans."""
    info = _info(session, call.text("trace_id", default=call.text("request_id", default="")))
    return {"trace": {"trace_info": info}, "trace_info": info}


def get_whole(_: Session, call: Call) -> Answer:
    """Not answered: clients fetch the spans from the artifacts then."""
    raise MlflowError("ENDPOINT_NOT_FOUND", f"mlproj keeps the spans of {call.text('trace_id')} as a file.")


def search(session: Session, call: Call) -> Answer:
    """Traces of this run, the newest first; filters compare tags, and status as it was sent."""
    text = call.text("filter", default=call.text("filter_string", default=""))
    found = [info for info in _all(session) if matches(text, _subject(info))]
    found.sort(key=lambda info: str(info.get("request_time") or info.get("timestamp_ms")), reverse=True)
    return page(call, "traces", found, 100)


def set_tag(session: Session, call: Call) -> Answer:
    """Set a tag of a trace."""
    return _tagged(session, call, call.text("value", default=""))


def delete_tag(session: Session, call: Call) -> Answer:
    """Take a tag of a trace away."""
    return _tagged(session, call, None)


def delete(session: Session, call: Call) -> Answer:
    """Remove traces by their ids."""
    wanted = call.texts("request_ids") or call.texts("trace_ids")
    removed = 0
    for trace_id in wanted:
        try:
            folders.remove(_root(session), [_name(trace_id)])
            removed += 1
        except MlflowError as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return {"traces_deleted": removed}


def _tagged(session: Session, call: Call, value: str | None) -> Answer:
    trace_id = call.text("trace_id", default=call.text("request_id", default=""))
    info = _info(session, trace_id)
    as_list = isinstance(info.get("tags"), list)
    tags = Call({"tags": info["tags"]}).pairs("tags") if as_list else dict(info.get("tags") or {})
    tags = {**tags, call.text("key"): value}
    kept = {name: text for name, text in tags.items() if text is not None}
    _keep(session, trace_id, {**info, "tags": pair_list(kept) if as_list else kept})
    return {}


def _root(session: Session) -> Path:
    return files(session, session.own).artifacts / TRACES


def _name(trace_id: str) -> str:
    parts = folders.parts_of(trace_id)
    if len(parts) != 1:
        raise invalid(f"Invalid trace id: {trace_id!r}")
    return parts[0]


def _keep(session: Session, trace_id: str, info: dict[str, Any]) -> None:
    scratch = uploads(session, session.own) / scratch_name()
    scratch.write_text(dump_json(info), encoding="utf-8")
    folders.place(_root(session), [_name(trace_id), _INFO], scratch)


def _info(session: Session, trace_id: str) -> dict[str, Any]:
    try:
        descriptor, _ = folders.read(_root(session), [_name(trace_id), _INFO])
    except MlflowError:
        raise missing(f"Trace with ID '{trace_id}' not found.") from None
    with closing(os.fdopen(descriptor, "rb", CHUNK)) as stream:
        info: dict[str, Any] = json.load(stream)
    return info


def _all(session: Session) -> Iterator[dict[str, Any]]:
    for each in folders.listing(_root(session), []):
        try:
            yield _info(session, each.name)
        except MlflowError:
            continue


def _subject(info: dict[str, Any]) -> Subject:
    tags = info.get("tags") or {}
    tags = Call({"tags": tags}).pairs("tags") if isinstance(tags, list) else tags
    metadata = info.get("trace_metadata") or {}
    run_id = metadata.get("mlflow.sourceRun", "") if isinstance(metadata, dict) else ""
    attributes = {
        "status": info.get("state") or info.get("status", ""),
        "state": info.get("state") or info.get("status", ""),
        "name": tags.get("mlflow.traceName", ""),
        "run_id": run_id,
        "trace_id": info.get("trace_id") or info.get("request_id", ""),
    }
    return Subject(attributes, tags)


def _location(experiment: str, trace_id: str) -> str:
    return f"mlflow-artifacts:/{experiment}/traces/{_name(trace_id)}/artifacts"


CALLS: CallTable = {
    ("POST", "traces"): start,
    ("GET", "traces"): search,
    ("POST", "traces/search"): search,
    ("POST", "traces/delete-traces"): delete,
    ("GET", "traces/get"): get_whole,
    ("GET", "traces/{trace_id}"): get,
    ("PATCH", "traces/{request_id}"): finish,
    ("GET", "traces/{request_id}/info"): get,
    ("PATCH", "traces/{trace_id}/tags"): set_tag,
    ("DELETE", "traces/{trace_id}/tags"): delete_tag,
}
