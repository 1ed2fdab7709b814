"""Logged models, as MLflow has them since 3.0: a file each in the folder of the run that they are of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlproj.files import dump_json, write_atomically
from mlproj.runs.identifiers import is_run_id
from mlproj.runs.layout import live_files
from mlproj.runs.metric_lines import append_lines
from mlproj.tracking.gateway.errors import missing
from mlproj.tracking.gateway.session import Session, files, writable

_PREFIX = "m-"
_RUN_ID = slice(len(_PREFIX), len(_PREFIX) + 32)


@dataclass(frozen=True)
class Model:
    """A logged model. ``path`` is where its files are below the artifacts of ``run_id``.

    Times are in milliseconds since the epoch.
    """

    id: str
    run_id: str
    name: str
    path: str
    experiment: str
    created_ms: int
    updated_ms: int
    kind: str = ""
    status: str = "LOGGED_MODEL_PENDING"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


def new_model_id(run_id: str) -> str:
    """An id for a model of a run, which can be told from it: so none has to be searched for."""
    return f"{_PREFIX}{run_id}{os.urandom(4).hex()}"


def model_of(session: Session, model_id: str) -> Model:
    """The model with an id. Raises ``MlflowError`` when there is none."""
    run_id = model_id[_RUN_ID]
    if not (model_id.startswith(_PREFIX) and model_id.isascii() and model_id[2:].isalnum() and is_run_id(run_id)):
        raise missing(f"Logged model with ID '{model_id}' not found.")
    path = files(session, run_id).models / f"{model_id}.json"
    try:
        return Model(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise missing(f"Logged model with ID '{model_id}' not found.") from None


def keep_model(session: Session, model: Model) -> None:
    """Write a model's file."""
    write_atomically(writable(session, model.run_id).models / f"{model.id}.json", dump_json(asdict(model)))


def log_model_metrics(session: Session, model: Model, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Append metrics that were logged with a model, as the protocol has them, to its file of them."""
    append_lines(_metrics_file(session, model), metrics)


def model_metrics(session: Session, model: Model) -> list[dict[str, Any]]:
    """The last value of each metric of a model, of each dataset apart."""
    try:
        lines = _metrics_file(session, model).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        with suppress(ValueError):  # one that was cut short
            metric = json.loads(line)
            last[tuple(metric.get(key) for key in ("key", "run_id", "dataset_name", "dataset_digest"))] = metric
    return list(last.values())


def _metrics_file(session: Session, model: Model) -> Path:
    return files(session, model.run_id).models / f"{model.id}.metrics.jsonl"


def remove_model(session: Session, model: Model) -> None:
    """Remove a model's file; the artifacts stay with the run."""
    (writable(session, model.run_id).models / f"{model.id}.json").unlink(missing_ok=True)


def models_in(session: Session, experiments: list[str]) -> Iterator[Model]:
    """All models of the runs of experiments, by their names."""
    marks = ", ".join("?" * len(experiments))
    rows = session.store.connection.execute(
        f"SELECT id FROM runs WHERE deleted_at IS NULL AND experiment IN ({marks})",  # noqa: S608  question marks
        experiments,
    )
    for (run_id,) in rows.fetchall():
        for path in sorted(live_files(session.store.folder, run_id).models.glob("*.json")):
            yield Model(**json.loads(path.read_bytes()))
