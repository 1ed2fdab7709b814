"""Processes that a run left behind when both its mlproj and its guardian were killed: found by their environment."""

from __future__ import annotations

import os
from collections.abc import Collection

GRACE_S = 3.0


def end_strays(variable: str, values: Collection[str]) -> int:
    """End every process of this user whose environment has ``variable`` set to one of ``values``; gives how many.

    They are asked (SIGTERM), and killed when they are not gone after three seconds. This process and those above it
    are spared. A process that cleared its environment is not found.
    """
    import psutil

    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    strays = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and process.environ().get(variable) in values:
                strays.append(process)
                process.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(strays, timeout=GRACE_S)
    for process in alive:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(alive, timeout=GRACE_S)
    return len(strays)
