"""The socket that waits for a first MLflow client, and the thread that answers from then on.

Until a client connects this costs a socket and a thread that sleeps: the server is imported then.
"""

from __future__ import annotations

# The module `socket` takes a millisecond to import, which a run that logs nothing has no use for.
import _socket
import os
import selectors
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from mlproj.runs.intake import Intake
from mlproj.runs.metric_lines import Mask
from mlproj.runs.record import RunRecord
from mlproj.runs.store import LiveRun

LOOPBACK = "127.0.0.1"
_BACKLOG = 128


@dataclass(frozen=True)
class JoinedRun:
    """The run that clients join. ``mask`` takes its secrets, when it has any, out of what is logged.

    ``keeps_experiment``: its experiment was chosen by who started it, and not for its script to choose.
    """

    live: LiveRun
    record: RunRecord
    intake: Intake
    mask: Mask | None = None
    keeps_experiment: bool = False


@dataclass
class Gateway:
    """An open gateway. ``notices`` and ``experiment``, the one that its script chose, are there once it is closed."""

    port: int
    token: str
    sockets: list[_socket.socket]
    thread: threading.Thread
    wake: int
    notices: list[str] = field(default_factory=list)
    experiment: str | None = None


def open_gateway(joined: JoinedRun, also_at: str | None = None) -> Gateway:
    """Begin to listen for the clients of a run on loopback, and at the same port of another address of this machine.

    Raises OSError.
    """
    reader, wake = os.pipe()
    try:
        sockets = [_listening(LOOPBACK, 0)]
    except OSError:
        os.close(reader)
        os.close(wake)
        raise
    if also_at not in (None, LOOPBACK):
        # An engine in a virtual machine leads its containers from there to loopback.
        with suppress(OSError):
            sockets.append(_listening(also_at, sockets[0].getsockname()[1]))
    token = os.urandom(16).hex()
    gateway = Gateway(sockets[0].getsockname()[1], token, sockets, threading.Thread(), wake)
    gateway.thread = threading.Thread(
        target=_wait_and_serve, args=(gateway, reader, joined), name="mlproj-gateway", daemon=True
    )
    gateway.thread.start()
    return gateway


def _listening(address: str, port: int) -> _socket.socket:
    listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        listening.bind((address, port))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def address_of(gateway: Gateway, host: str = LOOPBACK) -> str:
    """What a client's ``MLFLOW_TRACKING_URI`` is, when the gateway is at ``host`` for it."""
    return f"http://{host}:{gateway.port}/{gateway.token}"


def close_gateway(gateway: Gateway) -> None:
    """Answer no more, and close the runs that clients left open. Waits for what is being answered."""
    os.write(gateway.wake, b"\0")
    gateway.thread.join()
    os.close(gateway.wake)


def _wait_and_serve(gateway: Gateway, reader: int, joined: JoinedRun) -> None:
    try:
        with selectors.DefaultSelector() as selector:
            for each in (reader, *(listening.fileno() for listening in gateway.sockets)):
                selector.register(each, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select()}
        if reader not in ready:
            from mlproj.tracking.gateway.server import serve

            serve(gateway, reader, joined)
    finally:
        os.close(reader)
        # Whoever comes now is refused, rather than left to wait.
        for listening in gateway.sockets:
            listening.close()
