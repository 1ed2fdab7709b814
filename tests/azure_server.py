"""A real server of Azure's blob protocol (Microsoft's Azurite), and a container on it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

KEY = base64.b64encode(b"hidden-from-records").decode()


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server."""
    program = os.environ.get("MLPROJ_TEST_AZURITE") or shutil.which("azurite-blob")
    if not program:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to have Azurite, and to say where its azurite-blob is in $MLPROJ_TEST_AZURITE")
        pytest.skip("azurite-blob is not installed (`npm install azurite`, $MLPROJ_TEST_AZURITE)")
    folder = tmp_path_factory.mktemp("azurite")
    words = ["--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck"]
    log = folder / "log"
    with log.open("w") as stream:
        running = subprocess.Popen(
            [program, *words],
            cwd=folder,
            env={**os.environ, "AZURITE_ACCOUNTS": f"tester:{KEY}"},
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + 60
        while "successfully listens on " not in log.read_text():
            assert running.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield log.read_text().partition("successfully listens on ")[2].split()[0]
    finally:
        running.terminate()
        running.wait()


@dataclass(frozen=True)
class Container:
    """An empty container: what is in it, and its objects as they lie there."""

    name: str
    address: str
    client: Any
    patch: pytest.MonkeyPatch

    @property
    def url(self) -> str:
        return f"az://{self.name}/runs"

    def go_by(self, address: str, key: str = KEY) -> None:
        """Have the variables lead to a server at another address, or with another key."""
        parts = (
            "DefaultEndpointsProtocol=http",
            "AccountName=tester",
            f"AccountKey={key}",
            f"BlobEndpoint={address}/tester",
        )
        self.patch.setenv("AZURE_STORAGE_CONNECTION_STRING", ";".join(parts))

    def sign_in_wrongly(self) -> str:
        """Have the variables hold a key that the server does not know; gives it."""
        key = base64.b64encode(b"hidden-and-wrong").decode()
        self.go_by(self.address, key)
        return key

    def keys(self, prefix: str = "runs/") -> list[str]:
        return [each.name for each in self.client.list_blobs(name_starts_with=prefix)]

    def write(self, key: str, content: bytes) -> None:
        self.client.upload_blob(key, content, overwrite=True)


@pytest.fixture
def container(azure_server: str, monkeypatch: pytest.MonkeyPatch) -> Container:
    """A container of the server that the environment's variables lead to."""
    from azure.storage.blob import BlobServiceClient

    for variable in [each for each in os.environ if each.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    name = f"tests-{uuid.uuid4().hex[:12]}"
    account = {"account_name": "tester", "account_key": KEY}
    container = Container(
        name,
        azure_server,
        BlobServiceClient(f"{azure_server}/tester", credential=account).create_container(name),
        monkeypatch,
    )
    container.go_by(azure_server)
    return container
