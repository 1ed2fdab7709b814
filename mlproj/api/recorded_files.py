"""The project's files and inputs as a recorded run had them, found again on this machine, or where they came from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlproj.api.projects import abandon
from mlproj.api.recreation import recorded_source
from mlproj.errors import MlprojError
from mlproj.locations import cache_folder
from mlproj.parameters.values import is_url
from mlproj.runs.inputs import digest_of_input
from mlproj.runs.layout import RunFiles
from mlproj.runs.paths import expand
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store
from mlproj.sharing.contents import ProjectFiles, names_below
from mlproj.sources import Fetching
from mlproj.sources.recorded import RecordedSource, recreate
from mlproj.text import one_line


@dataclass(frozen=True)
class Recorded:
    """The project's files, if they are to be had; ``problem`` says why they are not, or what they lack.

    ``folder`` is where the project lay, if that is known and not another run's by now.
    """

    project: ProjectFiles | None = None
    problem: str | None = None
    folder: Path | None = None


@contextmanager
def recorded_project(store: Store, record: RunRecord, files: RunFiles, fetching: Fetching) -> Iterator[Recorded]:
    """The project's files as the run had them, for the length of a ``with`` block."""
    if record.imported is not None and files.source.is_dir():
        yield Recorded(ProjectFiles(files.source, tuple(names_below(files.source))))
        return
    if record.imported is not None:
        yield Recorded(problem="the run came here without its source")
        return
    snapshot, folder = None, None
    try:
        source = recorded_source(store, record, files)
        folder = source.path if record.source.path else None
        snapshot = recreate(source, fetching)
        names = (name for name in names_below(snapshot.folder) if ".git" not in name.split("/"))
        recorded = Recorded(ProjectFiles(snapshot.folder, tuple(names)), _lacks(source), folder)
    except MlprojError as error:
        recorded = Recorded(None, " ".join(each.strip() for each in error.message.splitlines()), folder)
    except OSError as error:
        recorded = Recorded(None, f"the source cannot be read: {error.strerror or one_line(error)}", folder)
    try:
        yield recorded
    finally:
        if snapshot is not None:
            abandon(snapshot)


def _lacks(source: RecordedSource) -> str | None:
    left = source.left_out
    return f"the source lacks what its patch does not hold: {', '.join(map(one_line, left[:3]))}" if left else None


def recorded_inputs(record: RunRecord, files: RunFiles, recorded: Recorded) -> tuple[ProjectFiles | None, list[str]]:
    """The declared inputs that are no part of the project's files and still what the run read; and what to tell."""
    if files.inputs.is_dir():
        return ProjectFiles(files.inputs, tuple(names_below(files.inputs))), []
    notices = [
        f"the input {one_line(each.path)} is left out: it is outside of the project"
        for each in record.inputs
        if _is_outside(each.path)
    ]
    declared = [each for each in record.inputs if not (_is_outside(each.path) or is_url(each.path))]
    if recorded.folder is None:
        return None, notices
    folder = recorded.folder
    project = recorded.project
    known = set(project.names) if project is not None else set()
    names: dict[str, None] = {}
    for wanted in declared:
        if project is not None and digest_of_input(wanted.path, project.folder, cache_folder()) == wanted.sha256:
            continue
        found = [each.path for each in expand(wanted.path, folder, None).files]
        if not found or digest_of_input(wanted.path, folder, cache_folder()) != wanted.sha256:
            notices.append(f"the input {one_line(wanted.path)} is left out: it is gone, or has changed since")
        else:
            names |= dict.fromkeys(name for name in found if name not in known)
    return (ProjectFiles(folder, tuple(names)) if names else None), notices


def _is_outside(path: str) -> bool:
    """Whether a recorded input lies outside of the project; what a URL names whoever runs it fetches."""
    return path.startswith(("/", "file:")) or os.path.normpath(path).split("/")[0] == ".."
