"""How uv and virtualenv are called: where their words go, and how they fail."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.environments.credentials import redact
from mlproj.environments.environment import Report
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line, printable

_SHOWN_LINES = 20
_KEPT_LOGS = 20


@dataclass(frozen=True)
class ToolLog:
    """The log of one build tool: a file without credentials, and its last lines for an error to show."""

    path: Path
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN_LINES))


def run_logged(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: ToolLog,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run a tool with its output, credentials left out, in ``log``.

    Gives its exit status as ``run_tool`` does.
    """
    from mlproj.processes.tools import run_tool

    # The tool's own stream is not kept: it could hold what only the redacted lines may.
    with (
        log.path.open("a", encoding="utf-8", errors="replace") as stream,
        Path(os.devnull).open("wb") as nowhere,
    ):
        stream.write(f"$ {redact(' '.join(argv))}\n")
        stream.flush()

        def keep(line: str) -> None:
            shown = redact(line)
            stream.write(f"{shown}\n")
            stream.flush()
            log.last_lines.append(shown)
            if on_line is not None:
                on_line(line)

        try:
            return run_tool(argv, cwd=cwd, env=env, log=nowhere, on_line=keep)
        except FileNotFoundError as error:
            raise EnvironmentBuildError(f"there is no `{one_line(argv[0])}` to run: {one_line(error)}") from None


def run_uv(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: ToolLog,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run uv with ``arguments`` as ``run_logged`` does."""
    return run_logged([uv_executable(), *arguments], cwd=cwd, env=env, log=log, on_line=on_line)


def uv_executable() -> str:
    """The path of the uv that mlproj depends on. Raises ``EnvironmentBuildError`` when it is not there."""
    import uv

    try:
        return os.fspath(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise EnvironmentBuildError(
            f"the `uv` that mlproj was installed with is missing: {one_line(error)}",
            hint=f"reinstall it for {sys.executable}",
        ) from None


def reporting_downloads(report: Report) -> Callable[[str], None]:
    """A taker of uv's lines that reports the large downloads and the builds among them."""

    def take(line: str) -> None:
        word, _, rest = redact(line).strip().partition(" ")
        if word in ("Downloading", "Building") and rest:
            report(one_line(f"{word.lower()} {rest}"))

    return take


def keep_log(cache: Path, log: ToolLog) -> Path:
    """Copy a log to where failed builds' logs are kept, the newest few of them, and give its path there."""
    import secrets
    import shutil
    import time

    folder = cache / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.log"
    shutil.copyfile(log.path, kept)
    for old in sorted(folder.glob("*.log"))[:-_KEPT_LOGS]:
        old.unlink(missing_ok=True)
    return kept


def tool_failure(what: str, status: int, log: ToolLog, cache: Path) -> EnvironmentBuildError:
    """The error for a tool that failed: what could not be done, its last lines, where its log is."""
    ended = f"killed by signal {status - 128}" if status > 128 else f"exit status {status}"
    lines = "\n".join(f"  {printable(line)}" for line in log.last_lines)
    try:
        where = f"the whole log: {keep_log(cache, log)}"
    except OSError as error:
        where = f"its log could not be kept: {error.strerror}"
    return EnvironmentBuildError(f"{what} ({ended}):\n{lines}" if lines else f"{what} ({ended})", hint=where)
