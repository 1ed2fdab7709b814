"""Files below a folder by names that come from outside: no name leads out of it, and no link is followed.

What is in the folder may be a container's, whose links would lead through the files of this machine.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlproj.tracking.gateway.errors import MlflowError, invalid, missing

LONGEST_PATH = 1000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A file or folder in a listing; a folder has no size."""

    name: str
    size: int | None


def parts_of(path: str) -> list[str]:
    """The names that a path with slashes is made of. Raises ``MlflowError`` for one that could lead elsewhere."""
    parts = [each for each in path.split("/") if each]
    if len(path) > LONGEST_PATH or path.startswith("/") or any(each in (".", "..") or "\0" in each for each in parts):
        raise invalid(f"Invalid path: {path[:LONGEST_PATH]!r}")
    return parts


@contextmanager
def opened(root: Path, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """The descriptor of the folder ``parts`` below ``root``, made if ``make`` says so. Raises ``MlflowError``."""
    if make:
        root.mkdir(parents=True, exist_ok=True)
    descriptor = -1
    try:
        descriptor = os.open(root, _FOLDER)
        for part in parts:
            if make:
                _make(descriptor, part)
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    except (FileNotFoundError, NotADirectoryError):
        if descriptor >= 0:
            os.close(descriptor)
        raise missing(f"No such artifact: '{'/'.join(parts)}'") from None
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise invalid(f"'{'/'.join(parts)}': {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make(descriptor: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=descriptor)


def read(root: Path, parts: Sequence[str]) -> tuple[int, int]:
    """The descriptor of a regular file, to be closed by the caller, and its size in bytes. Raises ``MlflowError``."""
    if not parts:
        raise missing("No such artifact: ''")
    with opened(root, parts[:-1]) as folder:
        try:
            descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            raise missing(f"No such artifact: '{'/'.join(parts)}'") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise missing(f"No such artifact: '{'/'.join(parts)}' is no regular file")
    return descriptor, status.st_size


def place(root: Path, parts: Sequence[str], source: Path) -> None:
    """Move a whole file to its place, over one that is there. Raises ``MlflowError``."""
    if not parts:
        raise invalid("An artifact needs a name.")
    with opened(root, parts[:-1], make=True) as folder:
        try:
            os.replace(source, parts[-1], dst_dir_fd=folder)
        except OSError as error:
            raise invalid(f"'{'/'.join(parts)}': {error.strerror}") from None


def listing(root: Path, parts: Sequence[str]) -> list[Entry]:
    """What is in a folder, by name; nothing when it is a file or is not there."""
    try:
        with opened(root, parts) as folder, os.scandir(folder) as entries:
            found = [Entry(each.name, _size(each)) for each in entries if not each.is_symlink()]
    except MlflowError:
        return []
    return sorted(found, key=lambda each: each.name)


def _size(entry: os.DirEntry[str]) -> int | None:
    return None if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size


def remove(root: Path, parts: Sequence[str]) -> None:
    """Remove a file, or a folder with all that is in it. Raises ``MlflowError``."""
    if not parts:
        raise invalid("The folder of all artifacts is not to be removed.")
    with opened(root, parts[:-1]) as folder:
        try:
            if stat.S_ISDIR(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                _remove_folder(parts[-1], folder)
            else:
                os.unlink(parts[-1], dir_fd=folder)
        except FileNotFoundError:
            raise missing(f"No such artifact: '{'/'.join(parts)}'") from None
        except OSError as error:
            raise invalid(f"'{'/'.join(parts)}': {error.strerror}") from None


def _remove_folder(name: str, parent: int) -> None:
    # `shutil.rmtree` takes a folder's descriptor only since Python 3.11.
    for _, folders, files, folder in os.fwalk(name, topdown=False, follow_symlinks=False, dir_fd=parent):
        for each in files:
            os.unlink(each, dir_fd=folder)
        for each in folders:
            try:
                os.rmdir(each, dir_fd=folder)
            except NotADirectoryError:  # a link to one
                os.unlink(each, dir_fd=folder)
    os.rmdir(name, dir_fd=parent)
