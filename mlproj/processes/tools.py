"""Running a build tool (uv, virtualenv, git) under a guardian, its output going to a log file line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO


def run_tool(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: BinaryIO,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run a tool to its end and give its exit status (128 + n when signal n ended it).

    stdout and stderr are appended to ``log`` as they come; each decoded line goes to ``on_line`` too. The tool has
    no stdin. It and all its descendants are killed when this process dies or is interrupted.

    Raises ``FileNotFoundError`` when there is no such executable.
    """
    import subprocess

    with subprocess.Popen(
        list(argv), cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if on_line is not None:
                on_line(line.decode(errors="replace").rstrip("\r\n"))
    return process.returncode if process.returncode >= 0 else 128 - process.returncode
