"""Running git against strangers' repositories: in an environment where they can run, write and ask for nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.variables import REDIRECTING
from mlproj.text import one_line

# Faults of old repositories, by tools that wrote sloppy objects: nothing that git follows depends on them.
_HARMLESS = (
    ("zeroPaddedFilemode", "badFilemode", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "badTimezone")
    + ("missingEmail", "badEmail", "missingNameBeforeEmail", "zeroPaddedDate", "badDate", "badDateOverflow")
    + ("missingTaggerEntry", "badTagName", "multipleAuthors", "missingAuthor", "missingCommitter")
)

_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.alternateRefsCommand", ""),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.splitIndex", "false"),
    ("core.sparseCheckout", "false"),
    ("protocol.version", "2"),
    ("transfer.fsckObjects", "true"),
    ("fetch.fsckObjects", "true"),
    *((f"fetch.fsck.{fault}", "ignore") for fault in _HARMLESS),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.prune", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.bundleURI", ""),
    ("transfer.bundleURI", "false"),
    ("submodule.recurse", "false"),
    ("clone.rejectShallow", "false"),
    ("clone.defaultRemoteName", "origin"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "120"),
    ("advice.detachedHead", "false"),
)

# In the shell's own words, so that neither argument lists nor files hold what is in these variables.
_CREDENTIALS = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$MLPROJ_GIT_USER" "$MLPROJ_GIT_PASSWORD"; }; f'
)
_PROGRESS = re.compile(r"(?:remote: )?([A-Z][a-z]+ [a-z]+): +(\d+)% ")


# The git that each thread waits for, by which one that is not needed any more can be ended from another.
_RUNNING: dict[int | None, subprocess.Popen[bytes]] = {}


class GitFailed(Exception):  # noqa: N818  explained to the user by git_failures
    """Git ended with an error; ``said`` is what it wrote about it."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def can_ask() -> bool:
    """Whether somebody sits at a terminal whom git and ssh may ask for a password."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def git_environment(address: Address | None = None, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that git runs with: the caller's own, without those that would lead it astray.

    What the user has configured (credential helpers, ssh, proxies, ``insteadOf``) stays in force. The credentials of
    ``address`` are handed over here, and nowhere else.
    """
    variables = {name: value for name, value in os.environ.items() if name not in REDIRECTING}
    variables |= {"LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_ADVICE": "0"}
    # Above all configuration: no transport by which an address could run a program.
    variables["GIT_ALLOW_PROTOCOL"] = "https:http:ssh:git:file"
    if not can_ask():
        variables |= {"GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never"}
        variables.setdefault("GIT_ASKPASS", "")
    pairs = [*_SETTINGS, *(settings or {}).items()]
    if address is not None and address.user is not None and address.transport in ("https", "http"):
        parts = urlsplit(address.url)
        scope = f"credential.{parts.scheme}://{parts.netloc}"
        variables |= {"MLPROJ_GIT_USER": address.user, "MLPROJ_GIT_PASSWORD": address.password or ""}
        if address.password is not None:
            pairs += [(f"{scope}.helper", ""), (f"{scope}.helper", _CREDENTIALS)]
        else:
            # A user name, whose password a helper has; or a token that needs none, which is tried last.
            pairs += [(f"{scope}.username", address.user)]
            pairs += [] if can_ask() else [(f"{scope}.helper", _CREDENTIALS)]
    start = variables.get("GIT_CONFIG_COUNT", "")
    first = int(start) if start.isascii() and start.isdigit() else 0
    for number, (key, value) in enumerate(pairs, first):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    variables["GIT_CONFIG_COUNT"] = str(first + len(pairs))
    return variables


def ask_git(
    arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, stdin: bytes | None = None
) -> bytes:
    """Run git to its end and give what it wrote to stdout.

    Raises ``GitFailed``, and ``SourceError`` when git cannot be started.
    """
    given = subprocess.PIPE if stdin is not None else None if can_ask() else subprocess.DEVNULL
    with _running(arguments, environment, cwd, stdin=given, stderr=subprocess.PIPE) as process:
        told, said = process.communicate(stdin)
        _check(process.returncode, said.decode("utf-8", "replace"))
    return told


def watch_git(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    cwd: Path,
    stdin: bytes,
    complaint: Callable[[], str | None],
) -> None:
    """Run git to its end, asking every now and then whether there is a ``complaint`` for which to end it early.

    Raises ``GitFailed``, and ``SourceError`` when git cannot be started.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        options = {"stdin": given.fileno(), "stdout": subprocess.DEVNULL}
        with _running(arguments, environment, cwd, **options, stderr=told) as process:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                said = complaint() if process.poll() is None else None
                if said is not None:
                    _end(process)
                    raise GitFailed(f"fatal: {said}")
            told.seek(0)
            _check(process.returncode, told.read().decode("utf-8", "replace"))


def git_version() -> tuple[int, ...] | None:
    """The version of the git that is installed: ``(2, 39)``; ``None`` when it does not tell."""
    try:
        told = re.search(rb"(\d+)\.(\d+)", ask_git(["--version"], os.environ, Path("/")))
    except GitFailed:
        return None
    return (int(told[1]), int(told[2])) if told else None


def read_git(arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, end: bytes) -> Iterator[bytes]:
    """The parts of git's stdout that are ended by ``end``, as they come; left early, git is ended as well.

    Raises ``GitFailed``.
    """
    with (
        tempfile.TemporaryFile() as told,
        _running(arguments, environment, cwd, stdin=subprocess.DEVNULL, stderr=told) as process,
    ):
        assert process.stdout is not None
        pending = b""
        while chunk := process.stdout.read1(1 << 20):  # type: ignore[attr-defined]
            *parts, pending = (pending + chunk).split(end)
            yield from parts
        if process.wait() != 0:
            told.seek(0)
            _check(process.returncode, told.read().decode("utf-8", "replace"))


def transfer(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    cwd: Path,
    on_progress: Callable[[str], None],
    on_start: Callable[[int], None],
) -> None:
    """Run a git that fetches; ``on_progress`` is told how far it is (``receiving objects 45%``).

    ``on_start`` is told its process's id, by which one that outlives a killed mlproj can be found.

    Raises ``GitFailed``, and ``SourceError`` when git cannot be started.
    """
    given = None if can_ask() else subprocess.DEVNULL
    with _running(
        arguments, environment, cwd, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        on_start(process.pid)
        said: list[str] = []
        pending = b""
        while chunk := os.read(process.stderr.fileno(), 65536):
            lines = re.split(rb"[\r\n]", pending + chunk)
            pending = lines.pop()[-65536:]
            for line in lines:
                text = line.decode("utf-8", "replace").strip()
                if found := _PROGRESS.match(text):
                    on_progress(f"{found[1].lower()} {found[2]}%")
                elif text:
                    said = [*said[-200:], text]
        said.append(pending.decode("utf-8", "replace"))
        _check(process.wait(), "\n".join(said))


def end_git_of(thread: threading.Thread) -> None:
    """Have a thread of this process end soon that may be waiting for a git, and wait for that."""
    while thread.is_alive():
        process = _RUNNING.get(thread.ident)
        if process is not None:
            _end(process)
        thread.join(0.05)


@contextlib.contextmanager
def _running(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    cwd: Path,
    *,
    stdin: int | None,
    stderr: int | IO[bytes],
    stdout: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """A git that does not outlive the ``with`` block, nor do the programs that it has started."""
    try:
        process = subprocess.Popen(
            ["git", *map(str, arguments)],
            cwd=cwd,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            # At a terminal git stays in the foreground, where it and ssh can ask for passwords.
            start_new_session=not can_ask(),
        )
    except OSError as error:
        raise _not_started(error) from None
    _RUNNING[threading.get_ident()] = process
    try:
        yield process
    except GitFailed:
        raise
    except BaseException:
        _end(process)
        raise
    finally:
        _RUNNING.pop(threading.get_ident(), None)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        if process.poll() is None or process.returncode < 0:
            _end(process)


def _check(status: int, said: str) -> None:
    if status < 0:
        said += f"\nfatal: git was ended by signal {-status}"
    if status != 0:
        raise GitFailed(said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it has started: gently first, since git then removes its scratch files."""
    group = [] if not can_ask() else _descendants(process.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if can_ask():
            for each in group:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, number)
            process.send_signal(number)
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


def _descendants(number: int) -> list[int]:
    import psutil

    try:
        return [each.pid for each in psutil.Process(number).children(recursive=True)]
    except psutil.Error:
        return []


def _not_started(error: OSError) -> SourceError:
    hint = "Projects in git repositories are fetched by git."
    if isinstance(error, FileNotFoundError) and error.filename == "git":
        return SourceError("git is not installed", hint=hint)
    return SourceError(f"git cannot be started: {one_line(error)}", hint=hint)
