"""The project's files and inputs as a recorded run had them, found again on this machine, or where they came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj.errors import MlprojError, SourceError
from mlproj.files import sha256_of_file
from mlproj.locations import cache_folder, store_folder
from mlproj.runs.inputs import hash_inputs
from mlproj.runs.layout import RunFiles
from mlproj.runs.paths import expand
from mlproj.runs.record import RunRecord
from mlproj.sharing.contents import ProjectFiles, names_below
from mlproj.sources import Fetching, Snapshot, release_tree, take_snapshot
from mlproj.sources.digest import digest_of_folder, files_of_folder
from mlproj.text import one_line


@dataclass(frozen=True)
class Recorded:
    """The project's files, if they are to be had; ``problem`` says why they are not, or what they lack."""

    project: ProjectFiles | None = None
    problem: str | None = None


@contextmanager
def recorded_project(record: RunRecord, files: RunFiles, fetching: Fetching) -> Iterator[Recorded]:
    """The project's files as the run had them, for the length of a ``with`` block."""
    if files.source.is_dir():
        yield Recorded(ProjectFiles(files.source, tuple(names_below(files.source))))
        return
    if record.imported is not None:
        yield Recorded(problem="the run came here without its source")
        return
    snapshot = None
    try:
        if record.source.kind == "folder":
            recorded = Recorded(_folder_as_it_was(record))
        else:
            snapshot = _fetched(record, files, fetching)
            names = (name for name in names_below(snapshot.folder) if ".git" not in name.split("/"))
            recorded = Recorded(ProjectFiles(snapshot.folder, tuple(names)), _lacks(record))
    except MlprojError as error:
        recorded = Recorded(problem=error.message)
    except OSError as error:
        recorded = Recorded(problem=f"the source cannot be read: {error.strerror or one_line(error)}")
    try:
        yield recorded
    finally:
        if snapshot is not None and snapshot.tree is not None:
            release_tree(snapshot.tree)


def _lacks(record: RunRecord) -> str | None:
    left = record.source.left_out
    return f"the source lacks what was too large for the patch: {', '.join(map(one_line, left[:3]))}" if left else None


def _folder_as_it_was(record: RunRecord) -> ProjectFiles:
    folder = Path(record.source.path)
    shown = one_line(folder)
    if not record.source.path or not folder.is_dir():
        raise SourceError(f"the source is gone: there is no folder {shown}")
    outputs = _made_by_runs(record, folder)
    if record.source.digest is None or digest_of_folder(folder, outputs)[0] != record.source.digest:
        raise SourceError(f"the source has changed since: {shown}")
    return ProjectFiles(folder, files_of_folder(folder, outputs))


def _made_by_runs(record: RunRecord, folder: Path) -> list[str]:
    """What of a folder was no part of its digest: the entry point's declared outputs, and mlproj's own folders."""
    from mlproj.api.checked import checked_manifest

    try:
        entry_points = checked_manifest(folder, cache_folder()).manifest.entry_points
        declared = [each.path for each in entry_points[record.entry_point].outputs.values()]
    except (MlprojError, KeyError):
        declared = [each.path for each in record.outputs if each.name]
    own = [each for each in (store_folder(), cache_folder()) if each.is_relative_to(folder)]
    return [*declared, *(each.relative_to(folder).as_posix() for each in own)]


def _fetched(record: RunRecord, files: RunFiles, fetching: Fetching) -> Snapshot:
    """The commit or archive in a tree of its own, with the changes that the run had."""
    source = record.source
    if source.dirty and source.patch is None and not source.left_out:
        raise SourceError("the source had changes since its commit, and their patch was not kept")
    place = f"{source.remote}#{source.subdirectory}" if source.subdirectory else source.remote
    if source.kind == "archive":
        if place is None:
            raise SourceError("the record does not say where the archive was")
        snapshot = take_snapshot(place, (), fetching)
        if snapshot.digest != source.digest:
            _let_go(snapshot)
            raise SourceError(f"the archive {one_line(source.remote)} has changed since")
        return snapshot
    if source.commit is None:
        raise SourceError("the repository had no commit yet")
    snapshot = _at_commit(record, place, replace(fetching, revision=source.commit))
    try:
        if source.patch is not None:
            _apply(files.folder / source.patch, source.patch_sha256, snapshot)
    except BaseException:
        _let_go(snapshot)
        raise
    return snapshot


def _at_commit(record: RunRecord, place: str | None, fetching: Fetching) -> Snapshot:
    from mlproj.sources.git.trees import tree_of_folder
    from mlproj.sources.git.working_tree import repository_above

    folder = Path(record.source.path)
    problem = SourceError(f"the source is gone: {one_line(folder)} is in no git repository any more")
    if repository_above(folder) is not None:
        try:
            return tree_of_folder(folder, "", fetching)
        except SourceError as error:
            problem = error
    if place is None:
        raise problem
    try:
        # What was fetched for a run is mostly still in the cache.
        return take_snapshot(place, (), replace(fetching, offline=True))
    except SourceError:
        if fetching.offline:
            raise problem from None
    return take_snapshot(place, (), fetching)


def _apply(patch: Path, sha256: str | None, snapshot: Snapshot) -> None:
    from mlproj.sources.git.process import GitFailed, ask_git, git_environment

    assert snapshot.tree is not None
    if not patch.is_file() or sha256_of_file(patch) != sha256:
        raise SourceError("the patch of the source's changes is gone or damaged")
    top = snapshot.tree.folder
    try:
        ask_git(["apply", "--whitespace=nowarn", "--", patch], git_environment(), top)
    except GitFailed as failure:
        raise SourceError(f"the patch of the source's changes does not apply: {one_line(failure)}") from None


def _let_go(snapshot: Snapshot) -> None:
    if snapshot.tree is not None:
        release_tree(snapshot.tree)


def recorded_inputs(
    record: RunRecord, files: RunFiles, project: ProjectFiles | None
) -> tuple[ProjectFiles | None, list[str]]:
    """The declared inputs that are no part of the project's files and still what the run read; and what to tell."""
    if files.inputs.is_dir():
        return ProjectFiles(files.inputs, tuple(names_below(files.inputs))), []
    if record.imported is not None or not record.inputs:
        return None, []
    folder = Path(record.source.path)
    known = set(project.names) if project is not None else set()
    names: dict[str, None] = {}
    notices = []
    for declared in record.inputs:
        found = [each.path for each in expand(declared.path, folder, None).files]
        if found and known.issuperset(found):
            continue
        hashed = hash_inputs([declared.path], folder, cache_folder())
        shown = one_line(declared.path)
        if not hashed.inputs or hashed.inputs[0].sha256 != declared.sha256:
            notices.append(f"the input {shown} is left out: it is gone, or has changed since")
        elif any(name.startswith(("/", "../")) for name in found):
            notices.append(f"the input {shown} is left out: it is outside of the project")
        else:
            names |= dict.fromkeys(name for name in found if name not in known)
    return (ProjectFiles(folder, tuple(names)) if names else None), notices
