"""Running git against strangers' repositories: in an environment where they can run, write and ask for nothing."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.variables import REDIRECTING

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


def ask_git(arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path) -> bytes:
    """Run git to its end and give what it wrote to stdout.

    Raises ``GitFailed``, and ``SourceError`` when there is no git.
    """
    with _started():
        finished = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=cwd,
            env=environment,
            stdin=None if can_ask() else subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=not can_ask(),
        )
    if finished.returncode != 0:
        raise GitFailed(finished.stderr.decode("utf-8", "replace"))
    return finished.stdout


def git_version() -> tuple[int, ...]:
    """The version of the git that is installed: ``(2, 39)``."""
    told = re.search(r"(\d+)\.(\d+)", ask_git(["--version"], os.environ, Path("/")).decode("utf-8", "replace"))
    return (int(told[1]), int(told[2])) if told else (0, 0)


def read_git(arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, end: bytes) -> Iterator[bytes]:
    """The parts of git's stdout that are ended by ``end``, as they come; left early, git is ended as well.

    Raises ``GitFailed``.
    """
    argv = ["git", *map(str, arguments)]
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(
            argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told
        ) as process,
    ):
        assert process.stdout is not None
        try:
            pending = b""
            while chunk := process.stdout.read1(1 << 20):  # type: ignore[attr-defined]
                *parts, pending = (pending + chunk).split(end)
                yield from parts
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            told.seek(0)
            raise GitFailed(told.read().decode("utf-8", "replace"))


def transfer(
    arguments: Sequence[str | Path],
    environment: Mapping[str, str],
    cwd: Path,
    on_progress: Callable[[str], None],
    on_start: Callable[[int], None],
) -> None:
    """Run a git that fetches; ``on_progress`` is told how far it is (``receiving objects 45%``).

    ``on_start`` is told its process's id, by which one that outlives a killed mlproj can be found.

    Raises ``GitFailed``, and ``SourceError`` when there is no git.
    """
    with _started():
        process = subprocess.Popen(
            ["git", *map(str, arguments)],
            cwd=cwd,
            env=environment,
            stdin=None if can_ask() else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=not can_ask(),
        )
    assert process.stderr is not None
    said: list[str] = []
    try:
        on_start(process.pid)
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
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        process.stderr.close()
    if status != 0:
        raise GitFailed("\n".join(said))


def _end(process: subprocess.Popen[bytes]) -> None:
    import signal

    with contextlib.suppress(ProcessLookupError):
        if can_ask():
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGTERM)
    process.wait()


@contextlib.contextmanager
def _started() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SourceError("git is not installed", hint="Projects in git repositories are fetched by git.") from None
