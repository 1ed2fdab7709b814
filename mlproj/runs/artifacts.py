"""Keeping what a run wrote: its declared outputs, copied into its artifacts folder, and
what it put there itself.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.files import copy_file, sha256_of_file
from mlproj.runs.paths import FoundFile, expand
from mlproj.runs.record import FileRecord, OutputRecord
from mlproj.text import one_line, plural

# Weights & Biases puts a link to the log of all its runs into each.
_SHARED_LOG = re.compile(r"wandb/[^/]+/logs/[^/]+")
Signature = tuple[int, int, int, int]


@dataclass(frozen=True)
class OutputRequest:
    """An output as declared: ``path`` is a file, a folder or a glob in the project."""

    name: str
    path: str
    kind: str = "artifact"
    optional: bool = False


@dataclass(frozen=True)
class Collected:
    """The outputs kept; ``problems`` fail the run, ``notes`` are for the user to know."""

    outputs: list[OutputRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def signatures(requests: Iterable[OutputRequest], project: Path, excluded: Sequence[Path] = ()) -> dict[str, Signature]:
    """What tells whether a file was written since: of every output that is there, before a run begins.

    Inode, size and the times of the last change, compared for being the same: a clock, which a network disk may
    have one of its own, has no part in it.
    """
    return {
        found.path: _signature(found.status)
        for request in requests
        for found in expand(request.path, project, project, excluded).files
    }


def _signature(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def collect(
    requests: Iterable[OutputRequest],
    project: Path,
    artifacts: Path,
    *,
    before: Mapping[str, Signature],
    excluded: Sequence[Path] = (),
) -> Collected:
    """Copy the outputs that are in ``project`` into ``artifacts`` under their paths in the project.

    ``before`` are the ``signatures`` from before the run: an output of which the run has written nothing is not its
    own, and is missing. ``excluded`` are folders never looked into, such as the store. A file in two outputs is
    copied once. One that the entry point put into ``artifacts`` itself under the same path stays, and the output is
    kept as ``name~2.ext``. A disk that is full or a file that cannot be read is a problem, not an exception.
    """
    collected = Collected()
    logged = sorted(_logged_files(artifacts))
    copies: dict[str, FileRecord] = {}
    for request in requests:
        expansion = expand(request.path, project, project, [*excluded, artifacts])
        collected.notes.extend(f"output {one_line(request.name)}: {note}" for note in expansion.notes)
        path = one_line(request.path)
        old = [each for each in expansion.files if before.get(each.path) == _signature(each.status)]
        leftover = bool(old) and len(old) == len(expansion.files)
        if leftover:
            said = f"output {one_line(request.name)}: {path} was there before the run, which did not write it"
            (collected.notes if request.optional else collected.problems).append(said)
            continue
        if not expansion.exists:
            if not request.optional:
                collected.problems.append(f"output {one_line(request.name)}: {path} was not written by the run")
            continue
        copied = [_kept(found, project, artifacts, copies, collected, request) for found in expansion.files]
        kept = [each for each in copied if each is not None]
        _note_old(request, old, collected)
        size = sum(each.size for each in kept)
        unwritten = [each.path for each in old]
        collected.outputs.append(OutputRecord(request.name, request.path, request.kind, size, kept, unwritten))
    own = [each for each in (_own(artifacts, path, collected) for path in logged) if each is not None]
    if own:
        collected.outputs.append(OutputRecord("", "", "artifact", sum(each.size for each in own), own))
    return collected


def _kept(
    found: FoundFile,
    project: Path,
    artifacts: Path,
    copies: dict[str, FileRecord],
    collected: Collected,
    request: OutputRequest,
) -> FileRecord | None:
    if found.path in copies:
        return copies[found.path]
    target = _free(artifacts / found.path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(project / found.path, target)
        path = target.relative_to(artifacts).as_posix()
        copies[found.path] = FileRecord(path, target.stat().st_size, sha256_of_file(target))
    except OSError as error:
        # Half a file would pass for a whole one.
        with suppress(OSError):
            target.unlink()
        reason = one_line(error.strerror or error)
        collected.problems.append(f"output {one_line(request.name)}: {one_line(found.path)} was not kept: {reason}")
        return None
    return copies[found.path]


def _free(target: Path) -> Path:
    candidate, count = target, 2
    while os.path.lexists(candidate):
        candidate, count = target.with_name(f"{target.stem}~{count}{target.suffix}"), count + 1
    return candidate


def _note_old(request: OutputRequest, old: list[FoundFile], collected: Collected) -> None:
    if old:
        first = one_line(old[0].path)
        which = first if len(old) == 1 else f"{plural(len(old), 'file')} ({first}, …)"
        collected.notes.append(f"output {one_line(request.name)}: {which} was there before the run and is unchanged")


def _logged_files(artifacts: Path) -> list[str]:
    found = []
    for root, _, names in os.walk(artifacts):
        found += [os.path.relpath(os.path.join(root, name), artifacts) for name in names]  # noqa: PTH118  texts
    return found


def _own(artifacts: Path, path: str, collected: Collected) -> FileRecord | None:
    target = artifacts / path
    try:
        mode = target.lstat().st_mode
        if stat.S_ISLNK(mode) and (_SHARED_LOG.fullmatch(path) or target.resolve().is_relative_to(artifacts.resolve())):
            return None  # another name of what is kept
        if not stat.S_ISREG(mode):
            collected.notes.append(f"artifact {one_line(path)} is no regular file and is not recorded")
            return None
        return FileRecord(Path(path).as_posix(), target.stat().st_size, sha256_of_file(target))
    except OSError as error:
        collected.notes.append(f"artifact {one_line(path)} is not recorded: {one_line(error.strerror or error)}")
        return None
