"""The outputs of a run put back to where it had written them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mlproj.api.resolution import Resolved
from mlproj.environments.scratch import scratch_folder
from mlproj.errors import MlprojError
from mlproj.files import copy_file, sha256_of_file
from mlproj.runs.paths import expand
from mlproj.runs.record import FileRecord, RunRecord
from mlproj.runs.store import Store, files_of
from mlproj.text import listed, one_line

# In no source and no output, so that what a killed process leaves in it is taken for neither.
_OWN_FOLDER = ".mlproj"
_ATTEMPTS = 5


def declared_files(record: RunRecord) -> list[FileRecord]:
    """The files of the outputs that a run's entry point declares."""
    return [file for output in record.outputs if output.name for file in output.files]


def written_files(record: RunRecord) -> list[FileRecord]:
    """Those of the declared files that the run wrote itself: others in their places were there before it."""
    return [
        file for output in record.outputs if output.name for file in output.files if file.path not in output.unwritten
    ]


def another_below(record: RunRecord, project: Path) -> str | None:
    """A file that the run found in the place of an output, and left, and that is another one now."""
    found = {file.path: file.sha256 for file in declared_files(record)}
    names = [name for output in record.outputs for name in output.unwritten]
    return next((name for name in names if not is_there(project / name, found.get(name, ""))), None)


def put_back(store: Store, record: RunRecord, resolved: Resolved) -> str:
    """Copy the declared outputs into the project. What is there already as it should be stays.

    Gives, in words, the files in their places that are none of the run's: nothing is removed. Raises ``MlprojError``.
    """
    folder, project = files_of(store, record.id).artifacts, resolved.loaded.folder
    top = Path(os.path.realpath(project))
    wanted = [each for each in written_files(record) if not is_there(project / each.path, each.sha256)]
    for file in wanted:
        if not Path(os.path.realpath((project / file.path).parent)).is_relative_to(top):
            raise MlprojError(f"the output {one_line(file.path)} would be put outside of the project")
    if wanted:
        with _scratch_in(project) as scratch:
            for file in wanted:
                _put(folder / file.path, scratch / "part", project / file.path, one_line(file.path))
    for output in record.outputs:
        if output.path.endswith("/") and not output.files:
            (project / output.path).mkdir(parents=True, exist_ok=True)
    return _others(record, resolved)


@contextmanager
def _scratch_in(project: Path) -> Iterator[Path]:
    """A folder on the project's file system, from which files can be moved to their places whole."""
    own = project / _OWN_FOLDER
    held = ExitStack()
    for attempt in range(_ATTEMPTS):
        try:
            scratch = held.enter_context(scratch_folder(own))
            break
        except OSError as error:
            # Another mlproj that has just put outputs back may be removing what is empty.
            if not isinstance(error, FileNotFoundError) or attempt + 1 == _ATTEMPTS:
                told = one_line(error.strerror or error)
                raise MlprojError(f"outputs cannot be put back into {one_line(project)}: {told}") from None
    try:
        with held:
            yield scratch
    finally:
        for left in (own / "scratch", own):
            with suppress(OSError):
                left.rmdir()


def is_there(target: Path, sha256: str) -> bool:
    """Whether a regular file with these bytes is at a place."""
    try:
        return not target.is_symlink() and sha256_of_file(target) == sha256
    except OSError:
        return False


def _put(kept: Path, scratch: Path, target: Path, shown: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(kept, scratch)
        scratch.replace(target)
    except OSError as error:
        raise MlprojError(f"the output {shown} cannot be put back: {one_line(error.strerror or error)}") from None


def _others(record: RunRecord, resolved: Resolved) -> str:
    known = {file.path for file in declared_files(record)}
    found = [
        each.path
        for output in resolved.entry_point.outputs.values()
        for each in expand(output.path, resolved.loaded.folder, None).files
        if each.path not in known
    ]
    return listed(found)
