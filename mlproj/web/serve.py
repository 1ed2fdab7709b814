"""Serving the pages: the socket, who may reach it, and how the server ends."""

from __future__ import annotations

import errno
import gc
import ipaddress
import logging
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn

from mlproj.errors import MlprojError, UsageError
from mlproj.runs.database import DATABASE_NAME
from mlproj.text import one_line
from mlproj.web.application import application
from mlproj.web.security import Access
from mlproj.web.stores import Site, settle

_BACKLOG = 128


@dataclass(frozen=True)
class Served:
    """A server that listens, and is not answering yet: ``address`` is what a browser is to open."""

    site: Site
    socket: socket.socket
    address: str


def listen(folder: Path, host: str, port: int, token: str | None, *, read_only: bool) -> Served:
    """Listen for browsers. On other than loopback a token is asked for, one of our own where none is given.

    Raises ``UsageError`` for an address that is none of this machine's, and for a port that is taken.
    """
    listening = _bound(host, port)
    bound = listening.getsockname()[0]
    if token is None and not ipaddress.ip_address(bound.partition("%")[0]).is_loopback:
        token = secrets.token_urlsafe(24)
    names = frozenset({"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()})
    site = Site(folder, Access(os.urandom(32), names, token, read_only))
    shown = socket.gethostname() if ipaddress.ip_address(bound.partition("%")[0]).is_unspecified else host
    shown = f"[{shown}]" if ":" in shown else shown
    address = f"http://{shown}:{listening.getsockname()[1]}/"
    return Served(site, listening, address + (f"?token={quote(token, safe='')}" if token else ""))


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host takes an address or a name of this machine; found `{one_line(host)}`") from None
    listening = socket.socket(family, kind)
    try:
        # A server that has just ended leaves its port waiting for packets of old connections.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            hint = f"Choose another with `--port`, such as `--port {port + 1 if port < 65535 else 8765}`."
            raise UsageError(f"port {port} is in use by another process", hint=hint) from None
        if error.errno == errno.EACCES:
            raise UsageError(f"port {port} is for administrators", hint="`--port` takes one from 1024 on.") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"--host {one_line(host)} is no address of this machine") from None
        raise MlprojError(f"cannot listen on {one_line(host)}:{port}: {error.strerror}") from None
    return listening


def answer(served: Served) -> None:
    """Answer until the process is told to end. Raises KeyboardInterrupt at Ctrl-C."""
    # The command line has switched it off for its own short life; this may be a long one.
    gc.enable()
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    if (served.site.folder / DATABASE_NAME).exists() and not served.site.access.read_only:
        settle(served.site)
    config = uvicorn.Config(
        application(served.site),
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http="httptools",
        ws="none",
        proxy_headers=False,
        server_header=False,
        # A browser keeps its connections open: they are no reason to go on.
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[served.socket])
