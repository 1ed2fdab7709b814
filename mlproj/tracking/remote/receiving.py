"""What the counterpart of a run has and the run has not, its script having logged it to the server: brought in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mlproj.files import sha256_of_file
from mlproj.runs.changes import add_logged, change_record
from mlproj.runs.metric_history import metric_history
from mlproj.runs.record import DatasetRecord, FileRecord, ModelRecord, OutputRecord, RunRecord
from mlproj.runs.store import files_of, is_live
from mlproj.tracking.mlflow_tags import DATA_CONTEXT, OWN_ID, PARENT, tags_of_origin
from mlproj.tracking.remote.exchange import Exchange, identity, identity_of
from mlproj.tracking.remote.server import Server, ServerError, asked
from mlproj.tracking.remote.state import keep_counterpart

_POINTS_A_LINE = 500


def receive_logged(exchange: Exchange, record: RunRecord) -> None:
    """Bring in parameters, tags, metrics, datasets and models. Raises ServerError, StoreError."""
    client = exchange.server.client
    with asked(exchange.server.uri):
        seen = client.get_run(exchange.there)
    lines: list[dict[str, Any]] = list(_new_points(exchange, seen))
    exchange.params = dict(seen.data.params)
    params = {name: value for name, value in seen.data.params.items() if name not in record.parameters}
    if params:
        lines.append({"params": params})
    tags = _new_tags(exchange, seen, record)
    if tags:
        lines.append({"tags": tags})
    lines += [{"dataset": asdict(each)} for each in datasets_of(seen) if each not in record.datasets]
    with asked(exchange.server.uri):
        models = models_of(client, seen)
    lines += [{"model": asdict(each)} for each in models if each not in record.models]
    add_logged(exchange.store, exchange.run_id, lines)
    if tags:
        exchange.counterpart.tags |= {name: value for name, value in tags.items() if value is not None}
        for name in [name for name, value in tags.items() if value is None]:
            exchange.counterpart.tags.pop(name, None)
        keep_counterpart(exchange.store, exchange.run_id, exchange.counterpart)


def _new_points(exchange: Exchange, seen: Any) -> Iterator[dict[str, Any]]:
    client = exchange.server.client
    for metric in latest_metrics(seen):
        now = (metric.step, metric.value, metric.timestamp)
        # What is logged here comes back as the server's latest, and needs no history to be looked through.
        if exchange.latest.get(metric.key) == now or identity(metric.key, now[0], now[2], now[1]) in exchange.known:
            continue
        with asked(exchange.server.uri):
            history = client.get_metric_history(exchange.there, metric.key)
        here = {identity_of(point) for point in metric_history(exchange.store, exchange.run_id, metric.key)}
        new = []
        for each in history:
            known = identity(each.key, each.step, each.timestamp, each.value)
            if known not in here and known not in exchange.known:
                new.append(each)
            exchange.known.add(known)
        exchange.latest[metric.key] = now
        yield from point_lines(new)


def latest_metrics(seen: Any) -> list[Any]:
    """The last value of each metric of a run on a server, with its step and its time, which ``metrics`` has not."""
    return list(seen.data._metric_objs)


def point_lines(history: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """MLflow's metric values as lines of a metrics file."""
    for first in range(0, len(history), _POINTS_A_LINE):
        share = history[first : first + _POINTS_A_LINE]
        yield {"points": [[each.key, each.value, each.step, each.timestamp] for each in share]}


def _new_tags(exchange: Exchange, seen: Any, record: RunRecord) -> dict[str, str | None]:
    """The tags that were changed there since both sides were the same; ``None`` for one that was taken away."""
    before, there = exchange.counterpart.tags, seen.data.tags
    # Those of the script are the client's guess at what `mlproj run` knows.
    ours = {*tags_of_origin(record), OWN_ID, PARENT}
    changed: dict[str, str | None] = {
        name: value
        for name, value in there.items()
        if name not in ours and before.get(name) != value and record.tags.get(name) != value
    }
    gone = [name for name in before if name not in there and name not in ours]
    return {**changed, **dict.fromkeys(gone)}


def datasets_of(seen: Any) -> list[DatasetRecord]:
    """The datasets that a run on a server has as inputs."""
    found = []
    for each in getattr(getattr(seen, "inputs", None), "dataset_inputs", None) or []:
        tags = {tag.key: tag.value for tag in each.tags}
        dataset = each.dataset
        found.append(
            DatasetRecord(
                dataset.name,
                dataset.digest or "",
                tags.pop(DATA_CONTEXT, ""),
                dataset.source_type or "",
                dataset.source or "",
                dataset.schema or "",
                dataset.profile or "",
                tags,
            )
        )
    return found


def models_of(client: Any, seen: Any) -> list[ModelRecord]:
    """The models that a run on a server has logged and registered."""
    found = []
    for each in getattr(getattr(seen, "outputs", None), "model_outputs", None) or []:
        model = client.get_logged_model(each.model_id)
        flavors = sorted(model.tags.get("mlflow.flavors", "").split(",")) if model.tags.get("mlflow.flavors") else []
        found.append(ModelRecord(each.model_id, model.name, flavors=flavors, step=each.step))
    registered = client.search_model_versions(f"run_id = '{seen.info.run_id}'")
    return [
        *found,
        *(ModelRecord(f"{each.name}/{each.version}", each.name, version=str(each.version)) for each in registered),
    ]


def receive_artifacts(exchange: Exchange, told: Callable[[str], None]) -> None:
    """Bring in the artifacts that are on the server alone; ``told`` hears of each. Raises ServerError, StoreError."""
    files = files_of(exchange.store, exchange.run_id)
    fetched = fetch_artifacts(exchange, files.artifacts, files.uploads, told)
    for file in fetched:
        exchange.counterpart.files[file.path] = file.sha256
    if not fetched:
        return
    keep_counterpart(exchange.store, exchange.run_id, exchange.counterpart)
    if not is_live(exchange.store, exchange.run_id):
        change_record(exchange.store, exchange.run_id, lambda record: with_files(record, fetched))


def fetch_artifacts(
    exchange: Exchange, artifacts: Path, scratch: Path, told: Callable[[str], None]
) -> list[FileRecord]:
    """Fetch a counterpart's artifacts into a folder that has them not yet; gives those fetched."""
    fetched = []
    kept = _kept_artifacts(exchange)
    for path, size in _listed(exchange.server, kept):
        target = artifacts / path
        what = f"artifact {path}"
        # What was sent from here needs no fetching, whatever its name has become there.
        if path in exchange.counterpart.files or what in exchange.counterpart.refused:
            continue
        if os.path.lexists(target) and (size is None or target.lstat().st_size == size):
            continue
        told(f"fetching {path}")
        place = scratch / "tracking"
        place.mkdir(parents=True, exist_ok=True)
        try:
            try:
                with asked(exchange.server.uri):
                    got = Path(kept.fetch(path, str(place)))
            except ServerError as error:
                if not _is_there(exchange.server, exchange.there):
                    raise
                exchange.counterpart.refused[what] = f"it cannot be fetched from there: {error.message}"
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(got, target)  # noqa: PTH105  where a folder is in the way its error says so
        finally:
            shutil.rmtree(place, ignore_errors=True)
        fetched.append(FileRecord(path, target.stat().st_size, sha256_of_file(target)))
    return fetched


def _is_there(server: Server, run_id: str) -> bool:
    """Whether the server answers, so that it is the one file that it does not hand out."""
    try:
        with asked(server.uri):
            server.client.get_run(run_id)
    except ServerError:
        return False
    return True


@dataclass(frozen=True)
class _KeptArtifacts:
    """How a run's artifacts on a server are listed, below a path, and fetched, into a folder."""

    listed: Callable[[str | None], Iterable[Any]]
    fetch: Callable[[str, str], str]


def _kept_artifacts(exchange: Exchange) -> _KeptArtifacts:
    client, run_id, uri = exchange.server.client, exchange.there, exchange.server.uri
    if hasattr(client, "search_logged_models"):
        try:
            # A client since 3.0 looks through these as well, which a server before that has not heard of.
            with asked(uri):
                client.search_logged_models(experiment_ids=[exchange.counterpart.experiment_id], max_results=1)
        except ServerError as error:
            if error.status != 404:
                raise
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            with asked(uri):
                kept = get_artifact_repository(client.get_run(run_id).info.artifact_uri)
            return _KeptArtifacts(kept.list_artifacts, kept.download_artifacts)
    return _KeptArtifacts(partial(client.list_artifacts, run_id), partial(client.download_artifacts, run_id))


def _listed(server: Server, kept: _KeptArtifacts) -> Iterator[tuple[str, int | None]]:
    """Path and size of each artifact. None leads elsewhere. Raises ServerError."""
    folders: list[str | None] = [None]
    while folders:
        with asked(server.uri):
            entries = kept.listed(folders.pop())
        for entry in entries:
            parts = entry.path.split("/")
            if entry.path.startswith("/") or any(each in ("", ".", "..") for each in parts):
                continue
            if entry.is_dir:
                folders.append(entry.path)
            else:
                yield entry.path, entry.file_size


def with_files(record: RunRecord, files: list[FileRecord]) -> RunRecord:
    """The record of a run that has these files among what it logged itself."""
    own = next((each for each in record.outputs if not each.name), OutputRecord("", ""))
    kept = {each.path: each for each in (*own.files, *files)}
    added = replace(own, files=list(kept.values()), size=sum(each.size for each in kept.values()))
    return replace(record, outputs=[*(each for each in record.outputs if each.name), added])
