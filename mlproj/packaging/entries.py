"""What goes into an archive, as values, and writing it so that the same entries give the same bytes anywhere."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlproj.errors import PackagingError
from mlproj.files import CHUNK
from mlproj.packaging.behind import Behind
from mlproj.text import one_line

# 1 January 1980, in UTC: the earliest time that a zip can hold, which a wheel built from unpacked files is.
FIXED_TIME = 315532800


@dataclass(frozen=True)
class Entry:
    """One file of an archive: its name there, and a file of this machine, a content, or where a link leads."""

    name: str
    path: Path | None = None
    content: bytes | None = None
    target: str | None = None
    executable: bool = False
    size: int = 0


class ChangedMeanwhileError(PackagingError):
    """A file that changed while it was being packed."""


def write_entry(tar: tarfile.TarFile, entry: Entry, *, time: int = FIXED_TIME, user: int = 0) -> str | None:
    """Write an entry, without anything of this machine in its header; gives the SHA-256 of a file's content.

    Raises ``ChangedMeanwhileError``, and ``OSError`` for what cannot be read or written.
    """
    header = tarfile.TarInfo(entry.name)
    header.mtime = time
    header.uid = header.gid = user
    if entry.target is not None:
        header.type, header.linkname, header.mode = tarfile.SYMTYPE, entry.target, 0o777
        tar.addfile(header)
        return None
    header.mode = 0o755 if entry.executable else 0o644
    if entry.content is not None:
        header.size = len(entry.content)
        tar.addfile(header, io.BytesIO(entry.content))
        return hashlib.sha256(entry.content).hexdigest()
    assert entry.path is not None
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    digest = hashlib.sha256()
    with (
        open(descriptor, "rb", buffering=0) as stream,  # noqa: PTH123  it is open already
        Behind(digest.update) as hashing,
    ):
        before = os.fstat(descriptor)
        header.size = before.st_size
        reader = _Hashing(stream, digest.update, hashing)
        try:
            tar.addfile(header, reader)
        except OSError as error:
            if error.errno is None:  # tarfile's own word for a file that ended early
                raise _changed(entry.name) from None
            raise
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _changed(entry.name)
    return digest.hexdigest()


def _changed(name: str) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(f"`{one_line(name)}` changed while it was packed", hint="Pack it when nothing writes.")


class _Hashing:
    """A file whose bytes are hashed as they are read, so that the digest is of just what was written."""

    def __init__(self, stream: IO[bytes], update: Callable[[bytes], object], behind: Behind) -> None:
        self._stream, self._update, self._behind = stream, update, behind

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        while data is not None and len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        if len(data) == CHUNK:
            self._behind.write(data)
        else:  # a thread for each small file would cost more than it spares
            self._behind.wait()
            self._update(data)
        return data


def open_tar(stream: IO[bytes], *, format: int = tarfile.PAX_FORMAT) -> tarfile.TarFile:  # noqa: A002  tarfile's word
    """A tar to write entries to, which is handed on in pieces of one size whatever is in it."""
    tar = tarfile.open(fileobj=stream, mode="w|", bufsize=CHUNK, format=format, encoding="utf-8")  # noqa: SIM115  the caller closes it
    tar.errors = "surrogateescape"
    tar.copybufsize = CHUNK  # type: ignore[attr-defined]
    return tar


def write_entries(tar: tarfile.TarFile, entries: Iterable[Entry], progress: Callable[[int], None]) -> dict[str, str]:
    """Write entries; gives the digests of the files by name. ``progress`` is told the bytes of each as it is done."""
    digests: dict[str, str] = {}
    for entry in entries:
        try:
            digest = write_entry(tar, entry)
        except FileNotFoundError:
            raise _changed(entry.name) from None
        if digest is not None:
            digests[entry.name] = digest
        progress(entry.size)
    return digests
