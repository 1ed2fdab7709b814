"""``registered-models/…`` and ``model-versions/…``: the model registry, as far as one store can be one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mlproj.runs.times import now_ms
from mlproj.text import one_line
from mlproj.tracking.gateway.call import Answer, Call, CallTable, page
from mlproj.tracking.gateway.errors import MlflowError, invalid, missing
from mlproj.tracking.gateway.limits import check_length
from mlproj.tracking.gateway.messages import pair_list
from mlproj.tracking.gateway.models import model_of
from mlproj.tracking.gateway.registry import (
    RegisteredModel,
    Version,
    all_registered,
    changing,
    forget,
    keep,
    registered,
    with_version,
)
from mlproj.tracking.gateway.session import Session, log
from mlproj.tracking.gateway.small_filter import Subject, matches

_STAGES = ("None", "Staging", "Production", "Archived")
_LONGEST_NAME = 200
_PAGE = 100


def create_model(session: Session, call: Call) -> Answer:
    """A new registered model, without versions."""
    name = _checked_name(call.text("name"))
    with changing(session.store):
        if registered(session.store, name) is not None:
            raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.")
        now = now_ms()
        model = RegisteredModel(name, now, now, call.text("description", default=""), call.pairs("tags"))
        keep(session.store, model)
    return {"registered_model": _model_message(model)}


def get_model(session: Session, call: Call) -> Answer:
    """A registered model by its name."""
    return {"registered_model": _model_message(_model(session, call.text("name")))}


def update_model(session: Session, call: Call) -> Answer:
    """Describe a registered model."""
    return _changed(session, call, lambda model: replace(model, description=call.text("description", default="")))


def rename_model(session: Session, call: Call) -> Answer:
    """Give a registered model another name."""
    name, new = call.text("name"), _checked_name(call.text("new_name"))
    with changing(session.store):
        model = _model(session, name)
        if registered(session.store, new) is not None:
            raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Registered Model (name={new}) already exists.")
        model = replace(model, name=new, updated_ms=now_ms())
        keep(session.store, model)
        forget(session.store, name)
    return {"registered_model": _model_message(model)}


def delete_model(session: Session, call: Call) -> Answer:
    """Forget a registered model."""
    with changing(session.store):
        forget(session.store, _model(session, call.text("name")).name)
    return {}


def search_models(session: Session, call: Call) -> Answer:
    """Registered models by a filter on their names and tags."""
    text = call.text("filter", default="")
    found = [each for each in all_registered(session.store) if matches(text, Subject({"name": each.name}, each.tags))]
    return page(call, "registered_models", [_model_message(each) for each in found], _PAGE)


def set_model_tag(session: Session, call: Call) -> Answer:
    """Set a tag of a registered model."""
    tag = {call.text("key"): call.text("value", default="")}
    _changed(session, call, lambda model: replace(model, tags={**model.tags, **tag}))
    return {}


def delete_model_tag(session: Session, call: Call) -> Answer:
    """Take a tag of a registered model away."""
    _changed(session, call, lambda model: replace(model, tags=_without(model.tags, call.text("key"))))
    return {}


def latest_versions(session: Session, call: Call) -> Answer:
    """The newest version in each stage, or in those asked for."""
    model = _model(session, call.text("name"))
    stages = call.texts("stages") or list(_STAGES)
    newest = {each.stage: each for each in model.versions}
    wanted = [newest[stage] for stage in newest if stage.lower() in [each.lower() for each in stages]]
    return {"model_versions": [_version_message(model, each) for each in wanted]}


def set_alias(session: Session, call: Call) -> Answer:
    """Have a name stand for a version."""
    alias = call.text("alias")
    _changed(
        session,
        call,
        lambda model: replace(model, aliases={**model.aliases, alias: _version(model, call.text("version")).version}),
    )
    return {}


def delete_alias(session: Session, call: Call) -> Answer:
    """Have a name stand for no version any more."""
    alias = call.text("alias")

    def without(model: RegisteredModel) -> RegisteredModel:
        return replace(model, aliases={name: number for name, number in model.aliases.items() if name != alias})

    _changed(session, call, without)
    return {}


def get_by_alias(session: Session, call: Call) -> Answer:
    """The version that a name stands for."""
    model, alias = _model(session, call.text("name")), call.text("alias")
    if alias not in model.aliases:
        raise invalid(f"Registered model alias {alias} not found.")
    return {"model_version": _version_message(model, _version(model, str(model.aliases[alias])))}


def create_version(session: Session, call: Call) -> Answer:
    """A new version of a registered model: its files are where they are, with the run that logged them."""
    now, source = now_ms(), call.text("source")
    with changing(session.store):
        model = _model(session, call.text("name"))
        version = Version(
            model.newest + 1,
            source,
            call.text("run_id", default=session.own),
            now,
            now,
            call.text("model_id", default=""),
            _location(session, source),
            session.open_runs[session.own].record.user or "",
            description=call.text("description", default=""),
            tags=call.pairs("tags"),
        )
        model = replace(with_version(model, version), updated_ms=now)
        keep(session.store, model)
    told = {"id": f"{model.name}/{version.version}", "name": model.name, "version": str(version.version)}
    log(session, session.own, [{"model": told}])
    shown = f"model {one_line(model.name)}, version {version.version}"
    session.notices[f"{shown}, is registered in this store only: no MLflow server is set"] = None
    return {"model_version": _version_message(model, version)}


def get_version(session: Session, call: Call) -> Answer:
    """A version by its number."""
    model = _model(session, call.text("name"))
    return {"model_version": _version_message(model, _version(model, call.text("version")))}


def update_version(session: Session, call: Call) -> Answer:
    """Describe a version."""
    description = call.text("description", default="")
    return _changed_version(session, call, lambda version: replace(version, description=description))


def transition(session: Session, call: Call) -> Answer:
    """Put a version into a stage."""
    stages = {each.lower(): each for each in _STAGES}
    asked = call.text("stage")
    if asked.lower() not in stages:
        raise invalid(f"Invalid Model Version stage: {asked}. Value must be one of {', '.join(_STAGES)}.")
    stage = stages[asked.lower()]
    archives = call.fields.get("archive_existing_versions") in (True, "true")
    with changing(session.store):
        model = _model(session, call.text("name"))
        moved = replace(_version(model, call.text("version")), stage=stage, updated_ms=now_ms())
        if archives:
            for each in model.versions:
                if each.stage == stage:
                    model = with_version(model, replace(each, stage="Archived"))
        model = replace(with_version(model, moved), updated_ms=now_ms())
        keep(session.store, model)
    return {"model_version": _version_message(model, moved)}


def delete_version(session: Session, call: Call) -> Answer:
    """Forget a version; its files stay with their run."""
    with changing(session.store):
        model = _model(session, call.text("name"))
        gone = _version(model, call.text("version"))
        kept = [each for each in model.versions if each != gone]
        aliases = {name: number for name, number in model.aliases.items() if number != gone.version}
        keep(session.store, replace(model, versions=kept, aliases=aliases, updated_ms=now_ms()))
    return {}


def search_versions(session: Session, call: Call) -> Answer:
    """Versions by a filter on names, runs, sources and tags, the newest first."""
    text = call.text("filter", default="")
    found = []
    for model in all_registered(session.store):
        for each in reversed(model.versions):
            attributes = {
                "name": model.name,
                "version_number": each.version,
                "run_id": each.run_id,
                "source_path": each.source,
            }
            if matches(text, Subject(attributes, each.tags)):
                found.append(_version_message(model, each))
    return page(call, "model_versions", found, _PAGE)


def download_uri(session: Session, call: Call) -> Answer:
    """Where a version's files are."""
    version = _version(_model(session, call.text("name")), call.text("version"))
    return {"artifact_uri": version.location or version.source}


def set_version_tag(session: Session, call: Call) -> Answer:
    """Set a tag of a version."""
    tag = {call.text("key"): call.text("value", default="")}
    _changed_version(session, call, lambda version: replace(version, tags={**version.tags, **tag}))
    return {}


def delete_version_tag(session: Session, call: Call) -> Answer:
    """Take a tag of a version away."""
    _changed_version(session, call, lambda version: replace(version, tags=_without(version.tags, call.text("key"))))
    return {}


def _location(session: Session, source: str) -> str:
    """Where the files of a logged model are; of any other source it says so itself."""
    if not source.startswith("models:/m-"):
        return ""
    model = model_of(session, source.removeprefix("models:/"))
    return f"mlflow-artifacts:/0/models/{model.id}/artifacts"


def _checked_name(name: str) -> str:
    if name != one_line(name) or "/" in name or ":" in name:
        raise invalid(f"Registered model name cannot contain line breaks, / or :. Got {name!r}")
    check_length("Registered model name", name, _LONGEST_NAME)
    return name


def _model(session: Session, name: str) -> RegisteredModel:
    found = registered(session.store, name)
    if found is None:
        raise missing(f"Registered Model with name={name} not found")
    return found


def _version(model: RegisteredModel, number: str) -> Version:
    for each in model.versions:
        if str(each.version) == number:
            return each
    raise missing(f"Model Version (name={model.name}, version={number}) not found")


def _changed(session: Session, call: Call, change: Callable[[RegisteredModel], RegisteredModel]) -> Answer:
    with changing(session.store):
        model = replace(change(_model(session, call.text("name"))), updated_ms=now_ms())
        keep(session.store, model)
    return {"registered_model": _model_message(model)}


def _changed_version(session: Session, call: Call, change: Callable[[Version], Version]) -> Answer:
    with changing(session.store):
        model = _model(session, call.text("name"))
        version = replace(change(_version(model, call.text("version"))), updated_ms=now_ms())
        keep(session.store, with_version(model, version))
    return {"model_version": _version_message(model, version)}


def _without(tags: dict[str, str], key: str) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name != key}


def _model_message(model: RegisteredModel) -> dict[str, Any]:
    newest = {each.stage: each for each in model.versions}
    return {
        "name": model.name,
        "creation_timestamp": model.created_ms,
        "last_updated_timestamp": model.updated_ms,
        "description": model.description,
        "tags": pair_list(model.tags),
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()],
        "latest_versions": [_version_message(model, each) for each in newest.values()],
    }


def _version_message(model: RegisteredModel, version: Version) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": str(version.version),
        "creation_timestamp": version.created_ms,
        "last_updated_timestamp": version.updated_ms,
        "user_id": version.user,
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id,
        "model_id": version.model_id,
        "status": "READY",
        "tags": pair_list(version.tags),
        "aliases": [alias for alias, number in model.aliases.items() if number == version.version],
    }


CALLS: CallTable = {
    ("POST", "registered-models/create"): create_model,
    ("GET", "registered-models/get"): get_model,
    ("PATCH", "registered-models/update"): update_model,
    ("POST", "registered-models/rename"): rename_model,
    ("DELETE", "registered-models/delete"): delete_model,
    ("GET", "registered-models/search"): search_models,
    ("GET", "registered-models/list"): search_models,
    ("POST", "registered-models/set-tag"): set_model_tag,
    ("DELETE", "registered-models/delete-tag"): delete_model_tag,
    ("GET", "registered-models/get-latest-versions"): latest_versions,
    ("POST", "registered-models/get-latest-versions"): latest_versions,
    ("POST", "registered-models/alias"): set_alias,
    ("DELETE", "registered-models/alias"): delete_alias,
    ("GET", "registered-models/alias"): get_by_alias,
    ("POST", "model-versions/create"): create_version,
    ("GET", "model-versions/get"): get_version,
    ("PATCH", "model-versions/update"): update_version,
    ("POST", "model-versions/transition-stage"): transition,
    ("DELETE", "model-versions/delete"): delete_version,
    ("GET", "model-versions/search"): search_versions,
    ("GET", "model-versions/get-download-uri"): download_uri,
    ("POST", "model-versions/set-tag"): set_version_tag,
    ("DELETE", "model-versions/delete-tag"): delete_version_tag,
}
