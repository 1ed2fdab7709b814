"""A run and its counterpart on a server: finding or making it there, and what both sides are known to have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlproj.runs.experiments import DEFAULT_EXPERIMENT
from mlproj.runs.index import plain
from mlproj.runs.metric_lines import MetricPoint
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, load
from mlproj.runs.times import seconds_of
from mlproj.runs.totals import NAME_TAG
from mlproj.tracking.gateway.messages import STATUSES as MESSAGE_STATUSES
from mlproj.tracking.mlflow_tags import OWN_ID, PARENT, tags_of_origin
from mlproj.tracking.remote.server import Server, ServerError, asked
from mlproj.tracking.remote.state import Counterpart, keep_counterpart, read_counterpart

# What a server keeps of an infinity: the largest number that it can.
_LARGEST = 1.7976931348623157e308
# Nobody is left to say that the run failed, and its runner was killed.
STATUSES = {**MESSAGE_STATUSES, "lost": "KILLED"}


@dataclass
class Exchange:
    """A run that is being brought together with its counterpart.

    ``known`` are the points that both sides have, ``latest`` what the server said last of each metric, ``params`` the
    texts that it has; ``row`` is the last of the store's points that was looked at.
    """

    server: Server
    store: Store
    run_id: str
    counterpart: Counterpart
    known: set[int] = field(default_factory=set)
    latest: dict[str, tuple[int, float, int]] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    row: int = 0

    @property
    def there(self) -> str:
        """The counterpart's id on the server."""
        assert self.counterpart.run_id is not None
        return self.counterpart.run_id


def meet(server: Server, store: Store, run_id: str, counterpart: Counterpart) -> Exchange:
    """Find a run's counterpart on the server, or make it. Raises ServerError, StoreError."""
    record = load(store, run_id)
    if counterpart.run_id is None:
        counterpart.experiment_id = counterpart.experiment_id or _experiment_id(server, counterpart.experiment)
        found = _found(server, counterpart.experiment_id, run_id)
        counterpart.run_id = found or _made(server, store, record, counterpart)
        keep_counterpart(store, run_id, counterpart)
    return Exchange(server, store, run_id, counterpart)


def experiment_name_of(server: Server, experiment_id: str) -> str:
    """The name of an experiment on the server. Raises ServerError."""
    with asked(server.uri):
        return str(server.client.get_experiment(experiment_id).name)


def own_name(name: str) -> str:
    """The name here of an experiment on a server: MLflow's default one is called with a capital."""
    return DEFAULT_EXPERIMENT if name == "Default" else name


def identity(name: str, step: int, at_ms: int, value: float) -> int:
    """What tells a point from others of its run, on whichever side it is."""
    if value != value:
        return hash((name, step, at_ms, "nan"))
    return hash((name, step, at_ms, max(-_LARGEST, min(_LARGEST, value))))


def identity_of(point: MetricPoint) -> int:
    """``identity`` of a point of the store."""
    return identity(point.name, point.step or 0, point.at_ms or 0, point.value)


def _experiment_id(server: Server, name: str) -> str:
    shown = "Default" if name == DEFAULT_EXPERIMENT else name
    with asked(server.uri):
        experiment = server.client.get_experiment_by_name(shown)
        if experiment is None:
            try:
                return str(server.client.create_experiment(shown))
            except Exception:
                # Somebody else may just have made it.
                experiment = server.client.get_experiment_by_name(shown)
                if experiment is None:
                    raise
    if experiment.lifecycle_stage == "deleted":
        raise ServerError(
            f"{server.shown}: the experiment `{name}` was deleted there",
            hint=f"`mlflow experiments restore --experiment-id {experiment.experiment_id}` brings it back.",
        )
    return str(experiment.experiment_id)


def _found(server: Server, experiment_id: str, run_id: str) -> str | None:
    """The counterpart that was made when nobody could write down any more that it was."""
    with asked(server.uri):
        runs = server.client.search_runs([experiment_id], f"tags.`{OWN_ID}` = '{run_id}'", max_results=1)
    return runs[0].info.run_id if runs else None


def _made(server: Server, store: Store, record: RunRecord, counterpart: Counterpart) -> str:
    tags = {name: plain(value) for name, value in {**tags_of_origin(record), OWN_ID: record.id}.items()}
    tags.pop(PARENT, None)
    if parent := _parent(server, store, record):
        tags[PARENT] = parent
    with asked(server.uri):
        made: Any = server.client.create_run(
            counterpart.experiment_id,
            start_time=round(seconds_of(record.started_at) * 1000) if record.started_at else 0,
            tags=tags,
            run_name=tags[NAME_TAG],
        )
    counterpart.tags = tags
    return str(made.info.run_id)


def _parent(server: Server, store: Store, record: RunRecord) -> str | None:
    above = read_counterpart(store, record.parent, server.shown) if record.parent else None
    return None if above is None else above.run_id
