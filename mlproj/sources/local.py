"""Local folders (and files inside them): identified by git where there is a repository, else by their content."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from mlproj.errors import SourceError
from mlproj.sources.digest import read_folder
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.here import GitRefusal
from mlproj.sources.git.working_tree import describe_worktree, repository_above
from mlproj.sources.shown import shown_address
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line

# What a file may be called that somebody takes for a project, and that is none.
_FOREIGN_ARCHIVES = frozenset(
    (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".cab", ".jar", ".whl", ".deb", ".iso")
)


def recognises(uri: str, fetching: Fetching) -> bool:
    """Whether ``uri`` is a folder, or a file, of this machine, to be taken as it is now."""
    path = split_uri(uri)[0]
    return fetching.revision is None and is_here(path) and not is_bare_repository(Path(path).expanduser())


def is_here(uri: str) -> bool:
    """Whether there is a folder, or a file, of this name on this machine."""
    try:
        return bool(uri) and "\x00" not in uri and Path(uri).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, a user that is not there
        return False


def is_bare_repository(folder: Path) -> bool:
    """Whether a folder is a git repository without files of its own, which no project can be run in."""
    try:
        return (folder / "objects").is_dir() and (folder / "refs").is_dir() and (folder / "HEAD").is_file()
    except OSError:  # one that may not be looked into is told of where it is read
        return False


def split_uri(uri: str) -> tuple[str, str]:
    """The path in ``uri`` and the subdirectory after its ``#``; a ``file://`` folder in no repository is a path too."""
    if "#" not in uri and not uri.startswith("file://"):
        return uri, ""
    if is_here(uri):
        return uri, ""
    path, _, subdirectory = uri.partition("#")
    if uri.startswith("file:///"):
        folder = Path(unquote(path.removeprefix("file://")))
        if not is_here(str(folder)) or not folder.is_dir() or (folder / ".git").exists() or is_bare_repository(folder):
            return uri, ""
        path = str(folder)
    return (path, unquote(subdirectory)) if path and is_here(path) else (uri, "")


def project_folder(uri: str) -> Path:
    """The project's folder: ``uri`` itself, or the folder that the file it names lies in.

    Raises ``SourceError`` when there is no such folder.
    """
    name, subdirectory = split_uri(uri)
    path = _expanded(name)
    if subdirectory:
        from mlproj.sources.git.addresses import check_subdirectory

        path = path / check_subdirectory(subdirectory)
    folder = path if is_here(str(path)) and path.is_dir() else path.parent
    if not is_here(str(path)) or not folder.is_dir():
        raise SourceError(f"no folder `{shown_address(uri)}`")
    if path != folder and path.suffix.lower() in _FOREIGN_ARCHIVES:
        hint = "Known are .zip, .tar, .tar.gz, .tar.xz, .tar.zst and .tar.bz2."
        raise SourceError(f"`{one_line(uri)}` is no archive that mlproj unpacks", hint=hint)
    if not os.access(folder, os.R_OK | os.X_OK):
        raise SourceError(f"the folder `{one_line(folder)}` cannot be read: permission denied")
    try:
        absolute = folder.absolute()
    except FileNotFoundError:
        hint = "Change to another folder."
        raise SourceError("the folder that mlproj was started in is not there any more", hint=hint) from None
    # `..` cannot be taken out by its text alone where a link is on the way.
    return absolute.resolve() if ".." in absolute.parts else absolute


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~user, of a user that is not there
        return Path(name)


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
        content = read_folder(folder, outputs)
    except OSError as error:
        raise SourceError(f"the project cannot be read: {one_line(error)}") from None
    return Snapshot(
        folder,
        "folder",
        digest=content.digest,
        stamp=content.stamp,
        left_out=content.too_large,
        files=content.files,
        notes=notes,
    )
