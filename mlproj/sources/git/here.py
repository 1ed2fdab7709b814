"""Running git in a repository of the caller's, so that nothing which that repository configures is ever executed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mlproj.sources.git.variables import REDIRECTING
from mlproj.text import one_line

# Configuration by which a repository could have a program of its choice run by status, diff, add or log.
SAFE = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false"),
    *("-c", "diff.external=", "-c", "log.showSignature=false", "-c", "protocol.allow=never"),
    *("-c", "core.sshCommand=false", "-c", "core.pager=cat", "-c", "core.quotePath=false"),
    *(
        "-c",
        "submodule.recurse=false",
        "-c",
        "status.submoduleSummary=false",
        "-c",
        "core.alternateRefsCommand=",
    ),
)


class GitRefusal(Exception):  # noqa: N818  no error: the project runs and is identified by its content
    """Git is not there, or does not want to work on this folder (``safe.directory``, a broken repository)."""


def ask_here(
    folder: Path, arguments: Sequence[str], environment: dict[str, str] | None = None, stdin: bytes = b""
) -> bytes:
    """Run git in the repository of ``folder`` and give what it wrote to stdout. Raises ``GitRefusal``."""
    inherited = {name: value for name, value in os.environ.items() if name not in REDIRECTING}
    guarded = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        finished = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**inherited, **guarded, **(environment or {})},
            input=stdin,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise GitRefusal("git is not installed") from None
    except OSError as error:
        raise GitRefusal(one_line(error)) from None
    if finished.returncode != 0:
        said = finished.stderr.decode("utf-8", "replace").strip().splitlines()
        first = next((line for line in said if line.startswith("fatal:")), said[0] if said else "no reason given")
        raise GitRefusal(one_line(first.removeprefix("fatal: ")))
    return finished.stdout
