"""Opening the store as every command does: runs whose runner died are found out first, and what they left is ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlproj.api.machine import host_name
from mlproj.runs.store import Store, open_store
from mlproj.runs.upkeep import settle_lost
from mlproj.text import plural

RUN_ID_VARIABLE = "MLPROJ_RUN_ID"


def open_settled_store(folder: Path, notice: Callable[[str], None]) -> Store:
    """The store in ``folder``, made where there is none, in which no run is called running that is not.

    Raises ``StoreError``.
    """
    store = open_store(folder)
    lost = settle_lost(store, host_name())
    if lost:
        from mlproj.processes.strays import end_strays

        ended = end_strays(RUN_ID_VARIABLE, [record.id for record in lost])
        contained = [record.id for record in lost if record.environment.kind == "docker"]
        if contained:
            from mlproj.execution.container import end_containers

            ended += end_containers(contained)
        left = f"; {plural(ended, 'process')} it left {'was' if ended == 1 else 'were'} ended" if ended else ""
        ids = ", ".join(record.id[:12] for record in lost)
        notice(f"lost: {ids} (the mlproj that ran it died without a word){left}")
    return store
