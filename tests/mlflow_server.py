"""Environments with the clients of trackers, and real MLflow servers: on SQLite, and on PostgreSQL with users.

In between is a relay, which has a server be slow, refuse, or go away, without starting it anew.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mlproj import locks

# An old client needs what was new when it was: each is given no more than these sessions ask for.
_OLD = ["setuptools<70"]
_SCIENCE = ["numpy", "pandas", "scikit-learn", "matplotlib", "pillow"]
REQUIREMENTS = {
    "1.30": ["mlflow-skinny==1.30.0", "numpy<2", "pandas<2", "scikit-learn<1.3", *_OLD],
    "2.9": ["mlflow-skinny==2.9.2", "numpy<2", "pandas<2.1", "scikit-learn<1.4", "matplotlib<3.9", "pillow", *_OLD],
    "2.22": ["mlflow-skinny==2.22.0", "opentelemetry-sdk<1.33", *_SCIENCE],
    "3": ["mlflow-skinny>=3.5", "xgboost-cpu", "skops", *_SCIENCE],
    "server": ["mlflow[auth]>=3.5", "psycopg2-binary"],
    "older server": ["mlflow==2.22.0", "sqlalchemy<2.1", "opentelemetry-sdk<1.33", "setuptools<70"],
    "others": ["wandb", "comet_ml", "neptune", "setuptools<70"],
}
ADMIN = ("admin", "correct-horse-battery")


@pytest.fixture(scope="session")
def python_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The interpreter of an environment with a tracker's client, made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trackers"

    def python(version: str) -> Path:
        folder = shared / version
        shared.mkdir(exist_ok=True)
        with locks.exclusive(shared / f"{version}.lock"):
            if not (folder / "made").exists():
                for arguments in (
                    ["venv", "--clear", str(folder)],
                    ["pip", "install", "--python", str(folder), *REQUIREMENTS[version]],
                ):
                    done = subprocess.run(
                        [sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, check=False
                    )
                    assert done.returncode == 0, done.stderr
                (folder / "made").touch()
        return folder / "bin" / "python"

    return python


@dataclass
class MlflowServer:
    """A real ``mlflow server``."""

    uri: str
    folder: Path
    process: subprocess.Popen[bytes]

    def client(self) -> Any:
        """MLflow's client of it."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow import MlflowClient

        return MlflowClient(self.uri)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def start_server(
    python: Path, folder: Path, backend: str, *options: str, env: Mapping[str, str] | None = None
) -> MlflowServer:
    """Start a server that keeps its runs in ``backend`` and its artifacts in ``folder``, and wait for it to answer."""
    port = free_port()
    words = [str(python.with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts"), *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={**clean, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(env or {})},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    server = MlflowServer(f"http://127.0.0.1:{port}", folder, process)
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"{server.uri}/health", timeout=5).close()
            return server
        assert process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()
        time.sleep(0.1)


def stop_server(server: MlflowServer) -> None:
    """End a server and its workers at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


@pytest.fixture(scope="session")
def mlflow_server(python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server on SQLite, one for all tests of this process."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    server = start_server(python_of("server"), folder, f"sqlite:///{folder}/mlflow.db")
    yield server
    stop_server(server)


@pytest.fixture
def older_server(python_of: Callable[[str], Path], tmp_path: Path) -> Iterator[MlflowServer]:
    """A server of MLflow before 3.0, which knows of no logged models."""
    server = start_server(python_of("older server"), tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    yield server
    stop_server(server)


@pytest.fixture(scope="session")
def guarded_server(
    python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A server on PostgreSQL that asks for users and passwords (``ADMIN`` is one)."""
    address = os.environ.get("MLPROJ_TEST_POSTGRES")
    if address is None:
        _missing("no PostgreSQL server")
    folder = tmp_path_factory.mktemp("guarded-server")
    python = python_of("server")
    name = f"mlflow_{os.getpid()}"
    created = (
        "import psycopg2, sys\n"
        "connection = psycopg2.connect(sys.argv[1] + '/postgres'); connection.autocommit = True\n"
        "connection.cursor().execute('CREATE DATABASE ' + sys.argv[2])\n"
    )
    subprocess.run([str(python), "-c", created, address, name], check=True)
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///auth.db\n"
        f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    variables = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "for the tests"}
    server = start_server(
        python, folder, f"{address}/{name}".replace("://", "+psycopg2://"), "--app-name", "basic-auth", env=variables
    )
    yield server
    stop_server(server)


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}: `scripts/ci-postgres start` makes it")
    pytest.skip(f"{reason} (`scripts/ci-postgres start` makes it)")


@dataclass
class Relay:
    """What stands between a client and a server. ``answer`` is the status that it gives itself, if it does;

    ``fails_after`` how many more requests it lets through before it gives 500; while ``held`` is set none is answered.
    """

    uri: str
    answer: int | None = None
    fails_after: int | None = None
    held: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def relay_to() -> Iterator[Callable[[MlflowServer], Relay]]:
    """Put a relay before a server."""
    opened: list[tuple[Relay, ThreadingHTTPServer]] = []

    def start(server: MlflowServer) -> Relay:
        state = Relay("")

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                state.asked.append(f"{self.command} {self.path.partition('?')[0]}")
                while state.held.is_set():
                    time.sleep(0.05)
                if state.fails_after is not None:
                    state.answer = 500 if state.fails_after <= 0 else None
                    state.fails_after -= 1
                if state.answer is not None:
                    self._give(state.answer, b"no", "text/plain")
                    return
                connection = http.client.HTTPConnection(server.uri.removeprefix("http://"), timeout=60)
                kept = {
                    name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
                }
                connection.request(self.command, self.path, body, kept)
                reply = connection.getresponse()
                self._give(reply.status, reply.read(), reply.headers.get("Content-Type", "application/json"))
                connection.close()

            def _give(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815  http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        listening = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        listening.daemon_threads = True
        state.uri = f"http://127.0.0.1:{listening.server_address[1]}"
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        opened.append((state, listening))
        return state

    yield start
    for state, listening in opened:
        state.held.clear()
        listening.shutdown()
        listening.server_close()
