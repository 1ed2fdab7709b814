"""Serving the gateway's application from its sockets, in the thread that waited for a first client."""

from __future__ import annotations

import asyncio
import logging
import resource
import shutil
import socket
from contextlib import suppress

import uvicorn

from mlproj.errors import StoreError
from mlproj.runs.store import close_store, open_store
from mlproj.text import one_line
from mlproj.tracking.gateway.application import application
from mlproj.tracking.gateway.listener import LOOPBACK, Gateway, JoinedRun
from mlproj.tracking.gateway.session import OpenRun, Session, end_all

_HOSTS = frozenset({LOOPBACK, "localhost", "host.docker.internal"})


class _Server(uvicorn.Server):
    """A server that ends when a descriptor can be read."""

    def __init__(self, config: uvicorn.Config, reader: int) -> None:
        super().__init__(config)
        self.reader = reader

    async def main_loop(self) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.reader, ended.set)
        await ended.wait()
        loop.remove_reader(self.reader)
        # Whoever could still be heard has ended with the run.
        self.force_exit = True


def serve(gateway: Gateway, reader: int, joined: JoinedRun) -> None:
    """Answer clients until the gateway is closed."""
    _hush()
    _allow_open_files()
    try:
        # A connection of this thread's own: the runner writes through the store's other one.
        store = open_store(joined.live.store.folder)
    except StoreError as error:
        gateway.notices.append(f"MLflow clients were not answered: {error.message}")
        return
    own = OpenRun(joined.record, joined.live.files, joined.intake)
    session = Session(store, joined.live.id, {joined.live.id: own}, joined.mask, joined.keeps_experiment)
    try:
        asyncio.run(_Server(_configured(gateway, session), reader).serve(sockets=_taken(gateway)))
    except Exception as error:
        gateway.notices.append(f"MLflow clients were not answered any more: {one_line(error)}")
    finally:
        end_all(session)
        close_store(store)
        shutil.rmtree(own.files.uploads, ignore_errors=True)
        gateway.notices += session.notices
        # A script that has only looked at an experiment has not chosen it.
        gateway.experiment = own.record.experiment if own.said is not None else None


def _hush() -> None:
    """Keep to oneself what uvicorn and asyncio have to say of what strangers send."""
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


def _allow_open_files() -> None:
    """Have as many open files as this process may: each run that a client begins holds one, each connection too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _configured(gateway: Gateway, session: Session) -> uvicorn.Config:
    hosts = _HOSTS | {each.getsockname()[0] for each in gateway.sockets}
    return uvicorn.Config(
        application(session, gateway.token, hosts),
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http="httptools",
        ws="none",
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )


def _taken(gateway: Gateway) -> list[socket.socket]:
    return [socket.socket(fileno=each.detach()) for each in gateway.sockets]
