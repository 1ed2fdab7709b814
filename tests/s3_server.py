"""A real server of S3's protocol (moto's), a bucket on it, and a relay before it that breaks connections."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of the server, which this process runs."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass(frozen=True)
class Bucket:
    """An empty bucket: what is in it, and its objects as they lie there."""

    name: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.name}/runs"

    def keys(self, prefix: str = "runs/") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of the server that the environment's variables lead to."""
    import boto3

    variables = {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "hidden-from-records",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3_server)
    bucket = Bucket(f"tests-{uuid.uuid4().hex[:12]}", client)
    client.create_bucket(Bucket=bucket.name)
    return bucket


@dataclass
class Faults:
    """A relay's address, and what it does to connections.

    ``cuts`` so many of them are broken off in the middle. Once ``stall_after`` bytes have passed nothing passes any
    more, and ``stalled`` says so.
    """

    address: str = ""
    cuts: int = 0
    cut: int = 0
    stall_after: int | None = None
    passed: int = 0
    stalled: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture
def faults_before() -> Iterator[Callable[..., Faults]]:
    """Put a relay with faults before the server at an address."""
    listeners: list[socket.socket] = []

    def start(address: str, **what: Any) -> Faults:
        host, _, port = address.removeprefix("http://").partition(":")
        faults = Faults(**what)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        faults.address = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection((host, int(port)))
                    for one, other in ((client, server), (server, client)):
                        threading.Thread(target=_relay, args=(one, other, faults), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return faults

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def faulty(faults_before: Callable[..., Faults], s3_server: str) -> Callable[..., Faults]:
    """Put a relay with faults before the server of S3's protocol."""
    return partial(faults_before, s3_server)


def _relay(one: socket.socket, other: socket.socket, faults: Faults) -> None:
    with suppress(OSError):
        while data := one.recv(16_384):
            with faults.lock:
                faults.passed += len(data)
                # One that carries a body: a request that has begun, or an answer that has.
                cut = len(data) > 8_000 and faults.cut < faults.cuts
                faults.cut += cut
            if faults.stall_after is not None and faults.passed > faults.stall_after:
                faults.stalled.set()
                return
            if cut:
                other.sendall(data[: len(data) // 2])
                break
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
