"""What GitHub Actions is told: annotations beside the lines of a file, and the summary of a job.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mlproj.manifest.diagnostics import Diagnostic
from mlproj.text import one_line

_LARGEST_SUMMARY = 1 << 20
_COMMANDS = {"error": "error", "warning": "warning", "hint": "notice"}


def is_github(environment: Mapping[str, str]) -> bool:
    """Whether this is a job of GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def beside_lines(diagnostics: Iterable[Diagnostic], workspace: str | None) -> Iterator[str]:
    """The commands that put findings beside the lines that they are about."""
    for each in diagnostics:
        place = {"file": _below(each.file, workspace)}
        if each.span is not None:
            end = each.span.column + each.span.length
            place |= {"line": str(each.span.line), "col": str(each.span.column), "endColumn": str(end)}
        yield _command(_COMMANDS[each.severity], each.message, place)


def of_the_job(title: str, message: str) -> str:
    """The command that shows an error of the job."""
    return _command("error", message, {"title": title})


def _below(file: str, workspace: str | None) -> str:
    path = Path(file).absolute()
    return path.relative_to(workspace).as_posix() if workspace and path.is_relative_to(workspace) else file


def _command(name: str, message: str, properties: Mapping[str, str]) -> str:
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {told}::{_data(one_line(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(one_line(text)).replace(":", "%3A").replace(",", "%2C")


def add_to_summary(markdown: str, environment: Mapping[str, str]) -> None:
    """Add to the job's summary, where there is one and it has room. Raises OSError."""
    place = environment.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    content = f"{markdown}\n".encode("utf-8", "replace")
    size = os.path.getsize(place) if os.path.exists(place) else 0  # noqa: PTH110, PTH202  a name from outside
    if size + len(content) <= _LARGEST_SUMMARY:
        with open(place, "ab") as stream:  # noqa: PTH123  as above
            stream.write(content)
