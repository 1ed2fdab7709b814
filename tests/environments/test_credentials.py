"""Credentials of indexes and URLs: used, and found nowhere afterwards."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.credentials import credentials_in, redact, with_credentials, without_credentials
from mlproj.errors import EnvironmentBuildError

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("text", "shown", "stored"),
    [
        ("https://bob:pw@host/simple", "https://****@host/simple", "https://host/simple"),
        ("https://token@host:8443/x", "https://****@host:8443/x", "https://host:8443/x"),
        ("https://bob:p@w@host/x", "https://****@host/x", "https://host/x"),
        (
            "pear @ git+https://t:x@host/r.git@v1",
            "pear @ git+https://****@host/r.git@v1",
            "pear @ git+https://host/r.git@v1",
        ),
        ("git+ssh://git@host/r.git", "git+ssh://git@host/r.git", "git+ssh://git@host/r.git"),
        (
            "mail bob@host or https://host/a@b",
            "mail bob@host or https://host/a@b",
            "mail bob@host or https://host/a@b",
        ),
        ("no URL at all", "no URL at all", "no URL at all"),
    ],
)
def test_the_user_part_of_a_url_is_not_shown(text: str, shown: str, stored: str) -> None:
    assert redact(text) == shown
    assert without_credentials(text) == stored


def test_credentials_go_back_to_the_host_they_are_for() -> None:
    known = credentials_in(["--index-url https://bob:p\\w@host:1/simple"])
    assert with_credentials('url = "https://host:1/a.whl"', known) == 'url = "https://bob:p\\w@host:1/a.whl"'
    elsewhere = 'url = "https://host:1.example/a.whl"'
    assert with_credentials(elsewhere, known) == elsewhere


@pytest.fixture
def guarded_index(index: Path) -> Iterator[str]:
    """The tests' index over HTTP, for who knows the password. Gives its host and port."""
    expected = "Basic " + base64.b64encode(f"bob:{SECRET}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
                return
            if parts[0] == "simple":
                names = sorted(path.name for path in index.glob(f"{parts[1]}-*"))
                body = "".join(f'<a href="/files/{name}">{name}</a>' for name in names).encode()
                kind = "text/html"
            else:
                body, kind = (index / parts[1]).read_bytes(), "application/octet-stream"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_other_index(own_world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "configuration" / "uv" / "uv.toml").unlink()
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_NO_CACHE", "1")


def assert_nowhere(*folders: Path) -> None:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                assert SECRET.encode() not in path.read_bytes(), path


def test_an_index_of_the_manifest(asking: Any, project: Path, cache: Path, guarded_index: str) -> None:
    keys = {"dependencies": ["pear"], "index_url": f"http://bob:{SECRET}@{guarded_index}/simple"}
    assert asking.lock(**keys).added == {"apple": "2.0", "pear": "1.0"}
    found = asking.prepare(**keys)
    assert found.packages == {"apple": "2.0", "pear": "1.0"} and SECRET not in repr(found)
    assert SECRET not in "".join(asking.said)
    assert_nowhere(project, cache)


def test_an_index_of_a_requirements_file(asking: Any, project: Path, cache: Path, guarded_index: str) -> None:
    requirements = project / "requirements.txt"
    requirements.write_text(f"--index-url http://bob:{SECRET}@{guarded_index}/simple\npear\n")
    found = asking.prepare(requirements="requirements.txt")
    assert found.packages == {"apple": "2.0", "pear": "1.0"}
    assert_nowhere(cache)


def test_a_url_with_a_password(
    asking: Any, project: Path, cache: Path, guarded_index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDEX_PASSWORD", SECRET)
    url = f"http://bob:${{INDEX_PASSWORD}}@{guarded_index}/files/apple-2.0-py3-none-any.whl"
    found = asking.prepare(dependencies=[f"apple @ {url}"])
    assert found.packages == {"apple": "2.0"} and SECRET not in (found.lock_text or "")
    assert_nowhere(project, cache)


def test_an_error_shows_no_password(asking: Any, cache: Path, guarded_index: str) -> None:
    with pytest.raises(EnvironmentBuildError) as caught:
        asking.prepare(dependencies=[f"quince @ http://bob:{SECRET}@{guarded_index}/files/quince-1.0.zip"])
    assert SECRET not in str(caught.value)
    assert_nowhere(cache)
