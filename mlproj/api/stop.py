"""Stopping a run from another process: its mlproj is told, and it passes that on and closes the run."""

from __future__ import annotations

import os
import signal
import time

from mlproj.api.machine import boot_id, host_name, process_started
from mlproj.errors import UsageError
from mlproj.locks import try_shared
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, files_of, is_live, load
from mlproj.text import one_line

_LOOK_AGAIN_S = 0.05


def stop_run(store: Store, record: RunRecord, patience_s: float) -> RunRecord:
    """Ask a running run to end and wait until it is closed; gives its record.

    Raises ``UsageError`` as ``ask_to_stop`` does, and when it has not ended after ``patience_s``.
    """
    ask_to_stop(store, record)
    deadline = time.monotonic() + patience_s
    alive_lock = files_of(store, record.id).alive_lock
    while (held := try_shared(alive_lock)) is None:
        if time.monotonic() > deadline:
            raise UsageError(
                f"run {record.id[:12]} has not ended after {patience_s:g} s", hint="`mlproj stop` again kills it."
            )
        time.sleep(_LOOK_AGAIN_S)  # a lock of another process can be asked for, not waited for with a limit
    held.release()
    return load(store, record.id)


def ask_to_stop(store: Store, record: RunRecord) -> None:
    """Ask a running run to end, and do not wait for it.

    Raises ``UsageError`` when it does not run, runs on another machine, or cannot be told.
    """
    supervisor = record.supervisor
    short = record.id[:12]
    if record.status != "running" or not is_live(store, record.id):
        raise UsageError(f"run {short} is not running: it is {record.status}")
    if supervisor.host != host_name() or supervisor.boot != boot_id():
        raise UsageError(f"run {short} runs on {one_line(supervisor.host)}: stop it there")
    if supervisor.pid is None or process_started(supervisor.pid) != supervisor.pid_started:
        raise UsageError(f"the mlproj that runs {short} cannot be told: process {supervisor.pid} is another one by now")
    os.kill(supervisor.pid, signal.SIGTERM)
