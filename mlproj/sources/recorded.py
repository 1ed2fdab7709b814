"""The source of a recorded run, had again in a tree of its own: from where it lay, or from where it came."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.files import copy_file
from mlproj.sources.digest import read_folder, source_files
from mlproj.sources.fetching import Fetching
from mlproj.sources.snapshot import Snapshot
from mlproj.sources.trees import Tree, claim_tree, release_tree
from mlproj.text import one_line


@dataclass(frozen=True)
class RecordedSource:
    """What a run's record says of its source.

    ``path`` is the project's folder on the machine that it ran on, ``brought`` a folder with the project's files that
    are kept with the run, or came with one from elsewhere. ``patch`` holds what a dirty tree changed; ``outputs`` do
    not belong to the digest of a folder.
    """

    kind: str
    path: Path
    commit: str | None = None
    branch: str | None = None
    revision: str | None = None
    remote: str | None = None
    subdirectory: str = ""
    dirty: bool = False
    digest: str | None = None
    patch: bytes = field(default=b"", repr=False)
    left_out: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    brought: Path | None = None


class SourceGoneError(SourceError):
    """A recorded source is not to be had any more, on this machine or at all."""

    exit_status = 125


def recreate(source: RecordedSource, fetching: Fetching) -> Snapshot:
    """The recorded source in a tree of its own, which the caller has to release.

    Its identity is the recorded one. Raises ``SourceGoneError`` saying where it was looked for.
    """
    reasons: list[str] = []
    for look in _PLACES:
        try:
            snapshot = look(source, fetching)
        except SourceError as error:
            reasons.append(error.message)
            continue
        if snapshot is not None:
            return replace(
                snapshot,
                kind=source.kind,
                commit=source.commit,
                branch=source.branch,
                remote=source.remote,
                revision=source.revision,
                subdirectory=source.subdirectory,
                dirty=source.dirty,
                patch=source.patch,
                left_out=source.left_out,
                digest=source.digest,
            )
    listed = "".join(f"\n  {reason}" for reason in reasons)
    raise SourceGoneError(f"the source {_named(source)} is not to be had{':' if reasons else ''}{listed}")


def _named(source: RecordedSource) -> str:
    if source.commit is not None:
        return f"(commit {source.commit[:12]})"
    return f"(sha256 {source.digest[:12]})" if source.digest else "of the run"


def _brought(source: RecordedSource, fetching: Fetching) -> Snapshot | None:
    if source.brought is None or not source.brought.is_dir():
        return None
    brought = source.brought
    if source.kind == "folder" and read_folder(brought, source.outputs).digest != source.digest:
        raise SourceError("the project's files that are kept with the run are not those that ran")

    def fill(folder: Path) -> None:
        shutil.copytree(brought, folder, symlinks=True)

    return _filled(source, "", fetching, fill)


def _commit_here(source: RecordedSource, fetching: Fetching) -> Snapshot | None:
    from mlproj.sources.git.trees import tree_of_folder

    if source.commit is None:
        return None
    top = _without(source.path, source.subdirectory)
    if top.is_relative_to(fetching.cache) and source.remote is not None:
        return None  # it was fetched, into a place where another run may be by now
    if not top.is_dir():
        if source.remote is None:
            raise SourceError(f"the repository it lay in, {one_line(top)}, is not there, and it has no remote")
        return None
    snapshot = tree_of_folder(top, source.subdirectory, replace(fetching, revision=source.commit))
    return _patched(source, snapshot)


def _without(path: Path, subdirectory: str) -> Path:
    """The repository's folder, of the project's folder within it."""
    for _ in Path(subdirectory).parts:
        path = path.parent
    return path


def _commit_there(source: RecordedSource, fetching: Fetching) -> Snapshot | None:
    if source.commit is None or source.remote is None:
        return None
    from mlproj.sources import take_snapshot

    address = f"{source.remote}#{source.subdirectory}" if source.subdirectory else source.remote
    return _patched(source, take_snapshot(address, (), replace(fetching, revision=source.commit)))


def _without_commit(source: RecordedSource, fetching: Fetching) -> Snapshot | None:
    """A repository that had no commit yet: all of it is in the patch."""
    if source.kind != "git" or source.commit is not None:
        return None

    from mlproj.sources.git.applying import apply_patch

    def fill(folder: Path) -> None:
        folder.mkdir(parents=True)
        apply_patch(source.patch, folder)

    return _filled(source, source.subdirectory, fetching, fill)


def _folder(source: RecordedSource, fetching: Fetching) -> Snapshot | None:
    if source.kind != "folder":
        return None
    if not source.path.is_dir():
        raise SourceError(f"the folder {one_line(source.path)} is not there")
    if read_folder(source.path, source.outputs).digest != source.digest:
        raise SourceError(
            f"the folder {one_line(source.path)} has changed since (a small one without secrets is kept with its runs; "
            "what they write is left out where `outputs` or a .gitignore names it; a git repository keeps what was)"
        )

    def fill(folder: Path) -> None:
        folder.mkdir(parents=True)
        _copy(source.path, source.outputs, folder)

    return _filled(source, "", fetching, fill)


def _archive(source: RecordedSource, fetching: Fetching) -> Snapshot | None:
    if source.kind != "archive" or source.remote is None:
        return None
    from mlproj.sources import take_snapshot

    address = f"{source.remote}#{source.subdirectory}" if source.subdirectory else source.remote
    snapshot = take_snapshot(address, (), fetching)
    if snapshot.digest != source.digest:
        if snapshot.tree is not None:
            release_tree(snapshot.tree)
        raise SourceError(f"the archive {one_line(source.remote)} is another one now")
    return snapshot


_PLACES: Sequence[Callable[[RecordedSource, Fetching], Snapshot | None]] = (
    _brought,
    _commit_here,
    _commit_there,
    _without_commit,
    _folder,
    _archive,
)


def _filled(source: RecordedSource, subdirectory: str, fetching: Fetching, fill: Callable[[Path], None]) -> Snapshot:
    from mlproj.sources.git.checkout import project_folder_in

    identity = f"recorded {source.path} {source.commit} {source.digest}"
    tree = claim_tree(fetching.cache, identity, keep=fetching.keep_tree)
    with _released_on_failure(tree):
        fill(tree.folder)
        return Snapshot(project_folder_in(tree.folder, subdirectory), source.kind, tree=tree)


def _patched(source: RecordedSource, snapshot: Snapshot) -> Snapshot:
    from mlproj.sources.git.applying import apply_patch
    from mlproj.sources.git.checkout import project_folder_in

    assert snapshot.tree is not None
    if not source.dirty:
        return snapshot
    with _released_on_failure(snapshot.tree):
        apply_patch(source.patch, snapshot.tree.folder)
        # What the patch has put there may be a link as well.
        project_folder_in(snapshot.tree.folder, source.subdirectory)
    return snapshot


@contextmanager
def _released_on_failure(tree: Tree) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # One that is to be kept would stay as it is.
        release_tree(replace(tree, kept=False))
        raise


def _copy(project: Path, outputs: Sequence[str], folder: Path) -> None:
    for name, entry in source_files(project, outputs):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.is_symlink():
            target.symlink_to(os.readlink(entry.path))  # noqa: PTH115  bytes that are no UTF-8 come through
        elif entry.is_file(follow_symlinks=False):
            copy_file(Path(entry.path), target)
