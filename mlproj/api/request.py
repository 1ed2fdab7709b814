"""What a caller asks for when asking for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.environments.environment import Policy
from mlproj.errors import UsageError
from mlproj.parameters.given import Given
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line

LONGEST_LABEL = 250
LONGEST_TAG_VALUE = 5000  # as MLflow has it


@dataclass(frozen=True)
class Again:
    """A recorded run that is to be had again: ``snapshot`` is its source, in a tree of its own.

    ``python`` is the version of its interpreter; ``variables`` are the deciding ones (``api.variables``), all that
    its command had; ``None`` where that is not known. ``project`` is its name, which may be that of a folder.
    ``trusted`` says that it was the caller's own project, whose container may have what it asks for.
    """

    of: str
    snapshot: Snapshot
    python: str | None = None
    variables: Mapping[str, str] | None = None
    trusted: bool = False
    project: str = ""


@dataclass(frozen=True)
class RunRequest:
    """A project, an entry point, values, and how to go about it.

    ``revision``, ``keep_tree``, ``unpack_limit`` and ``allowed_signers`` are for projects that are fetched
    (``sources.Fetching``); ``python_strict`` takes no other Python than the very version that an MLproject's
    ``python_env`` asks for. ``docker_arguments`` are MLflow's ``-A``; ``allowed_mounts`` is what the container of a
    fetched project may have of this machine (``environments.Policy``). ``tracking_uri`` is MLflow's, of a server to
    have the run too; empty: none.
    ``hermetic`` cuts the run off from what it does not declare (``None``: as the manifest says). ``again`` is the run
    that this one is to be the same as: its source is run in place of ``project``. With ``reuse`` a finished run of the
    same source, environment, values and inputs stands for this one. ``reports`` are files that are written about the
    run: no part of the source of the next.
    """

    project: str = "."
    entry_point: str | None = None
    given: Mapping[str, Given] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    policy: Policy = field(default_factory=Policy)
    environment_kind: str | None = None
    revision: str | None = None
    keep_tree: bool = False
    unpack_limit: int | None = None
    allowed_signers: Path | None = None
    python_strict: bool = False
    allowed_mounts: Sequence[str] = ()
    docker_arguments: Sequence[str] = ()
    name: str = ""
    experiment: str | None = None
    tracking_uri: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    store: Path | None = None
    command_line: str | None = None
    hermetic: bool | None = None
    again: Again | None = None
    reuse: bool = False
    reports: Sequence[Path] = ()


def check_labels(name: str, experiment: str | None, tags: Mapping[str, str]) -> None:
    """Raise ``UsageError`` for a name, an experiment or a tag that no table could show and no filter could ask for."""
    if experiment is not None and not experiment.strip():
        raise UsageError("the experiment's name is empty")
    for what, text in (("name", name), ("experiment", experiment or ""), *(("tag", tag) for tag in tags)):
        if len(text) > LONGEST_LABEL:
            raise UsageError(f"the {what} is longer than {LONGEST_LABEL} characters")
        if any(letter in text for letter in "\n\r\x00"):
            raise UsageError(f"the {what} `{one_line(text)}` holds a line break")
    for tag, value in tags.items():
        if len(value) > LONGEST_TAG_VALUE:
            raise UsageError(f"the value of the tag `{one_line(tag)}` is longer than {LONGEST_TAG_VALUE} characters")


def _nothing(_: str) -> None:
    return


@dataclass(frozen=True)
class Listener:
    """Who is told of a run's way.

    Of progress with the environment and the source, notices, what starts, bytes fetched, what a server is sent; and of
    the project's name, the entry point's and the run's secrets before it is begun, which an error raised there keeps
    from beginning; and of the id of the run that stands for it.
    """

    progress: Callable[[str], None] = _nothing
    notice: Callable[[str], None] = _nothing
    starting: Callable[[str], None] = _nothing
    fetched: Callable[[str, int, int | None], None] = lambda *_: None
    sourcing: Callable[[str], None] = _nothing
    sending: Callable[[str], None] = _nothing
    project: Callable[[str, str, Sequence[str]], None] = lambda *_: None
    reused: Callable[[str], None] = _nothing
