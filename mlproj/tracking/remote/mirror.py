"""The process that keeps a running run's counterpart on a server: MLflow takes seconds to import.

It is told what to do by lines on stdin, and answers with lines of JSON on stdout; ``mirroring`` is its other end. When
stdin ends, mlproj has died or has had enough, and it ends at once: what is not sent is left to ``mlproj sync``.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from mlproj import locks
from mlproj.errors import MlprojError
from mlproj.runs.store import Store, load, open_store
from mlproj.tracking.remote import receiving, sending
from mlproj.tracking.remote.children import receive_children
from mlproj.tracking.remote.exchange import Exchange, experiment_name_of, meet, own_name
from mlproj.tracking.remote.server import Server, connect
from mlproj.tracking.remote.state import Counterpart, keep_counterpart, lock_path
from mlproj.tracking.remote.sync import complete

_EVERY_S = 1.0
# Nobody waits for what comes from there before the end of the command.
_RECEIVE_EVERY_S = 5.0
_LONGEST_WAIT_S = 30.0
# Bringing the two sides together may take this share of the time at most.
_SHARE = 0.1


def main() -> None:
    """Mirror one run, as the first line on stdin says."""
    # Ctrl-C is for the command; mlproj ends this when it is done.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # What libraries print is none of the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    plan = json.loads(sys.stdin.readline())
    orders: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    try:
        _mirror(plan, orders, answers)
    except MlprojError as error:
        _say(answers, ended=True, trouble=error.message, hint=error.hint)
    except Exception:
        traceback.print_exc()
        trouble = "a bug of mlproj's: its traceback is in the run's tracking folder, mirror.log"
        _say(answers, ended=True, trouble=trouble, hint=None)


def _listen(orders: queue.Queue[str]) -> None:
    for line in sys.stdin:
        orders.put(line.strip())
    os._exit(0)


def _say(answers: TextIO, **said: Any) -> None:
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def _mirror(plan: dict[str, Any], orders: queue.Queue[str], answers: TextIO) -> None:
    def told(step: str) -> None:
        _say(answers, doing=step)

    store, run_id = open_store(Path(plan["store"])), plan["run"]
    server = connect(plan["uri"])
    locks.wait_exclusive(lock_path(store, run_id, server.shown))
    counterpart = Counterpart(server.shown, plan["experiment"], plan["experiment_id"])
    keep_counterpart(store, run_id, counterpart)
    exchange: Exchange | None = None
    wait_s, receive_at, trouble = 0.0, 0.0, ""
    while True:
        order = _next(orders, wait_s)
        began = time.monotonic()
        try:
            if exchange is None:
                exchange = _met(server, store, run_id, counterpart)
                ids = {"experiment_id": counterpart.experiment_id, "run_id": counterpart.run_id}
                _say(answers, experiment=counterpart.experiment, **ids)
            if order == "close":
                complete(exchange, told)
                _say(answers, ended=True)
                return
            if order == "settle" or began >= receive_at:
                receiving.receive_logged(exchange, load(store, run_id))
                receive_at = time.monotonic() + _RECEIVE_EVERY_S
            sending.send_logged(exchange, load(store, run_id))
            if order == "settle":
                receiving.receive_artifacts(exchange, told)
                receive_children(exchange, told)
            trouble = ""
            wait_s = max(_EVERY_S, (time.monotonic() - began) / _SHARE)
        except MlprojError as error:
            if order == "close":
                raise
            if error.message != trouble:
                trouble = error.message
                _say(answers, trouble=error.message, hint=error.hint)
            wait_s = min(_LONGEST_WAIT_S, max(_EVERY_S, 2 * wait_s))
        if order == "settle":
            _say(answers, settled=True)


def _met(server: Server, store: Store, run_id: str, counterpart: Counterpart) -> Exchange:
    if counterpart.experiment_id is not None and counterpart.run_id is None:
        counterpart.experiment = own_name(experiment_name_of(server, counterpart.experiment_id))
    return meet(server, store, run_id, counterpart)


def _next(orders: queue.Queue[str], wait_s: float) -> str:
    try:
        return orders.get(timeout=wait_s) if wait_s else ""
    except queue.Empty:
        return ""


if __name__ == "__main__":
    main()
