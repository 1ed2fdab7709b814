"""Bringing a run and its counterpart on a server together, while it runs and after, by the same steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlproj import locks
from mlproj.errors import StoreError
from mlproj.runs.changes import change_record
from mlproj.runs.database import explained
from mlproj.runs.record import RunRecord, TrackingRecord
from mlproj.runs.store import Store, is_live, load
from mlproj.text import one_line
from mlproj.tracking.remote import receiving, sending
from mlproj.tracking.remote.children import children_to_send, receive_children
from mlproj.tracking.remote.exchange import Exchange, meet
from mlproj.tracking.remote.server import Server
from mlproj.tracking.remote.state import Counterpart, keep_counterpart, lock_path, read_counterpart

Told = Callable[[str], None]


def synchronise(server: Server, store: Store, run_id: str, experiment: str, told: Told) -> Counterpart:
    """Have the server and the store hold the same of a run that has ended, and of its children; ``told`` hears of it.

    What was done stays done when it fails or is killed, and is not done again. Of two who do it at once, one waits.
    Raises ServerError, StoreError.
    """
    path = lock_path(store, run_id, server.shown)
    with explained(store.folder):
        held = locks.wait_exclusive(path)
    try:
        counterpart = read_counterpart(store, run_id, server.shown) or Counterpart(server.shown, experiment)
        counterpart.complete = False
        keep_counterpart(store, run_id, counterpart)
        complete(meet(server, store, run_id, counterpart), told)
        return counterpart
    finally:
        held.release()


def complete(exchange: Exchange, told: Told) -> RunRecord:
    """All that is left to do for a run that has ended, by who holds its lock. Raises ServerError, StoreError."""
    store, run_id = exchange.store, exchange.run_id
    if is_live(store, run_id):
        raise StoreError(f"run {run_id[:12]} is still running, and its own mlproj tells the server of it")
    receiving.receive_logged(exchange, load(store, run_id))
    receiving.receive_artifacts(exchange, told)
    receive_children(exchange, told)
    record = load(store, run_id)
    sending.send_logged(exchange, record)
    sending.send_datasets(exchange, record)
    sending.send_artifacts(exchange, record, told)
    for child in children_to_send(exchange):
        synchronise(exchange.server, store, child, exchange.counterpart.experiment, told)
    sending.send_end(exchange, record)
    exchange.counterpart.complete = True
    keep_counterpart(store, run_id, exchange.counterpart)
    return change_record(store, run_id, lambda record: with_tracking(record, exchange.counterpart))


def with_tracking(record: RunRecord, counterpart: Counterpart) -> RunRecord:
    """The record of a run that says where else it is."""
    notices = [f"not on both sides: the {what}: {why}" for what, why in counterpart.refused.items()]
    return replace(
        record,
        tracking=TrackingRecord(
            counterpart.uri, counterpart.experiment_id, counterpart.run_id, sent=counterpart.complete
        ),
        notices=list(dict.fromkeys((*record.notices, *map(one_line, notices)))),
    )
