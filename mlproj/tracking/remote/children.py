"""The children of a run: those that are here alone, and those that its script began on the server itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mlproj.runs.database import explained
from mlproj.tracking.mlflow_tags import OWN_ID, PARENT
from mlproj.tracking.remote.exchange import Exchange
from mlproj.tracking.remote.importing import import_run
from mlproj.tracking.remote.server import all_of
from mlproj.tracking.remote.state import read_counterpart

_PAGE = 1000


def children_to_send(exchange: Exchange) -> list[str]:
    """The ids of a run's ended children of which the server has not all, oldest first. Raises StoreError."""
    store = exchange.store
    with explained(store.folder):
        rows = store.connection.execute(
            "SELECT id FROM runs WHERE parent = ? AND deleted_at IS NULL AND status != 'running' ORDER BY id",
            (exchange.run_id,),
        )
        ids = [str(row[0]) for row in rows]
    there = {each: read_counterpart(store, each, exchange.server.shown) for each in ids}
    return [each for each, counterpart in there.items() if counterpart is None or not counterpart.complete]


def receive_children(exchange: Exchange, told: Callable[[str], None]) -> None:
    """Bring in the runs that were begun on the server below this one. Raises ServerError, StoreError."""
    above = [(exchange.there, exchange.run_id)]
    while above:
        parent, parent_here = above.pop()
        found = all_of(
            exchange.server,
            partial(_children_there, exchange, parent),
        )
        for seen in found:
            if OWN_ID not in seen.data.tags:
                experiment = exchange.counterpart.experiment
                child = import_run(exchange.server, exchange.store, seen, experiment, told, parent=parent_here)
                above.append((seen.info.run_id, child.id))


def _children_there(exchange: Exchange, parent: str, token: str | None) -> Any:
    wanted = f"tags.`{PARENT}` = '{parent}'"
    experiment = exchange.counterpart.experiment_id
    return exchange.server.client.search_runs([experiment], wanted, max_results=_PAGE, page_token=token)
