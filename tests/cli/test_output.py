"""What reaches a terminal, a pipe, a file: no colours where none belong, nobody else's escapes, no secrets."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlproj.api.resolution
import mlproj.runs.query

# A sequence that clears the screen, one that sets the window's title, the one-byte CSI, and a reversed direction.
EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
ESCAPED = json.dumps(EVIL)  # YAML's double quotes know JSON's escapes


def test_no_colours_in_a_pipe(trained: list[str], cli: Any) -> None:
    for words in (("runs",), ("show", "better"), ("diff", *trained[:2]), ("check",), ("envs",), ("artifacts", "list")):
        done = cli(*words)
        assert "\x1b" not in done.out + done.err, words
    done = cli("run", "-e", "train", "--verbose")
    assert "\x1b" not in done.out + done.err


def in_a_terminal(*words: str, environment: dict[str, str], folder: Path) -> str:
    """What the command line prints to a terminal of 100 columns."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlproj", *words],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    assert process.wait() == 0
    return b"".join(parts).decode()


def test_colours_on_a_terminal_unless_no_color(trained: list[str], wine: Path) -> None:
    for words in (("runs",), ("show", "better"), ("check",)):
        assert "\x1b[" in in_a_terminal(*words, environment={}, folder=wine), words
        for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            assert "\x1b[3" not in in_a_terminal(*words, environment=unwanted, folder=wine), words


def test_a_color_forced_into_a_pipe(trained: list[str], cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in cli("show").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("show").out


@pytest.fixture
def evil(project: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project and a run with escapes in every text that one can get into them."""
    manifest = f"""\
name: {ESCAPED}
description: {ESCAPED}
entry_points:
  main:
    description: {ESCAPED}
    command: [python, main.py, {ESCAPED}, "{{value}}"]
    parameters:
      value: {{type: str, default: {ESCAPED}, choices: [{ESCAPED}, a], description: {ESCAPED}}}
      unused: {{type: str, default: {ESCAPED}, description: {ESCAPED}, pattern: '[^a]*'}}
    outputs: {{model: {{path: "m*", optional: true}}}}
    environment_variables: {{VARIABLE: {ESCAPED}}}
"""
    script = f"""\
import mlproj
mlproj.log_metric({EVIL!r} + "[bold]x[/y]", 1.0)
mlproj.log_metric({EVIL!r} + "[bold]x[/y]", 2.0)
mlproj.log_params({{{EVIL!r}: {EVIL!r}}})
mlproj.set_tags({{{EVIL!r}: {EVIL!r}}})
open("m" + {EVIL!r}, "w").write("x")
"""
    folder: Path = project(manifest, {"main.py": script})
    monkeypatch.chdir(folder)
    return folder


def test_nobody_elses_escapes_reach_the_terminal(evil: Path, cli: Any) -> None:
    run = ("run", "--name", EVIL, "--experiment", EVIL, "--tag", f"{EVIL}={EVIL}")
    asked: list[tuple[str, ...]] = [
        run,
        (*run, "--verbose"),
        (*run, "--dry-run"),
        ("run", ".", "--help"),
        ("check",),
        ("runs",),
        ("show",),
        ("show", "--packages"),
        ("diff", "@last", "@last~1", "--all"),
        ("tag", "@last"),
        ("artifacts", "list"),
        ("store", "check"),
    ]
    for words in asked:
        done = cli(*words)
        assert done.status == 0, (words, done.err)
        assert FORBIDDEN.search(done.out + done.err) is None, (words, done.out + done.err)
    for words in (("runs", "--json"), ("show", "--json"), ("diff", "@last", "@last~1", "--json")):
        done = cli(*words)
        assert FORBIDDEN.search(done.out) is None, words
        assert json.dumps(EVIL) in json.dumps(done.json)  # and the data is what it was


def test_csv_is_escaped_on_a_terminal_and_exact_in_a_file(evil: Path, cli: Any) -> None:
    assert cli("run", "-q", "--name", EVIL).status == 0
    shown = in_a_terminal("runs", "--csv", environment={}, folder=evil)
    assert FORBIDDEN.search(shown.replace("\r\n", "\n")) is None
    assert EVIL in cli("runs", "--csv").out


@pytest.mark.parametrize(
    "words",
    [
        (EVIL,),
        ("run", EVIL),
        ("run", "-e", EVIL),
        ("run", "-P", f"{EVIL}=1"),
        ("run", "-P", f"value={EVIL}b"),
        ("run", "-P", EVIL),
        ("run", f"--{EVIL}"),
        ("run", "--timeout", EVIL),
        ("run", "--env-manager", EVIL),
        ("run", "--tag", EVIL),
        ("run", "--params-file", f"{EVIL}.yaml"),
        ("check", EVIL),
        ("init", EVIL),
        ("init", "--force", "-e", EVIL),
        ("lock", EVIL),
        ("runs", "--filter", EVIL),
        ("runs", "--filter", f"status = '{EVIL}'"),
        ("runs", "--order-by", EVIL),
        ("runs", "--columns", EVIL),
        ("show", EVIL),
        ("show", f"@best:{EVIL}"),
        ("artifacts", "path", "@last", EVIL),
        ("tag", "@last", EVIL),
        ("envs", "path", EVIL),
        ("envs", "remove", EVIL),
        ("schema", EVIL),
        ("gc", "--older-than", EVIL),
    ],
    ids=lambda words: " ".join(word.replace(EVIL, "EVIL") for word in words),
)
def test_nor_do_those_on_the_command_line(evil: Path, cli: Any, words: tuple[str, ...]) -> None:
    cli("run", "-q")
    done = cli(*words)
    assert done.status == 2
    assert FORBIDDEN.search(done.out + done.err) is None, done.err


# --- bugs


def test_a_bug_is_one_line_and_a_file_without_secrets(
    wine: Path, shared_cache: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINE_API_KEY", "from-the-environment")
    words = ["run", "-e", "train", "-P", "solver=from-the-command-line"]
    monkeypatch.setattr(sys, "argv", ["mlproj", *words])

    def broken(*_: object) -> None:
        raise RuntimeError("it had from-the-environment and from-the-command-line and \x1b[31m in it")

    monkeypatch.setattr(mlproj.api.resolution, "resolve", broken)
    done = cli(*words)
    assert (done.status, done.out) == (125, "")
    assert "this is a bug in mlproj (RuntimeError: it had ••• and ••• and \\x1b[31m in it)" in done.err
    assert "Traceback" not in done.err
    report = Path(re.search(r"The traceback is in (\S+);", done.err)[1])  # type: ignore[index]
    assert report.parent == shared_cache / "crashes"
    assert report.stat().st_mode & 0o077 == 0
    text = report.read_text()
    assert "RuntimeError" in text
    assert "in broken" in text
    assert "from-the-" not in text


def test_a_bug_when_nothing_can_be_written(cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLPROJ_CACHE", str(tmp_path / "file"))

    def broken(*_: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(mlproj.runs.query, "search", broken)
    done = cli("runs")
    assert done.status == 125
    assert Path(re.search(r"The traceback is in (\S+);", done.err)[1]).exists()  # type: ignore[index]


# --- readers that go away


@pytest.mark.parametrize("words", ["runs", "show", "runs --json", "schema run", "completion bash", "--help"])
def test_a_reader_that_goes_away(trained: list[str], wine: Path, words: str) -> None:
    command = f'{sys.executable} -m mlproj {words} | head -c 0; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=wine)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")  # short output may fit the pipe before its reader is gone


def test_a_run_whose_reader_goes_away_ends_as_by_sigpipe(project: Any, cli: Any) -> None:
    folder = project("entry_points: {main: {command: [yes]}}")
    command = f'{sys.executable} -m mlproj run {folder} | head -n 1; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout == "y\n141\n"
    assert "Traceback" not in done.stderr
    record = cli("show", "--json").json
    assert (record["status"], record["error"]) == ("killed", "the reader of its output went away")


# --- stores that cannot be written to


@pytest.fixture
def read_only() -> Callable[[Path], list[str]]:
    """Words before a command under which ``folder`` cannot be written to, also by root."""

    def make(folder: Path) -> list[str]:
        if os.geteuid() != 0:
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)
            return []
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        words = ["unshare", "--mount", "sh", "-c", script, str(folder)]
        works = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
        if not works:
            reason = "root writes anywhere, and this machine mounts nothing read-only"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return words

    return make


def test_a_read_only_store(trained: list[str], wine: Path, own_home: Path, read_only: Any) -> None:
    words = [*read_only(own_home), sys.executable, "-m", "mlproj"]
    for command in (("run", "-e", "train"), ("tag", "@last", "a=b"), ("delete", "@last"), ("store", "rebuild")):
        done = subprocess.run([*words, *command], capture_output=True, text=True, cwd=wine)
        assert done.returncode == 125, command
        assert "cannot be opened or written to" in done.stderr
        assert "$MLPROJ_HOME" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("words", ["runs --json", "show better --json", "logs better", "artifacts path better"])
def test_a_read_only_store_can_be_read(
    trained: list[str], wine: Path, own_home: Path, read_only: Any, words: str
) -> None:
    command = [*read_only(own_home), sys.executable, "-m", "mlproj", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=wine)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_bug(project, own_home: Path, closed: str) -> None:
    folder = project("entry_points: {main: {command: [sh, -c, 'echo out; echo err >&2; cat']}}")
    for words in ("runs", f"run {folder}", "--help"):
        finished = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m mlproj {words} {closed}"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr + finished.stdout
    log = max((own_home / "runs").iterdir()) / "output.log"
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_a_full_disk_behind_stdout_is_told(project) -> None:
    folder = project("entry_points: {main: {command: [sh, -c, 'echo out']}}")
    for words, status in (("runs", 125), ("schema run", 125), (f"run {folder}", 0)):
        finished = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m mlproj {words} >/dev/full"], stderr=subprocess.PIPE, text=True
        )
        assert finished.returncode == status
        assert "No space left on device" in finished.stderr
        assert "bug" not in finished.stderr
