"""What a caller asks for when asking for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.environments.environment import Policy
from mlproj.parameters.given import Given

DEFAULT_EXPERIMENT = "default"


@dataclass(frozen=True)
class RunRequest:
    """A project, an entry point, values, and how to go about it."""

    project: str = "."
    entry_point: str | None = None
    given: Mapping[str, Given] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    policy: Policy = field(default_factory=Policy)
    environment_kind: str | None = None
    name: str = ""
    experiment: str = DEFAULT_EXPERIMENT
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    store: Path | None = None
    command_line: str | None = None


def _nothing(_: str) -> None:
    return


@dataclass(frozen=True)
class Listener:
    """Who is told of a run's way: phrases of progress, notices, the line that says what starts, bytes fetched."""

    progress: Callable[[str], None] = _nothing
    notice: Callable[[str], None] = _nothing
    starting: Callable[[str], None] = _nothing
    fetched: Callable[[str, int, int | None], None] = lambda *_: None
