"""``experiments/…``: the store's experiments, and the one that a script chooses for its run."""

from __future__ import annotations

from dataclasses import replace

from mlproj.runs.experiments import (
    DEFAULT_EXPERIMENT,
    Experiment,
    experiment_named,
    experiment_of,
    experiments,
    free_id,
    id_of,
    keep_experiment,
    with_tags,
)
from mlproj.runs.times import now_ms
from mlproj.text import one_line
from mlproj.tracking.gateway.call import Answer, Call, CallTable, page
from mlproj.tracking.gateway.errors import MlflowError, invalid, missing
from mlproj.tracking.gateway.limits import check_length
from mlproj.tracking.gateway.messages import experiment_message
from mlproj.tracking.gateway.session import Session
from mlproj.tracking.gateway.small_filter import Subject, matches

_LONGEST_NAME = 250
_LONGEST_TAG = 20_000


def get(session: Session, call: Call) -> Answer:
    """An experiment by its id."""
    experiment = _wanted(session, call)
    _choose(session, experiment)
    return {"experiment": experiment_message(experiment)}


def get_by_name(session: Session, call: Call) -> Answer:
    """An experiment by its name."""
    name = call.text("experiment_name")
    experiment = experiment_named(session.store, name)
    if experiment is None:
        raise missing(f"Could not find experiment with name '{name}'")
    _choose(session, experiment)
    return {"experiment": experiment_message(experiment)}


def create(session: Session, call: Call) -> Answer:
    """A new experiment."""
    name = _checked_name(call.text("name"))
    known = experiment_named(session.store, name)
    if known is not None:
        state = " deleted" if known.deleted else ""
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Experiment '{name}' already exists{state}.")
    now = now_ms()
    experiment = Experiment(free_id(session.store, name), name, dict(call.pairs("tags")), False, now, now)
    keep_experiment(session.store, experiment)
    _choose(session, experiment)
    return {"experiment_id": experiment.id}


def update(session: Session, call: Call) -> Answer:
    """Give an experiment without runs another name: runs say in their records which one they are of."""
    experiment, name = _wanted(session, call), _checked_name(call.text("new_name"))
    if experiment_named(session.store, name) is not None:
        raise MlflowError("RESOURCE_ALREADY_EXISTS", f"Experiment '{name}' already exists.")
    has_runs = session.store.connection.execute(
        "SELECT 1 FROM runs WHERE experiment = ? LIMIT 1", (experiment.name,)
    ).fetchone()
    if has_runs or experiment.name == DEFAULT_EXPERIMENT:
        raise MlflowError("NOT_IMPLEMENTED", "mlproj does not rename an experiment that has runs.")
    _keep(session, replace(experiment, name=name))
    return {}


def delete(session: Session, call: Call) -> Answer:
    """Mark an experiment as deleted; its runs stay."""
    experiment = _wanted(session, call)
    if experiment.name == session.open_runs[session.own].record.experiment:
        raise invalid(f"The experiment '{experiment.name}' is the one of the run that asks.")
    _keep(session, replace(experiment, deleted=True))
    return {}


def restore(session: Session, call: Call) -> Answer:
    """Unmark it."""
    _keep(session, replace(_wanted(session, call), deleted=False))
    return {}


def set_tag(session: Session, call: Call) -> Answer:
    """Set a tag of an experiment."""
    value = call.text("value", default="")
    check_length("Tag value", value, _LONGEST_TAG)
    _keep(session, with_tags(_wanted(session, call), {call.text("key"): value}))
    return {}


def delete_tag(session: Session, call: Call) -> Answer:
    """Take a tag of an experiment away."""
    experiment = _wanted(session, call)
    if call.text("key") not in experiment.tags:
        raise missing(f"No tag with name: {call.text('key')} in experiment with id {experiment.id}")
    _keep(session, with_tags(experiment, {call.text("key"): None}))
    return {}


def search(session: Session, call: Call) -> Answer:
    """Experiments, newest life first; filters compare ``name`` and tags."""
    kind = call.text("view_type", default=call.text("viewType", default="ACTIVE_ONLY"))
    found = [each for each in experiments(session.store) if kind == "ALL" or each.deleted == (kind == "DELETED_ONLY")]
    if text := call.text("filter", default=""):
        found = [each for each in found if matches(text, _subject(each))]
    return page(call, "experiments", [experiment_message(each) for each in found], 1000)


def _checked_name(name: str) -> str:
    if name != one_line(name) or not name.strip():
        raise invalid(f"Invalid experiment name {name!r}: it is empty, or holds a line break or control characters.")
    check_length("Experiment name", name, _LONGEST_NAME)
    return name


def _subject(experiment: Experiment) -> Subject:
    attributes = {"name": experiment.name, "experiment_id": experiment.id, "creation_time": experiment.created_ms or 0}
    return Subject(attributes, experiment.tags)


def _wanted(session: Session, call: Call) -> Experiment:
    identifier = call.text("experiment_id")
    experiment = experiment_of(session.store, identifier)
    if experiment is None:
        raise missing(f"No Experiment with id={identifier} exists")
    return experiment


def _choose(session: Session, experiment: Experiment) -> None:
    """Show the entry point's run in the experiment that its script looks up last, as ``set_experiment`` does.

    MLflow's client refuses a run of another experiment than the one that was set.
    """
    own = session.open_runs[session.own]
    if own.said is None and not experiment.deleted:
        own.record = replace(own.record, experiment=experiment.name)


def unchoose_experiment(session: Session, searched: list[str]) -> None:
    """Take the entry point's run out of an experiment that its script only looked up to search in it."""
    own = session.open_runs[session.own]
    if own.said is None and id_of(session.store, own.record.experiment) in searched:
        own.record = replace(own.record, experiment=session.first_experiment)


def _keep(session: Session, experiment: Experiment) -> None:
    now = now_ms()
    keep_experiment(session.store, replace(experiment, created_ms=experiment.created_ms or now, updated_ms=now))


CALLS: CallTable = {
    ("GET", "experiments/get"): get,
    ("GET", "experiments/get-by-name"): get_by_name,
    ("POST", "experiments/create"): create,
    ("POST", "experiments/update"): update,
    ("POST", "experiments/delete"): delete,
    ("POST", "experiments/restore"): restore,
    ("POST", "experiments/set-experiment-tag"): set_tag,
    ("POST", "experiments/delete-experiment-tag"): delete_tag,
    ("GET", "experiments/search"): search,
    ("POST", "experiments/search"): search,
    ("GET", "experiments/list"): search,
}
