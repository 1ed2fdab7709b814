"""Commands really run: exit statuses, signals, streams byte for byte, nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

MANIFEST = """
entry_points:
  main: {{command: [{python}, -u, script.py, "{{args}}"], grace_period: {grace}{more}}}
"""

READY = "import sys, os, signal, time, subprocess\nprint('ready', flush=True)\n"


class Session:
    """A running `mlproj run` whose command has said that it is ready."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(b"ready"), (line, process.communicate())

    def finish(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


Start = Callable[..., Session]


@pytest.fixture
def start(project, own_home: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(script: str, *options: str, grace: str = "10s", more: str = "", **popen: Any) -> Session:
        folder = project(MANIFEST.format(python=sys.executable, grace=grace, more=more), {"script.py": READY + script})
        process = subprocess.Popen(
            [sys.executable, "-m", "mlproj", "run", str(folder), *options],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "bufsize": 0,
                **popen,
            },
        )
        running.append(process)
        return Session(process)

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def record(own_home: Path) -> dict[str, Any]:
    newest = max((own_home / "runs").iterdir(), key=lambda each: each.name)
    return json.loads((newest / "run.json").read_text())


def left_behind(own_home: Path) -> list[str]:
    """Every process that belongs to a run of this store."""
    ids = {folder.name for folder in (own_home / "runs").iterdir()}
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MLPROJ_RUN_ID") in ids and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("script", "exit_status", "status"),
    [
        ("", 0, "finished"),
        ("sys.exit(3)", 3, "failed"),
        ("sys.exit(255)", 255, "failed"),
        ("raise ValueError", 1, "failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "killed"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 139, "killed"),
        ("os.abort()", 134, "killed"),
    ],
)
def test_the_exit_status_is_the_commands_own(
    start: Start, own_home: Path, script: str, exit_status: int, status: str
) -> None:
    assert start(script).finish()[0] == exit_status
    assert (record(own_home)["exit_status"], record(own_home)["status"]) == (exit_status, status)


# A process to which the signal comes just as its command is about to be started.
EARLY = """
import signal, sys
from mlproj.cli.app import run_to_the_end
from mlproj.processes import guarded
order, number = guarded.order, int(sys.argv.pop())
def late(*words, **named):
    signal.raise_signal(number)
    order(*words, **named)
guarded.order = late
run_to_the_end()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_the_command_starts_ends_it_too(project: Any, number: signal.Signals) -> None:
    script = "import signal, time\ntime.sleep(60)\n"
    folder = project(MANIFEST.format(python=sys.executable, grace="10s", more=""), {"script.py": script})
    done = subprocess.run(
        [sys.executable, "-c", EARLY, "run", str(folder), str(int(number))],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 128 + number
    assert "guardian" not in done.stderr
    assert f"by {number.name}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_reaches_the_command_and_closes_the_run(start: Start, own_home: Path, number: signal.Signals) -> None:
    session = start("signal.pause()")
    session.process.send_signal(number)
    assert session.finish()[0] == 128 + number
    assert record(own_home)["status"] == "killed"
    assert number.name in record(own_home)["error"]


def test_a_command_may_clean_up_and_its_exit_status_counts(start: Start, own_home: Path) -> None:
    session = start(
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(7)))\nprint('go')\nwhile True: signal.pause()"
    )
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGTERM)
    exit_status, out, _ = session.finish()
    assert (exit_status, out) == (7, b"saved\n")
    assert record(own_home)["status"] == "killed"


def test_a_command_that_was_cut_short_is_no_success(start: Start) -> None:
    session = start("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nprint('go')\nwhile True: signal.pause()")
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGTERM)
    assert session.finish()[0] == 128 + signal.SIGTERM


STUBBORN = """
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(each, signal.SIG_IGN)
print('go')
while True: signal.pause()
"""


def test_what_ignores_signals_is_killed_after_the_grace_period(start: Start, own_home: Path) -> None:
    session = start(STUBBORN, grace="200ms")
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGTERM)
    assert session.finish()[0] == 137
    assert left_behind(own_home) == []


def test_a_second_signal_kills_at_once(start: Start) -> None:
    session = start(STUBBORN + "", grace="1h")
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGINT)
    session.process.send_signal(signal.SIGTERM)
    assert session.finish()[0] == 137


def test_a_timeout_asks_and_then_kills(start: Start, own_home: Path) -> None:
    assert start("signal.pause()", "--timeout", "300ms").finish()[0] == 128 + signal.SIGTERM
    assert record(own_home)["status"] == "killed"
    assert "longer than its timeout" in record(own_home)["error"]
    assert start(STUBBORN, "--timeout", "300ms", grace="100ms").finish()[0] == 137


DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for each in range(1, 65):
            try: signal.signal(each, signal.SIG_IGN)
            except (OSError, ValueError): pass
        os.write(1, b'daemon\\n')
        os.closerange(0, 3)
        while True: time.sleep(100)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers: macOS finds orphans as far as it can")
def test_a_daemon_that_ignores_signals_does_not_outlive_its_run(start: Start, own_home: Path) -> None:
    session = start(DAEMON + "assert sys.stdin.read() == ''", grace="200ms")
    exit_status, out, _ = session.finish()
    assert (exit_status, out) == (0, b"daemon\n")
    assert left_behind(own_home) == []


def test_grandchildren_end_with_the_run(start: Start, own_home: Path) -> None:
    session = start(
        "subprocess.Popen(['sleep', '1000']); subprocess.Popen(['setsid', 'sleep', '1000']); print('go'); signal.pause()"
    )
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGTERM)
    session.finish()
    assert left_behind(own_home) == []


@pytest.mark.parametrize("script", ["signal.pause()", DAEMON + "time.sleep(1000)"])
def test_nothing_outlives_a_killed_mlproj(start: Start, own_home: Path, script: str, mlproj) -> None:
    session = start(script, grace="200ms")
    if "daemon" in script:
        assert session.process.stdout.readline() == b"daemon\n"
    guardian = psutil.Process(session.process.pid).children()[0]
    session.process.kill()
    psutil.wait_procs([guardian], timeout=20)
    assert not guardian.is_running()
    assert left_behind(own_home) == []
    assert "lost" in mlproj("runs").stdout


def test_what_a_killed_guardian_and_a_killed_mlproj_left_is_ended_by_the_next_command(
    start: Start, own_home: Path, mlproj
) -> None:
    script = "if os.fork() == 0:\n    os.setsid()\n    print('go')\n    time.sleep(1000)\nsignal.pause()"
    session = start(script)
    assert session.process.stdout.readline() == b"go\n"
    guardian = psutil.Process(session.process.pid).children()[0]
    guardian.suspend()
    session.process.kill()
    guardian.kill()
    session.process.wait()
    listed = mlproj("runs")
    assert "lost" in listed.stdout
    assert "ended" in listed.stderr
    assert left_behind(own_home) == []


def test_a_killed_guardian_is_told_and_leaves_nothing(start: Start, own_home: Path) -> None:
    session = start("if os.fork() == 0:\n    os.setsid()\n    print('go')\n    time.sleep(1000)\nsignal.pause()")
    assert session.process.stdout.readline() == b"go\n"
    psutil.Process(session.process.pid).children()[0].kill()
    assert session.finish()[0] == 137
    assert "guardian" in record(own_home)["error"]
    assert left_behind(own_home) == []


def test_stdout_and_stderr_stay_apart_byte_for_byte(start: Start, own_home: Path) -> None:
    script = "os.write(1, bytes(range(256))); os.write(2, bytes(range(255, -1, -1)))"
    _, out, err = start(script, "--quiet").finish()
    assert out == bytes(range(256))
    assert err == bytes(range(255, -1, -1))


def test_stdin_passes_through(start: Start) -> None:
    session = start("sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])", stdin=subprocess.PIPE)
    out, _ = session.process.communicate(b"abc\x00\xff", timeout=60)
    assert out == b"\xff\x00cba"


def test_output_comes_as_it_is_written(start: Start) -> None:
    session = start("print('one'); sys.stdin.readline(); print('two')", stdin=subprocess.PIPE)
    assert session.process.stdout.readline() == b"one\n"
    assert session.process.communicate(b"\n", timeout=60)[0] == b"two\n"


def test_a_hundred_megabytes_take_no_memory(start: Start, own_home: Path) -> None:
    amounts = {}
    for count in (1, 100):
        script = f"block = bytes(range(256)) * 4096\nfor _ in range({count}): sys.stdout.buffer.write(block)"
        session = start(script)
        digest = hashlib.sha256()
        peak = 0
        while chunk := session.process.stdout.read(1 << 20):
            digest.update(chunk)
            peak = max(peak, psutil.Process(session.process.pid).memory_info().rss) if count else peak
        session.process.wait()
        amounts[count] = peak
        assert digest.digest() == hashlib.sha256(bytes(range(256)) * 4096 * count).digest()
        newest = max((own_home / "runs").iterdir(), key=lambda each: each.name)
        assert (newest / "output.log").stat().st_size == count * (1 << 20) + len("ready\n")
    assert amounts[100] < amounts[1] + (8 << 20)


def test_a_reader_that_goes_away_ends_the_run(start: Start, own_home: Path) -> None:
    session = start("while True: print('y' * 1000)")
    session.process.stdout.close()
    session.process.stdout = None
    session.process.communicate(timeout=60)
    assert session.process.returncode == 128 + signal.SIGPIPE
    assert record(own_home)["status"] == "killed"
    assert left_behind(own_home) == []


def test_secrets_are_masked_in_the_log_and_not_in_what_passes_through(start: Start, own_home: Path) -> None:
    script = "key = os.environ['API_KEY']; os.write(1, key[:5].encode()); time.sleep(0); os.write(1, key[5:].encode())"
    session = start(script, more=", secret_variables: [API_KEY]", env={**os.environ, "API_KEY": "hunter22-hunter22"})
    assert session.finish()[1] == b"hunter22-hunter22"
    newest = max((own_home / "runs").iterdir(), key=lambda each: each.name)
    assert (newest / "output.log").read_text() == "ready\n•••"


def test_the_command_gets_a_process_group_and_an_environment_of_its_own(start: Start) -> None:
    script = "import json; print(json.dumps([os.getpgrp() == os.getpid(), {k: v for k, v in os.environ.items() if k.startswith('MLPROJ_')}]))"
    _, out, _ = start(script).finish()
    own_group, variables = json.loads(out)
    assert own_group
    assert {"MLPROJ_RUN_ID", "MLPROJ_PARAMS", "MLPROJ_METRICS", "MLPROJ_ARTIFACTS"} <= set(variables)
    assert Path(variables["MLPROJ_PARAMS"]).parent.name == variables["MLPROJ_RUN_ID"]


def test_a_command_that_is_not_there(project, mlproj, own_home: Path) -> None:
    finished = mlproj("run", project("entry_points: {main: {command: [no-such-program, x]}}"))
    assert finished.returncode == 125
    assert "the command `no-such-program` is not there" in finished.stderr
    assert (record(own_home)["status"], record(own_home)["exit_status"]) == ("failed", 125)


def test_a_command_that_cannot_be_executed(project, mlproj) -> None:
    finished = mlproj("run", project("entry_points: {main: {command: [./data.txt]}}", {"data.txt": "x"}))
    assert finished.returncode == 125
    assert "cannot be started: Permission denied" in finished.stderr
    assert "Traceback" not in finished.stderr
