"""A way for MLflow clients in a network of their own: their end of it is a socket that is handed out to here."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from mlproj.tracking.gateway.listener import LOOPBACK

_CHUNK = 1 << 16
NAME = "door.sock"


@dataclass
class Passage:
    """An open passage to a port of this machine; ``place`` is the Unix socket over which the other end comes."""

    place: Path
    port: int
    waiting: socket.socket
    folder: int
    wake: int
    thread: threading.Thread


def open_passage(folder: Path, port: int) -> Passage:
    """Begin to wait for a listening socket, and lead whoever connects to that to ``port`` on loopback.

    Raises OSError.
    """
    # A Unix socket's name is short: it is reached by the folder's descriptor, however deep that lies.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    waiting = socket.socket(socket.AF_UNIX)
    waiting.bind(f"/proc/self/fd/{descriptor}/{NAME}")
    waiting.listen(1)
    reader, wake = os.pipe()
    passage = Passage(folder / NAME, port, waiting, descriptor, wake, threading.Thread())
    passage.thread = threading.Thread(target=_lead, args=(passage, reader), name="mlproj-passage", daemon=True)
    passage.thread.start()
    return passage


def close_passage(passage: Passage) -> None:
    """Lead nobody on any more."""
    with contextlib.suppress(OSError):
        os.close(passage.wake)
    passage.thread.join()
    passage.waiting.close()
    os.close(passage.folder)


def _lead(passage: Passage, reader: int) -> None:
    with contextlib.ExitStack() as held, selectors.DefaultSelector() as selector:
        held.callback(os.close, reader)
        selector.register(reader, selectors.EVENT_READ)
        selector.register(passage.waiting, selectors.EVENT_READ)
        door: socket.socket | None = None
        others: dict[socket.socket, socket.socket] = {}
        while True:
            for key, _ in selector.select():
                ready = key.fileobj
                if ready == reader:
                    for each in [*others, *([door] if door else [])]:
                        each.close()
                    return
                if ready is passage.waiting:
                    door = _taken(passage.waiting)
                    if door is not None:
                        selector.register(door, selectors.EVENT_READ)
                elif ready is door:
                    for one, other in _joined(door, passage.port):
                        others[one] = other
                        selector.register(one, selectors.EVENT_READ)
                elif isinstance(ready, socket.socket) and ready in others and not _passed_on(ready, others[ready]):
                    for each in (ready, others[ready]):
                        selector.unregister(each)
                        others.pop(each)
                        each.close()


def _taken(waiting: socket.socket) -> socket.socket | None:
    """The listening socket that the other side hands over."""
    connection, _ = waiting.accept()
    with connection:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        connection.send(b".")
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _joined(door: socket.socket, port: int) -> list[tuple[socket.socket, socket.socket]]:
    client, _ = door.accept()
    gateway = socket.socket()
    try:
        gateway.connect((LOOPBACK, port))
    except OSError:
        client.close()
        gateway.close()
        return []
    return [(client, gateway), (gateway, client)]


def _passed_on(source: socket.socket, target: socket.socket) -> bool:
    """Whether there was something to pass on, and it could be; else the connection is over."""
    try:
        chunk = source.recv(_CHUNK)
        target.sendall(chunk)
    except OSError:
        return False
    return bool(chunk)
