"""URLs of `path` parameters: fetched once from a real server, cached by content, checked, never half-kept."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlproj.downloads import FetchError, fetch
from mlproj.errors import MlprojError, UsageError

CONTENT = b"wine,quality\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Site:
    """A web site on this machine that counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        site = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, self.headers.get("Authorization")))
                if self.path.startswith("/missing"):
                    self.send_error(404)
                    return
                self.send_response(200)
                cut_off = self.path.startswith("/cut-off")
                self.send_header("Content-Length", str(len(CONTENT) * (2 if cut_off else 1)))
                self.end_headers()
                self.wfile.write(CONTENT)

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(FetchError, match="is no regular file"):
        fetch((tmp_path / "pipe.csv").as_uri(), None, tmp_path / "cache", lambda *_: None, refresh=False, offline=False)


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    thread = threading.Thread(target=opened.server.serve_forever, daemon=True)
    thread.start()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()
    thread.join()


def got(url: str, cache: Path, sha256: str | None = None, *, refresh: bool = False, offline: bool = False) -> Path:
    return fetch(url, sha256, cache, lambda *_: None, refresh=refresh, offline=offline)


def test_a_url_is_fetched_once_and_kept_under_its_name(site: Site, tmp_path: Path) -> None:
    path = got(f"{site.url}/data/wine.csv?version=2", tmp_path)
    assert (path.name, path.read_bytes()) == ("wine.csv", CONTENT)
    asked = len(site.asked)
    assert got(f"{site.url}/data/wine.csv?version=2", tmp_path) == path
    assert got(f"{site.url}/data/wine.csv?version=2", tmp_path, offline=True) == path
    assert len(site.asked) == asked
    got(f"{site.url}/data/wine.csv?version=2", tmp_path, refresh=True)
    assert len(site.asked) > asked


def test_the_same_content_is_kept_once(site: Site, tmp_path: Path) -> None:
    assert got(f"{site.url}/a.csv", tmp_path).parent == got(f"{site.url}/b.csv", tmp_path).parent


def test_progress_is_told(site: Site, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(f"{site.url}/a", None, tmp_path, lambda *each: told.append(each), refresh=False, offline=False)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_the_declared_digest_is_held_to(site: Site, tmp_path: Path) -> None:
    assert got(f"{site.url}/a", tmp_path, DIGEST).read_bytes() == CONTENT
    asked = len(site.asked)
    assert got("http://elsewhere.invalid/a", tmp_path, DIGEST).read_bytes() == CONTENT
    assert len(site.asked) == asked
    with pytest.raises(FetchError, match=f"has the SHA-256 {DIGEST}; the manifest expects 0000"):
        got(f"{site.url}/b", tmp_path, "0" * 64)
    assert not list(tmp_path.glob("files/.*"))


@pytest.mark.parametrize("page", ["missing", "cut-off"])
def test_what_does_not_come_whole_is_not_kept(site: Site, tmp_path: Path, page: str) -> None:
    with pytest.raises(FetchError, match="cannot fetch"):
        got(f"{site.url}/{page}", tmp_path)
    assert not list(tmp_path.glob("files/*"))
    assert not list(tmp_path.glob("urls/*.json"))


def test_offline_says_that_it_is_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="--offline forbids"):
        got("http://127.0.0.1:9/a", tmp_path, offline=True)


@pytest.mark.parametrize("url", ["gopher://example.org/a", "javascript:alert(1)", "ext::sh"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is none of"):
        got(url, tmp_path)


def test_credentials_are_in_no_message_and_no_file(site: Site, tmp_path: Path) -> None:
    for page in ("a.csv", "missing"):
        url = site.url.replace("://", "://me:hunter22@") + f"/{page}?token=s3cr3t-t0ken"
        try:
            got(url, tmp_path)
        except MlprojError as error:
            assert "hunter22" not in str(error) and "s3cr3t" not in str(error)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hunter22" not in kept and b"s3cr3t" not in kept


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a/../..", "x\x1b[31m", ""])
def test_no_name_of_a_url_leaves_the_cache(site: Site, tmp_path: Path, name: str) -> None:
    path = got(f"{site.url}/{name}", tmp_path / "cache")
    assert path.resolve().is_relative_to((tmp_path / "cache").resolve())


def test_a_run_gets_the_file_and_records_the_url(site: Site, project, mlproj) -> None:
    manifest = 'entry_points: {main: {command: [wc, -c, "{data}"], parameters: {data: {type: path}}}}'
    url = f"{site.url}/wine.csv"
    finished = mlproj("run", project(manifest), "-P", f"data={url}", "--json")
    assert json.loads(finished.stdout)["parameters"] == {"data": url}
    assert str(len(CONTENT)) in finished.stderr
