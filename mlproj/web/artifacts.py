"""The files that a run left: which there are, opening one without being led out of its folder, all of them as a zip."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mlproj.web.errors import PageError

_CHUNK = 256 * 1024
_MOST_LISTED = 5000


@dataclass(frozen=True)
class Entry:
    """A file or a folder of the artifacts: ``path`` below them, ``entries`` of a folder; what is neither has none."""

    name: str
    path: str
    kind: str
    size: int = 0
    entries: list[Entry] = field(default_factory=list)


def artifact_tree(folder: Path) -> list[Entry]:
    """The artifacts as a tree, folders first; links are named and not followed. At most so many files."""
    return _entries(folder, "", [_MOST_LISTED])


def _entries(folder: Path, below: str, left: list[int]) -> list[Entry]:
    found = []
    try:
        scanned = sorted(os.scandir(folder), key=lambda each: each.name)
    except OSError:
        return []
    for each in scanned:
        left[0] -= 1
        if left[0] < 0:
            break
        path = f"{below}{each.name}"
        if each.is_dir(follow_symlinks=False):
            inner = _entries(folder / each.name, f"{path}/", left)
            found.append(Entry(each.name, path, "folder", sum(entry.size for entry in inner), inner))
        elif each.is_file(follow_symlinks=False):
            found.append(Entry(each.name, path, "file", each.stat(follow_symlinks=False).st_size))
        else:
            found.append(Entry(each.name, path, "other"))
    return sorted(found, key=lambda entry: entry.kind != "folder")


def files_in(entries: list[Entry]) -> Iterator[Entry]:
    """The files of a tree, in its order."""
    for entry in entries:
        if entry.kind == "file":
            yield entry
        yield from files_in(entry.entries)


def open_artifact(folder: Path, path: str) -> IO[bytes]:
    """Open a file below ``folder`` for reading. Raises PageError when there is none.

    Each folder on the way is opened from the one before it, and no link is followed: whatever a run writes there, or
    changes meanwhile, nothing outside is read.
    """
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise PageError(404, "There is no such file.")
    opened: list[int] = []
    try:
        opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            opened.append(os.open(part, flags, dir_fd=opened[-1]))
        # A pipe would be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(parts[-1], flags, dir_fd=opened[-1])
    except (OSError, UnicodeEncodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EACCES:
            raise PageError(403, "This file cannot be read.") from None
        raise PageError(404, "There is no such file.") from None
    finally:
        for each in opened:
            os.close(each)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PageError(404, "There is no such file.")
    return os.fdopen(descriptor, "rb")


def read_chunks(stream: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    """The bytes of an open file from ``start`` to before ``end``; it is closed at the end."""
    with stream:
        stream.seek(start)
        left = end - start
        while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


class _Pipe:
    """What a zip is written to, and taken from again: it cannot be sought in, so that nothing has to be kept."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(data)

    def tell(self) -> int:
        """No place: what has been written is gone."""
        raise OSError

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        parts, self.parts = self.parts, []
        return b"".join(parts)


def zip_chunks(folder: Path, entries: list[Entry]) -> Iterator[bytes]:
    """A zip of files below ``folder``, as it is made: not compressed, as models and images are so already."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for entry in files_in(entries):
            with suppress(PageError), open_artifact(folder, entry.path) as source:
                # The surrogates that stand for bytes of a name that is no UTF-8 have no place in a zip.
                name = entry.path.encode("utf-8", "backslashreplace").decode()
                information = zipfile.ZipInfo(name)
                information.external_attr = 0o644 << 16
                with archive.open(information, "w", force_zip64=True) as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                        yield pipe.taken()
    yield pipe.taken()
