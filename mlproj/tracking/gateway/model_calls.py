"""``logged-models/…``: the models of MLflow 3, whose files are among the artifacts of the run that logged them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlproj.runs.experiments import experiment_of, experiments, id_of
from mlproj.runs.times import now_ms
from mlproj.text import one_line
from mlproj.tracking.gateway import folders
from mlproj.tracking.gateway.artifact_calls import entry_messages
from mlproj.tracking.gateway.call import Answer, Call, CallTable, page
from mlproj.tracking.gateway.errors import invalid, missing
from mlproj.tracking.gateway.messages import number_message, pair_list
from mlproj.tracking.gateway.models import (
    Model,
    keep_model,
    log_model_metrics,
    model_metrics,
    model_of,
    models_in,
    new_model_id,
    remove_model,
)
from mlproj.tracking.gateway.session import Session, files, log, view
from mlproj.tracking.gateway.small_filter import Subject, matches

_STATUSES = ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED")


def create(session: Session, call: Call) -> Answer:
    """Begin a model, of the run that it says, or of the entry point's own."""
    run_id = call.text("source_run_id", default=session.own)
    name = one_line(call.text("name", default="model"))
    if "/" in name or name in (".", "..") or any(sign in name for sign in "%:\"'"):
        raise invalid(f"Invalid model name ({name!r}). Model name cannot be '.', '..' or contain / : % \" '")
    experiment = experiment_of(session.store, call.text("experiment_id", default="0"))
    if experiment is None:
        raise missing(f"No Experiment with id={call.text('experiment_id')} exists")
    now = now_ms()
    model = Model(
        new_model_id(run_id),
        run_id,
        name,
        _free_path(session, run_id, name),
        experiment.name,
        now,
        now,
        call.text("model_type", default=""),
        tags=call.pairs("tags"),
        params=call.pairs("params"),
    )
    keep_model(session, model)
    log(session, run_id, [{"model": {"id": model.id, "name": name, "path": model.path}}])
    return {"model": _message(session, model)}


def get(session: Session, call: Call) -> Answer:
    """A model by its id."""
    return {"model": _message(session, model_of(session, call.text("model_id")))}


def finalize(session: Session, call: Call) -> Answer:
    """Say that a model's files are all there, or never will be."""
    status = call.text("status")
    if status not in _STATUSES:
        raise invalid(f"Invalid model status: {status!r}. Expected one of {', '.join(_STATUSES)}")
    return _changed(session, call, status=status)


def set_tags(session: Session, call: Call) -> Answer:
    """Set tags of a model."""
    return _changed(session, call, tags={**model_of(session, call.text("model_id")).tags, **call.pairs("tags")})


def delete_tag(session: Session, call: Call) -> Answer:
    """Take a tag of a model away."""
    key, tags = call.text("tag_key"), dict(model_of(session, call.text("model_id")).tags)
    if tags.pop(key, None) is None:
        raise missing(f"Tag with key '{key}' not found for the model.")
    _changed(session, call, tags=tags)
    return {}


def log_params(session: Session, call: Call) -> Answer:
    """More parameters of a model."""
    _changed(session, call, params={**model_of(session, call.text("model_id")).params, **call.pairs("params")})
    return {}


def delete(session: Session, call: Call) -> Answer:
    """Forget a model; its files stay among the run's artifacts."""
    remove_model(session, model_of(session, call.text("model_id")))
    return {}


def listing(session: Session, call: Call) -> Answer:
    """What is in a folder of a model's files."""
    model = model_of(session, call.text("model_id"))
    parts = folders.parts_of(call.text("artifact_directory_path", default=""))
    entries = folders.listing(files(session, model.run_id).artifacts, [*folders.parts_of(model.path), *parts])
    return {"root_uri": _location(session, model), "files": entry_messages(entries, "/".join(parts))}


def search(session: Session, call: Call) -> Answer:
    """Models of experiments by a filter, the newest first unless an order is given."""
    wanted = call.texts("experiment_ids")
    names = [each.name for each in experiments(session.store) if each.id in wanted]
    text = call.text("filter", default="")
    found = [(model, _subject(session, model)) for model in models_in(session, names)]
    found = [each for each in found if matches(text, each[1])]
    found.sort(key=lambda each: (each[0].created_ms, each[0].id), reverse=True)
    for order in reversed(call.items("order_by")):
        found = _sorted(found, order)
    return page(call, "models", [_message(session, model) for model, _ in found], 100)


def log_outputs(session: Session, call: Call) -> Answer:
    """Models that a run made: those of its own are known already."""
    lines = []
    for each in call.items("models"):
        model = model_of(session, each.text("model_id"))
        step = each.integer("step", default=0)
        lines.append({"model": {"id": model.id, "name": model.name, "path": model.path, "step": step}})
    log(session, call.run_id, lines)
    return {}


def note_metrics(session: Session, run_id: str, calls: list[Call], points: list[list[Any]]) -> None:
    """Keep metrics that were logged with a model, with that model too."""
    logged: dict[str, list[dict[str, Any]]] = {}
    for call, (name, value, step, at_ms) in zip(calls, points):
        if not call.fields.get("model_id"):
            continue
        model_id = call.text("model_id")
        more = {key: call.text(key) for key in ("dataset_name", "dataset_digest") if call.fields.get(key)}
        metric = {"key": name, "value": number_message(value), "step": step, "timestamp": at_ms or now_ms(), **more}
        logged.setdefault(model_id, []).append({**metric, "model_id": model_id, "run_id": run_id})
    for model_id, metrics in logged.items():
        log_model_metrics(session, model_of(session, model_id), metrics)


def _changed(session: Session, call: Call, **changes: Any) -> Answer:
    model = replace(model_of(session, call.text("model_id")), updated_ms=now_ms(), **changes)
    keep_model(session, model)
    return {"model": _message(session, model)}


def _free_path(session: Session, run_id: str, name: str) -> str:
    """A folder of the run's artifacts that no other model of its has, nor a file."""
    taken = {each.name for each in folders.listing(files(session, run_id).artifacts, [])}
    taken |= {each.path for each in view(session, run_id).record.models}
    path, count = name, 2
    while path in taken:
        path, count = f"{name}~{count}", count + 1
    return path


def _message(session: Session, model: Model) -> dict[str, Any]:
    return {
        "info": {
            "model_id": model.id,
            "experiment_id": id_of(session.store, model.experiment),
            "name": model.name,
            "creation_timestamp_ms": model.created_ms,
            "last_updated_timestamp_ms": model.updated_ms,
            "artifact_uri": _location(session, model),
            "status": model.status,
            "model_type": model.kind,
            "source_run_id": model.run_id,
            "tags": pair_list(model.tags),
        },
        "data": {"params": pair_list(model.params), "metrics": model_metrics(session, model)},
    }


def _location(session: Session, model: Model) -> str:
    return f"mlflow-artifacts:/{id_of(session.store, model.experiment)}/models/{model.id}/artifacts"


def _subject(session: Session, model: Model) -> Subject:
    attributes = {
        "name": model.name,
        "model_id": model.id,
        "model_type": model.kind,
        "status": model.status.removeprefix("LOGGED_MODEL_"),
        "source_run_id": model.run_id,
        "experiment_id": id_of(session.store, model.experiment),
        "creation_timestamp": model.created_ms,
        "creation_time": model.created_ms,
        "last_updated_timestamp": model.updated_ms,
    }
    metrics = {each["key"]: float(each["value"]) for each in model_metrics(session, model)}
    return Subject(attributes, model.tags, model.params, metrics)


def _sorted(found: list[tuple[Model, Subject]], order: Call) -> list[tuple[Model, Subject]]:
    section, _, name = order.text("field_name").rpartition(".")

    def value(each: tuple[Model, Subject]) -> Any:
        _, subject = each
        return {"metrics": subject.metrics, "params": subject.params}.get(section, subject.attributes).get(name)

    have = [each for each in found if value(each) is not None]
    have.sort(key=value, reverse=order.fields.get("ascending", True) in (False, "false"))
    return [*have, *(each for each in found if value(each) is None)]


CALLS: CallTable = {
    ("POST", "logged-models"): create,
    ("POST", "logged-models/search"): search,
    ("GET", "logged-models/{model_id}"): get,
    ("PATCH", "logged-models/{model_id}"): finalize,
    ("DELETE", "logged-models/{model_id}"): delete,
    ("PATCH", "logged-models/{model_id}/tags"): set_tags,
    ("DELETE", "logged-models/{model_id}/tags/{tag_key}"): delete_tag,
    ("POST", "logged-models/{model_id}/params"): log_params,
    ("GET", "logged-models/{model_id}/artifacts/directories"): listing,
    ("POST", "runs/outputs"): log_outputs,
}
