"""Local folders (and files inside them): identified by git where there is a repository, else by their content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.digest import digest_of_folder
from mlproj.sources.fetching import Fetching
from mlproj.sources.git import GitRefusal, describe_worktree, repository_above
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line


def recognises(uri: str, fetching: Fetching) -> bool:
    """Whether ``uri`` is a folder, or a file, of this machine, to be taken as it is now."""
    return fetching.revision is None and is_here(uri)


def is_here(uri: str) -> bool:
    """Whether there is a folder, or a file, of this name on this machine."""
    return "\x00" not in uri and Path(uri).expanduser().exists()


def project_folder(uri: str) -> Path:
    """The project's folder: ``uri`` itself, or the folder that the file it names lies in.

    Raises ``SourceError`` when there is no such folder.
    """
    path = Path(uri).expanduser()
    folder = path if path.is_dir() else path.parent
    if not is_here(uri) or not folder.is_dir():
        raise SourceError(f"no folder `{one_line(uri)}`")
    absolute = Path.cwd() / folder
    # `..` cannot be taken out by its text alone where a link is on the way.
    return absolute.resolve() if ".." in absolute.parts else absolute


def fetch(uri: str, outputs: Sequence[str], _: Fetching) -> Snapshot:
    """The folder as it is now; nothing in it is written. What a run leaves in ``outputs`` is no part of its source.

    Raises ``SourceError`` when it cannot be read.
    """
    folder = project_folder(uri)
    notes: tuple[str, ...] = ()
    try:
        if repository_above(folder) is not None:
            try:
                return describe_worktree(folder, outputs)
            except GitRefusal as refusal:
                notes = (f"not identified by git: {refusal}",)
        digest, left_out = digest_of_folder(folder, outputs)
    except OSError as error:
        raise SourceError(f"the project cannot be read: {one_line(error)}") from None
    return Snapshot(folder, "folder", digest=digest, left_out=left_out, notes=notes)
