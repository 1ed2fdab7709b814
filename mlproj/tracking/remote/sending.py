"""What a run has and its counterpart on a server has not: sent, in order, each thing once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from mlproj.runs.index import plain
from mlproj.runs.metric_history import points_after
from mlproj.runs.metric_lines import MetricPoint
from mlproj.runs.record import DatasetRecord, FileRecord, RunRecord
from mlproj.runs.store import files_of
from mlproj.runs.times import seconds_of
from mlproj.runs.totals import NAME_TAG
from mlproj.tracking.gateway.messages import param_text
from mlproj.tracking.mlflow_tags import DATA_CONTEXT, OWN_ID, PARENT, tags_of_origin
from mlproj.tracking.remote.exchange import STATUSES, Exchange, identity_of
from mlproj.tracking.remote.server import ServerError, asked
from mlproj.tracking.remote.state import keep_counterpart

# MLflow's limits of one request (`mlflow.utils.validation`).
_MOST_METRICS, _MOST_OTHERS = 1000, 100
_ROWS = 5000
# In the address of an upload, MLflow's client leaves these as they are: a name with them arrives as another.
_LOST_ON_THE_WAY = re.compile("[#?%]")
# What servers and proxies answer where the one file is at fault: its name, or its size.
OF_THE_FILE = (400, 404, 405, 413, 414, 422)
Item = TypeVar("Item")


def send_logged(exchange: Exchange, record: RunRecord) -> None:
    """Send parameters, tags and metrics that the server has not yet. Raises ServerError, StoreError."""
    _send_params(exchange, record)
    _send_tags(exchange, record)
    _send_points(exchange)


def send_artifacts(exchange: Exchange, record: RunRecord, told: Callable[[str], None]) -> None:
    """Send the artifacts of a run that has ended; ``told`` hears of each. Raises ServerError, StoreError.

    A file that the server will not have, for its name or its size, is noted and does not keep the others.
    """
    folder = files_of(exchange.store, exchange.run_id).artifacts
    kept = {each.path: each for output in record.outputs for each in output.files}
    for path, each in sorted(kept.items()):
        what = f"artifact {plain(path)}"
        if what in exchange.counterpart.refused or exchange.counterpart.files.get(plain(path)) == each.sha256:
            continue
        if not (folder / path).is_file():
            continue
        if exchange.server.uri.startswith("http") and (_LOST_ON_THE_WAY.search(path) or not path.isprintable()):
            exchange.counterpart.refused[what] = "MLflow's client would give it another name on the way"
            continue
        told(f"sending {path}")
        try:
            _attempt(exchange, what, partial(_send_file, exchange, each))
        except ServerError as error:
            if error.status not in OF_THE_FILE:
                raise
            exchange.counterpart.refused[what] = error.message
        if what not in exchange.counterpart.refused:
            exchange.counterpart.files[plain(path)] = each.sha256
        keep_counterpart(exchange.store, exchange.run_id, exchange.counterpart)


def send_datasets(exchange: Exchange, record: RunRecord) -> None:
    """Send the datasets that were logged here. Raises ServerError."""
    if not record.datasets:
        return
    try:
        from mlflow.entities import Dataset, DatasetInput, InputTag
    except ImportError:
        return  # MLflow before 2.4 knows of none

    def entity(each: DatasetRecord) -> Any:
        tags = {**({DATA_CONTEXT: each.context} if each.context else {}), **each.tags}
        dataset = Dataset(
            each.name,
            each.digest,
            each.source_type or "code",
            each.source or "{}",
            each.schema or None,
            each.profile or None,
        )
        return DatasetInput(dataset, [InputTag(name, value) for name, value in tags.items()])

    # The server takes a dataset that it has for the same one.
    _attempt(
        exchange,
        "datasets",
        lambda: exchange.server.client.log_inputs(exchange.there, list(map(entity, record.datasets))),
    )


def send_end(exchange: Exchange, record: RunRecord) -> None:
    """Tell the server how the run ended, whatever its script has told it. Raises ServerError."""
    ended = round(seconds_of(record.ended_at) * 1000) if record.ended_at else None
    with asked(exchange.server.uri):
        exchange.server.client.set_terminated(exchange.there, STATUSES[record.status], ended)


def _send_params(exchange: Exchange, record: RunRecord) -> None:
    from mlflow.entities import Param

    missing = {
        plain(name): plain(param_text(value))
        for name, value in record.parameters.items()
        if plain(name) not in exchange.params and f"parameter {plain(name)}" not in exchange.counterpart.refused
    }
    for several in _shares(list(missing.items()), _MOST_OTHERS):
        _log(exchange, "parameter", several, lambda name, value: {"params": [Param(name, value)]})
        exchange.params.update(several)


def _send_tags(exchange: Exchange, record: RunRecord) -> None:
    from mlflow.entities import RunTag

    before = exchange.counterpart.tags
    told = {**tags_of_origin(record), **record.tags, OWN_ID: record.id}
    wanted = {plain(name): plain(value) for name, value in told.items()}
    # Whose parent it is has been said in the server's own ids, and a name may have been given there.
    for settled in (PARENT, *([] if record.name else [NAME_TAG])):
        wanted.pop(settled, None)
    changed = {
        name: value
        for name, value in wanted.items()
        if before.get(name) != value and f"tag {name}" not in exchange.counterpart.refused
    }
    for several in _shares(list(changed.items()), _MOST_OTHERS):
        _log(exchange, "tag", several, lambda name, value: {"tags": [RunTag(name, value)]})
        before.update(several)
    removed = [name for name in before if name not in wanted and name not in (PARENT, NAME_TAG)]
    for name in removed:
        _attempt(exchange, f"tag {name}", partial(exchange.server.client.delete_tag, exchange.there, name))
        del before[name]
    if changed or removed:
        keep_counterpart(exchange.store, exchange.run_id, exchange.counterpart)


def _send_points(exchange: Exchange) -> None:
    from mlflow.entities import Metric

    while rows := points_after(exchange.store, exchange.run_id, exchange.row, _ROWS):
        new: dict[int, MetricPoint] = {}
        for _, point in rows:
            if (known := identity_of(point)) not in exchange.known:
                new.setdefault(known, point)
        allowed = [
            (known, each) for known, each in new.items() if f"metric {each.name}" not in exchange.counterpart.refused
        ]
        for several in _shares(allowed, _MOST_METRICS):
            pairs = [(each.name, each) for _, each in several]
            _log(
                exchange,
                "metric",
                pairs,
                lambda name, each: {"metrics": [Metric(name, each.value, each.at_ms or 0, each.step or 0)]},
            )
            exchange.known.update(known for known, _ in several)
        exchange.row = rows[-1][0]


def _log(
    exchange: Exchange,
    what: str,
    pairs: Sequence[tuple[str, Any]],
    request: Callable[[str, Any], dict[str, list[Any]]],
) -> None:
    """Log things of one kind in one request; where the server refuses it, one by one, to find the one that it means."""
    merged: dict[str, list[Any]] = {}
    for name, value in pairs:
        for key, items in request(name, value).items():
            merged.setdefault(key, []).extend(items)
    client = exchange.server.client
    try:
        with asked(exchange.server.uri):
            client.log_batch(exchange.there, **merged)
        return
    except ServerError as error:
        if error.refusal is None:
            raise
        if len(pairs) == 1:
            _refuse(exchange, f"{what} {pairs[0][0]}", error)
            return
    for name, value in pairs:
        if f"{what} {name}" not in exchange.counterpart.refused:
            _attempt(
                exchange,
                f"{what} {name}",
                partial(client.log_batch, exchange.there, **request(name, value)),
            )


def _attempt(exchange: Exchange, what: str, action: Callable[[], object]) -> None:
    """Do something; what the server will never have is noted, and not tried again."""
    try:
        with asked(exchange.server.uri):
            action()
    except ServerError as error:
        if error.refusal is None:
            raise
        _refuse(exchange, what, error)


def _refuse(exchange: Exchange, what: str, error: ServerError) -> None:
    if error.refusal == "RESOURCE_DOES_NOT_EXIST":
        # It is the run that is gone, and with it everything.
        raise error
    exchange.counterpart.refused[what] = error.message
    keep_counterpart(exchange.store, exchange.run_id, exchange.counterpart)


def _send_file(exchange: Exchange, file: FileRecord) -> None:
    local = files_of(exchange.store, exchange.run_id).artifacts / file.path
    exchange.server.client.log_artifact(exchange.there, str(local), file.path.rpartition("/")[0] or None)


def _shares(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
