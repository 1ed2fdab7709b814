"""A server of Google Cloud Storage's protocol (gcp-storage-emulator), and a bucket on it.

Google has none to run, and this one takes every caller. So one that asks for a token stands before it, and a server that
gives tokens for a service account's key, as Google's does.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pytest

TOKEN = "hidden-from-records"
FORBIDDEN = "somebody-elses"
ACCOUNT = "tester@lab.iam.gserviceaccount.com"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # gcsfs comes by many connections at once

    def handle_error(self, *of: Any) -> None:
        """Say nothing of connections that the client closed, as one that is killed does."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*of)


@pytest.fixture(scope="session")
def gs_server() -> Iterator[str]:
    """The address of the server, which this process runs. It gives tokens too, at ``/token``."""
    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    one_at_a_time, storage = threading.Lock(), Storage(use_memory_fs=True)

    class Handler(RequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(storage, *arguments)

        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            # Whole before the emulator has it, which knows of one caller at a time.
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if (self.headers.get("Content-Type") or "").startswith("multipart/related"):
                body = _as_mail(self, body)
                self.headers.replace_header("Content-Length", str(len(body)))
            self.rfile = io.BytesIO(body)
            if self.path == "/token":
                return _give_token(self)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return _answer(self, 401, {"error": {"code": 401, "message": "Invalid Credentials"}})
            if f"/b/{FORBIDDEN}" in self.path:
                message = f"{ACCOUNT} does not have storage.objects.list access to the bucket."
                return _answer(self, 403, {"error": {"code": 403, "message": message}})
            with one_at_a_time:
                getattr(self, f"do_{self.command}")()
            return False

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _as_mail(handler: BaseHTTPRequestHandler, body: bytes) -> bytes:
    """An upload in two parts with its content in base64: the emulator reads it as mail, and loses a last ``\\r``."""
    boundary = b"--" + handler.headers.get_param("boundary", "", "Content-Type").encode()
    _, about, content = body.split(boundary, 2)
    head, _, content = content.partition(b"\n\n")
    encoded = base64.encodebytes(content.removesuffix(b"\n" + boundary + b"--"))
    return b"".join(
        (boundary, about, boundary, head, b"\nContent-Transfer-Encoding: base64\n\n", encoded, b"\n", boundary, b"--")
    )


def _give_token(handler: BaseHTTPRequestHandler) -> bool:
    """A token for a signed claim (RFC 7523) of the account that is known. Whether it is well signed is not looked at."""
    from urllib.parse import parse_qs

    from google.auth.jwt import decode

    claim = decode(parse_qs(handler.rfile.read().decode())["assertion"][0], verify=False)
    if claim["iss"] != ACCOUNT:
        return _answer(
            handler, 400, {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
        )
    return _answer(handler, 200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})


def _answer(handler: BaseHTTPRequestHandler, status: int, content: dict[str, Any]) -> bool:
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    return False


@dataclass(frozen=True)
class GoogleBucket:
    """An empty bucket: what is in it, and its objects as they lie there."""

    name: str
    address: str
    key_file: Path
    patch: pytest.MonkeyPatch

    @property
    def url(self) -> str:
        return f"gs://{self.name}/runs"

    def go_by(self, address: str) -> None:
        """Have the variables lead to a server at another address."""
        self.patch.setenv("STORAGE_EMULATOR_HOST", address)

    def sign_in_wrongly(self) -> str:
        """Have the variables lead to the key of an account that the server does not know; gives what is secret of it."""
        key = json.loads(self.key_file.read_text())
        self.key_file.write_text(json.dumps({**key, "client_email": f"nobody-{ACCOUNT}"}))
        return str(key["private_key"].split("\n")[1])

    def keys(self, prefix: str = "runs/") -> list[str]:
        found = json.loads(self._ask("GET", f"/storage/v1/b/{self.name}/o?{urlencode({'prefix': prefix})}"))
        return [each["name"] for each in found.get("items", [])]

    def write(self, key: str, content: bytes) -> None:
        self._ask("POST", f"/upload/storage/v1/b/{self.name}/o?uploadType=media&name={quote(key, safe='')}", content)

    def _ask(self, method: str, path: str, content: bytes | None = None, content_type: str = "text/plain") -> bytes:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
        with urlopen(Request(f"{self.address}{path}", content, headers, method=method)) as answer:
            return bytes(answer.read())


@pytest.fixture
def google_bucket(gs_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoogleBucket:
    """A bucket of the server that the environment's variables lead to, with the key of an account."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": f"{gs_server}/token",
    }
    key_file = tmp_path / "account.json"
    key_file.write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    bucket = GoogleBucket(f"tests-{uuid.uuid4().hex[:12]}", gs_server, key_file, monkeypatch)
    bucket.go_by(gs_server)
    bucket._ask("POST", "/storage/v1/b", json.dumps({"name": bucket.name}).encode(), "application/json")
    return bucket
