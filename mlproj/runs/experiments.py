"""Experiments: the names that runs are grouped by, and what MLflow clients keep with one: an id, tags, a life cycle.

An experiment is there as soon as a run has its name. Its id is a digest of the name, so that nothing has to be written
for it; one with more to it than a name, or without a run, is a file of its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mlproj.errors import StoreError
from mlproj.files import dump_json, sha256_of_text, write_atomically
from mlproj.runs.database import explained
from mlproj.runs.store import Store
from mlproj.text import one_line

DEFAULT_EXPERIMENT = "default"
_DEFAULT_ID = "0"


@dataclass(frozen=True)
class Experiment:
    """A group of runs. ``id`` is decimal digits, as MLflow's own are; times in milliseconds since the epoch."""

    id: str
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    deleted: bool = False
    created_ms: int | None = None
    updated_ms: int | None = None


def experiment_id(name: str) -> str:
    """The id that an experiment of this name is given."""
    if name.lower() == DEFAULT_EXPERIMENT:
        return _DEFAULT_ID
    # 18 digits, as MLflow's file store has them; no other has the one digit of the default.
    return f"{int(sha256_of_text(name)[:15], 16) % 10**17 + 10**17}"


def experiments(store: Store) -> list[Experiment]:
    """All experiments, the default one first and then by name. Raises StoreError."""
    with explained(store.folder):
        rows = store.connection.execute("SELECT DISTINCT experiment FROM runs WHERE experiment IS NOT NULL")
        names = {DEFAULT_EXPERIMENT, *(str(row[0]) for row in rows if row[0])}
        kept = _kept(store)
    found = [*kept, *(Experiment(experiment_id(name), name) for name in names - {each.name for each in kept})]
    return sorted(found, key=lambda each: (each.id != _DEFAULT_ID, each.name))


def experiment_of(store: Store, identifier: str) -> Experiment | None:
    """The experiment with an id, or ``None``. Raises StoreError."""
    return next((each for each in experiments(store) if each.id == identifier), None)


def experiment_named(store: Store, name: str) -> Experiment | None:
    """The experiment with a name, or ``None``. Raises StoreError."""
    wanted = DEFAULT_EXPERIMENT if name.lower() == DEFAULT_EXPERIMENT else name
    return next((each for each in experiments(store) if each.name == wanted), None)


def id_of(store: Store, name: str) -> str:
    """The id of the experiment with a name, whether there is one yet or not. Raises StoreError."""
    return next((each.id for each in _kept(store) if each.name == name), experiment_id(name))


def keep_experiment(store: Store, experiment: Experiment) -> None:
    """Write an experiment's file. Raises StoreError."""
    with explained(store.folder):
        write_atomically(_folder(store) / f"{experiment.id}.json", dump_json(asdict(experiment)))


def free_id(store: Store, name: str) -> str:
    """An id for a new experiment: that of its name, or the next when one of another name has it."""
    taken = {each.id for each in experiments(store)}
    identifier = experiment_id(name)
    while identifier in taken:
        identifier = str(int(identifier) + 1)
    return identifier


def with_tags(experiment: Experiment, tags: dict[str, str | None]) -> Experiment:
    """The experiment with tags set, and those of ``None`` taken away."""
    merged = {**experiment.tags, **tags}
    return replace(experiment, tags={name: value for name, value in merged.items() if value is not None})


def _folder(store: Store) -> Path:
    return store.folder / "experiments"


def _kept(store: Store) -> list[Experiment]:
    return [_read(path) for path in sorted(_folder(store).glob("*.json"))]


def _read(path: Path) -> Experiment:
    try:
        return Experiment(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{one_line(path)} is damaged: {one_line(error)}") from error
