"""`mlproj ui` as a process: where it listens, what it asks for, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import mlproj

Start = Callable[..., tuple[str, "subprocess.Popen[str]"]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `mlproj ui` at a free port: its address, and the process."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> tuple[str, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlproj", "ui", "--port", "0", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip(), process

    yield begin
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


def asked(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_answers_on_loopback_and_makes_no_store(start: Start, own_home: Path) -> None:
    address, _ = start()
    assert address.startswith("http://127.0.0.1:")
    status, text = asked(address)
    assert status == 200
    assert "No runs yet" in text
    assert list(own_home.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(start: Start, number: int) -> None:
    address, process = start()
    # A browser's connection that is kept open is no reason to go on.
    with socket.create_connection(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))) as kept:
        kept.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 200"
        process.send_signal(number)
        _, said = process.communicate(timeout=10)
    assert process.returncode in (0, -number, 128 + number)
    assert "Traceback" not in said


def test_what_is_killed_leaves_nothing_behind(start: Start, own_home: Path) -> None:
    address, process = start()
    asked(address)
    process.kill()
    process.wait()
    assert list(own_home.iterdir()) == []
    port = address.rstrip("/").rpartition(":")[2]
    again = subprocess.Popen(
        [sys.executable, "-m", "mlproj", "ui", "--port", port],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert again.stdout is not None
    assert again.stdout.readline().strip() == address
    again.kill()
    again.communicate()


def test_a_port_in_use_names_the_option(start: Start) -> None:
    address, _ = start()
    port = address.rstrip("/").rpartition(":")[2]
    done = mlproj("ui", "--port", port)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: port {port} is in use by another process\n"
        f"Choose another with `--port`, such as `--port {int(port) + 1}`.\n"
    )


def test_other_than_loopback_asks_for_a_token(start: Start) -> None:
    address, _ = start("--host", "0.0.0.0")
    assert "?token=" in address
    port = int(address.partition("?")[0].rstrip("/").rpartition(":")[2])
    assert asked(f"http://127.0.0.1:{port}/")[0] == 401
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/runs")
    request.add_header("authorization", "Bearer " + address.partition("?token=")[2])
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "no.such.host.invalid"), "--host takes an address or a name of this machine"),
        (("--host", "203.0.113.7"), "--host 203.0.113.7 is no address of this machine"),
        (("--token", " "), "--token takes a text that is not empty"),
        (("--port", "70000"), "Invalid value for '--port'"),
    ],
)
def test_what_cannot_be_is_a_clear_error(words: tuple[str, ...], message: str) -> None:
    done = mlproj("ui", *words)
    assert done.returncode == 2
    assert message in done.stderr
