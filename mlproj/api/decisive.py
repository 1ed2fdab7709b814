"""What decides a run's result beside source, environment, values and inputs: by its digest, or why it has none."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mlproj.api.resolution import Resolved
from mlproj.environments.environment import Environment
from mlproj.files import sha256_of_file
from mlproj.locations import cache_folder
from mlproj.runs.inputs import digest_of_input
from mlproj.runs.record import OF_CALLER, STANDARD_INPUT, RunRecord
from mlproj.text import listed

# What stands in the names of outputs that the entry point writes too: they are others when it has run.
BEFORE = " before"
_EPOCH = "SOURCE_DATE_EPOCH"
_IMPORTS = "PYTHONPATH"


def decisive(resolved: Resolved, environment: Environment, caller: Mapping[str, str]) -> dict[str, str]:
    """What else decides, by name, for the run's record and its key.

    ``caller`` are the variables that the command has from whoever starts it. Raises OSError.
    """
    # The manifest may be ignored by git, and what is in it besides is in no other part of the key.
    path = resolved.loaded.path
    found = {"manifest": sha256_of_file(path)} if path.is_file() else {}  # a script runs without one
    if _EPOCH in caller and _EPOCH not in resolved.entry_point.environment_variables:
        found[_EPOCH] = caller[_EPOCH]
    if environment.kind == "system":
        found["PATH"] = caller.get("PATH", "")
        found |= dict(_programs(resolved, caller))
    if value := resolved.entry_point.environment_variables.get(_IMPORTS, caller.get(_IMPORTS)):
        found[_IMPORTS] = value
    if _has_data(0):
        found[STANDARD_INPUT] = "not recorded"
    if taken := _taken_from_caller(resolved):
        # Their values may be anybody's secrets: it is recorded which they are, and not what.
        found[OF_CALLER] = ", ".join(taken)
    return found | dict(_outputs_of_others(resolved))


def _taken_from_caller(resolved: Resolved) -> list[str]:
    """The variables that a container has from whoever starts it, and whose values no record holds."""
    docker = resolved.environment.docker
    known = (*resolved.entry_point.environment_variables, *resolved.reproducibility.variables)
    return [each for each in (docker.environment if docker else ()) if isinstance(each, str) and each not in known]


def with_decisive(record: RunRecord, found: Mapping[str, str]) -> RunRecord:
    """The record with what else decides."""
    asked = record.request
    return record if asked is None else replace(record, request=replace(asked, decided_by=dict(sorted(found.items()))))


def _programs(resolved: Resolved, caller: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The file that the command's first word stands for, told apart by size and time."""
    name = resolved.command.argv[0]
    # A path within the project may be of a file that git ignores.
    place = shutil.which(name if "/" not in name else resolved.loaded.folder / name, path=caller.get("PATH"))
    if place is not None:
        real = Path(os.path.realpath(place))
        status = real.stat()
        yield f"program {name}", f"{real} {status.st_size} {status.st_mtime_ns}"


def _outputs_of_others(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """What other entry points have left: git ignores it mostly, and a command may read it.

    One that declares ``inputs`` is taken at its word.
    """
    own = {each.path for each in resolved.entry_point.outputs.values()}
    known = set[str]()
    for name, entry_point in resolved.loaded.manifest.entry_points.items():
        for output in entry_point.outputs.values() if entry_point != resolved.entry_point else ():
            # What both write one may have from the other, whatever it declares.
            if output.path in known or (resolved.entry_point.inputs and output.path not in own):
                continue
            known.add(output.path)
            digest = digest_of_input(output.path, resolved.loaded.folder, cache_folder())
            if digest is not None:
                yield f"{output.path}{BEFORE if output.path in own else ''}, an output of {name}", digest


def undecided(resolved: Resolved, environment: Environment, found: Mapping[str, str]) -> Iterator[str]:
    """What may decide and has no digest, each in words: a run with any of it stands for no other.

    ``found`` is what ``decisive`` gave. Raises OSError.
    """
    snapshot = resolved.snapshot
    if snapshot.left_out:
        yield f"its source has changes of which no digest is kept: {listed(snapshot.left_out)}"
    if links := sorted(_links_outside(resolved)):
        yield f"links in the project lead outside of it: {listed(links)} (`inputs` would have a digest)"
    if snapshot.kind == "git" and snapshot.tree is None:
        from mlproj.sources.git.here import GitRefusal
        from mlproj.sources.git.working_tree import changed_submodules, unwatched_files

        try:
            unwatched, inner = unwatched_files(snapshot.folder), changed_submodules(snapshot.folder)
        except GitRefusal:
            unwatched, inner = [], []
        if inner:
            yield f"repositories within it have changes of which no digest is kept: {listed(inner)}"
        if unwatched:
            yield f"git is told (`git update-index`) to look away from changes: {listed(unwatched)}"
    if STANDARD_INPUT in found:
        yield "there is something on its standard input, which no record holds"
    imports = found.get(_IMPORTS, "").split(os.pathsep)
    if outside := [each for each in imports if each and not _is_inside(resolved.loaded.folder / each, resolved)]:
        yield f"${_IMPORTS} leads outside of the project: {listed(outside)}"
    yield from _undecided_of_environment(resolved, environment)


def _undecided_of_environment(resolved: Resolved, environment: Environment) -> Iterator[str]:
    docker = resolved.environment.docker
    if docker is not None:
        from mlproj.environments.images.container import read_volume

        volumes = [read_volume(each, resolved.loaded.folder) for each in docker.volumes]
        if outside := [each.source for each in volumes if not _is_inside(Path(each.source), resolved)]:
            yield f"its container has folders or volumes that are no part of the project: {listed(outside)}"
        if taken := _taken_from_caller(resolved):
            told = "under `reproducibility: {variables: […]}` they would be recorded"
            yield f"its container has variables of the caller's: {listed(taken)} ({told})"
    if environment.kind == "virtualenv" and environment.lock_text is not None:
        from mlproj.environments.lockfile import local_places, parse_lock

        folder, places = resolved.loaded.folder, local_places(parse_lock(environment.lock_text))
        if outside := [
            each for each, editable in places.items() if editable and not _is_inside(folder / each, resolved)
        ]:
            yield f"packages are installed as they are in folders outside of the project: {listed(outside)}"


def _links_outside(resolved: Resolved) -> Iterator[str]:
    from mlproj.sources.digest import source_files

    declared = [each.path for each in resolved.entry_point.outputs.values()]
    for name, entry in source_files(resolved.loaded.folder, [*declared, *resolved.entry_point.inputs]):
        if entry.is_symlink():
            # Also what is beside the project in its repository may be ignored, or new.
            place = Path(os.path.realpath(entry.path))
            if not place.is_relative_to(os.path.realpath(resolved.loaded.folder)):
                yield name


def _is_inside(path: Path, resolved: Resolved) -> bool:
    """Whether a path is, behind its links, in the project, or in the repository that the project is a part of."""
    top = resolved.loaded.folder
    for _ in Path(resolved.snapshot.subdirectory).parts:
        top = top.parent
    place = os.path.realpath(path)
    return path.is_absolute() and Path(place).is_relative_to(os.path.realpath(top))


def _has_data(descriptor: int) -> bool:
    """Whether a file is at a descriptor, or bytes wait in a pipe there. A terminal is somebody who may type."""
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > os.lseek(descriptor, 0, os.SEEK_CUR)
        if not stat.S_ISFIFO(status.st_mode):
            return False
        import fcntl
        import termios

        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    except OSError:
        return False
    return any(waiting)
