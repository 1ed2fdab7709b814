"""mlproj's end of the process that keeps a running run's counterpart on a server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mlproj.tracking.remote.address import shown_uri

LOG = "mirror.log"
# A server that answers nothing for so long is left to `mlproj sync`.
_PATIENCE_S = 90.0
# One that has not got as far as knowing of the run has had its chance.
_PATIENCE_WITH_STRANGERS_S = 12.0


@dataclass
class Mirror:
    """A running mirror; ``counterpart`` has ``experiment``, ``experiment_id`` and ``run_id`` once there is one."""

    uri: str
    process: subprocess.Popen[bytes]
    orders: IO[bytes]
    answers: IO[bytes]
    log: Path
    unread: bytes = b""
    counterpart: dict[str, str] | None = None
    trouble: str | None = None
    hint: str | None = None
    settled: bool = False
    ended: bool = False
    told: Callable[[str], None] = field(default=lambda _: None)

    @property
    def shown(self) -> str:
        """The server's URI as it may be shown and recorded."""
        return shown_uri(self.uri)


def open_mirror(
    uri: str, store: Path, run_id: str, experiment: str, experiment_id: str | None, told: Callable[[str], None]
) -> Mirror:
    """Begin to mirror a run, in the experiment of a name, or of an id that the server has; ``told`` hears of steps.

    Raises OSError.
    """
    log = store / "runs" / run_id / "tracking" / LOG
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as stderr:
        # The URI may hold a password, which others could read on a command line.
        process = subprocess.Popen(
            [sys.executable, "-m", "mlproj.tracking.remote.mirror"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    assert process.stdin is not None and process.stdout is not None
    mirror = Mirror(uri, process, process.stdin, process.stdout, log, told=told)
    plan = {"uri": uri, "store": str(store), "run": run_id, "experiment": experiment, "experiment_id": experiment_id}
    _order(mirror, json.dumps(plan))
    return mirror


def wait_for_counterpart(mirror: Mirror, patience_s: float) -> dict[str, str] | None:
    """The run's counterpart, ``None`` when the server is in trouble, or has not made it in ``patience_s``."""
    _read_until(mirror, lambda: mirror.counterpart is not None or mirror.trouble is not None, patience_s)
    return mirror.counterpart


def settle(mirror: Mirror) -> None:
    """Have all that the server has of the run brought in. Trouble is in the mirror afterwards."""
    if not mirror.ended:
        mirror.trouble = None
    _order(mirror, "settle")
    _read_until(mirror, lambda: mirror.settled, _PATIENCE_S)


def close_mirror(mirror: Mirror) -> None:
    """Have all that is left of the ended run sent, and end the mirror. Trouble is in the mirror afterwards."""
    if not mirror.ended:
        patience_s = _PATIENCE_WITH_STRANGERS_S if mirror.counterpart is None else _PATIENCE_S
        mirror.trouble = None
        _order(mirror, "close")
        if not _read_until(mirror, lambda: False, patience_s) and not mirror.ended:
            mirror.trouble = mirror.trouble or f"{mirror.shown} has not answered for {patience_s:.0f} s"
    end_mirror(mirror)


def end_mirror(mirror: Mirror) -> None:
    """End the mirror, whatever it is about."""
    with contextlib.suppress(OSError):
        mirror.orders.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        mirror.process.wait(0.2)
    mirror.process.kill()
    mirror.process.wait()
    mirror.answers.close()
    with contextlib.suppress(OSError):
        if not mirror.log.stat().st_size:
            mirror.log.unlink()


def _order(mirror: Mirror, line: str) -> None:
    with contextlib.suppress(OSError):  # it has ended, which reading tells
        mirror.orders.write(f"{line}\n".encode())
        mirror.orders.flush()


def _read_until(mirror: Mirror, done: Callable[[], bool], patience_s: float) -> bool:
    """Take in what the mirror says until ``done``, until it ends, or until it is silent for ``patience_s``."""
    descriptor = mirror.answers.fileno()
    deadline = time.monotonic() + patience_s
    while not done() and not mirror.ended:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        data = os.read(descriptor, 65536)
        if not data:
            mirror.ended = True
            mirror.trouble = mirror.trouble or f"the process that tells {mirror.shown} of the run has ended"
            return False
        *lines, mirror.unread = (mirror.unread + data).split(b"\n")
        for line in lines:
            _take(mirror, json.loads(line))
            deadline = time.monotonic() + patience_s
    return True


def _take(mirror: Mirror, said: dict[str, Any]) -> None:
    if "run_id" in said:
        mirror.counterpart = said
    if "trouble" in said:
        mirror.trouble, mirror.hint = said["trouble"], said["hint"]
    if "doing" in said:
        mirror.told(said["doing"])
    mirror.settled = mirror.settled or said.get("settled", False)
    mirror.ended = mirror.ended or said.get("ended", False)
