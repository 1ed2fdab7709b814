"""Real git repositories and real servers of them, for the tests of fetched git sources."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from mlproj.sources import Fetching, Snapshot, release_tree, take_snapshot


def git(folder: Path, *arguments: str | Path, stdin: bytes | None = None, **variables: str) -> str:
    """Run git as the author of the test's repositories."""
    settings = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    settings += ["-c", "init.defaultBranch=main", "-c", "commit.gpgSign=false"]
    finished = subprocess.run(
        ["git", *settings, *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout.decode("utf-8", "surrogateescape").strip()


def commit(repository: Path, files: Mapping[str, str], message: str = "more") -> str:
    """Commit files to a repository, which is begun when it is not there, and give the commit."""
    if not repository.exists():
        repository.mkdir(parents=True)
        git(repository, "init", "-q", "-b", "main")
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "-m", message)
    return git(repository, "rev-parse", "HEAD")


@dataclass
class Fetcher:
    """Takes snapshots with a cache of its own, and clears their trees away at the end of the test."""

    cache: Path
    taken: list[Snapshot] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __call__(self, uri: str, revision: str | None = None, **asked: int | bool) -> Snapshot:
        fetching = Fetching(revision=revision, cache=self.cache, report=self.said.append, **asked)  # type: ignore[arg-type]
        snapshot = take_snapshot(uri, (), fetching)
        self.taken.append(snapshot)
        return snapshot

    def release(self) -> None:
        for snapshot in self.taken:
            if snapshot.tree is not None:
                release_tree(snapshot.tree)
        self.taken.clear()


@dataclass
class GitServer:
    """A running `git http-backend`; ``requests`` are those that came, ``stalls`` holds answers back while it is set."""

    url: str
    requests: list[str] = field(default_factory=list)
    stalls: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)


@contextmanager
def git_server(root: Path, *, password: str | None = None, speaks_v2: bool = True) -> Iterator[GitServer]:
    """Serve the repositories in ``root`` over http, to ``ada`` with the password alone when there is one."""
    expected = "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:  # type: ignore[override]
            return

        def _answer(self) -> None:
            body = self._body()
            server.requests.append(f"{self.command} {self.path}")
            if password is not None and self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if server.stalls.is_set() and self.command == "POST":
                self.send_response(200)
                self.send_header("Content-Type", "application/x-git-upload-pack-result")
                self.send_header("Content-Length", "100000")
                self.end_headers()
                server.stalled.set()
                released.wait(60)
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            variables = {
                **os.environ,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if speaks_v2 else "",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "uploadpack.allowFilter",
                "GIT_CONFIG_VALUE_0": "true",
            }
            answered = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=variables)
            headers, _, content = answered.stdout.partition(b"\r\n\r\n")
            told = dict(line.split(": ", 1) for line in headers.decode().split("\r\n") if ": " in line)
            self.send_response(int(told.pop("Status", "200 OK").split()[0]))
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = _answer  # noqa: N815

    released = threading.Event()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = GitServer(f"http://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        released.set()
        listening.shutdown()
        listening.server_close()
        thread.join()
