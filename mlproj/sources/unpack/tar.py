"""The entries of a tar archive, compressed or not, read by `tarfile` from a stream that only goes forward."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

from mlproj.errors import SourceError
from mlproj.files import CHUNK
from mlproj.sources.unpack.entries import Entry, Limits, too_large, too_many
from mlproj.text import one_line

MOST_MEMORY = 256 << 20
# What zstd's own program takes without --long; a frame that asks for more wants gigabytes of memory.
LARGEST_WINDOW = 128 << 20
# tarfile holds an entry's extended headers in memory and searches them by expressions of quadratic time.
LARGEST_HEADERS = 64 << 10
_BLOCK = 512
# A zstd block of 4 bytes produces up to 128 KiB: 2 KiB at once bound what is held to 64 MiB.
_ZSTD_PIECE = 2048


def tar_entries(pieces: Iterator[bytes], limits: Limits) -> Iterator[Entry]:
    """The entries of the tar archive whose bytes are ``pieces``.

    Raises ``SourceError`` for one that is built to deceive, and what ``tarfile`` raises for a damaged one.
    """
    reader = _ForwardReader(pieces, limits)
    count = 0
    with tarfile.TarFile(fileobj=reader, mode="r", encoding="utf-8", errors="surrogateescape") as archive:  # type: ignore[arg-type]
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would hold all of them
            count += 1
            if count > limits.entries:
                raise too_many(limits)
            reader.header_left = None
            yield _entry(archive, member)
            reader.header_left = LARGEST_HEADERS
        # tarfile takes a damaged header, and the end of the file, for the end of the archive.
        if reader.last != bytes(_BLOCK):
            raise tarfile.ReadError("it ends before its end mark: it is truncated or damaged")
        reader.header_left = None
        while rest := reader.read(CHUNK):
            if rest.count(0) != len(rest):
                raise tarfile.ReadError("something stands behind its end")


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    executable = bool(member.mode & stat.S_IXUSR)
    if member.issparse():
        hint = "Pack it again without `--sparse`."
        raise SourceError(
            f"its entry `{one_line(member.name)}` is a sparse file, which mlproj does not unpack", hint=hint
        )
    if member.isreg():
        content = partial(_content, archive, member)
        return Entry(member.name, "file", executable, size=member.size, content=content)
    if member.isdir():
        return Entry(member.name, "folder")
    if member.issym():
        return Entry(member.name, "link", target=member.linkname)
    if member.islnk():
        return Entry(member.name, "hard link", target=member.linkname)
    return Entry(member.name, "other")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    reader = archive.extractfile(member)
    assert reader is not None  # it is a regular file
    while chunk := reader.read(CHUNK):
        yield chunk


class _ForwardReader:
    """The file that ``tarfile`` reads: it goes forward only, is counted, and bounds what an entry's headers may be."""

    def __init__(self, pieces: Iterator[bytes], limits: Limits) -> None:
        self._pieces = pieces
        self._limits = limits
        self._buffer = memoryview(b"")
        # Headers and padding take up to this much more than the files.
        self._left = limits.total + limits.entries * 4 * _BLOCK
        self._position = 0
        self.last = b""
        self.header_left: int | None = LARGEST_HEADERS

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise tarfile.ReadError("an entry goes back")
        while position > self._position and (skipped := self._next(position - self._position)):
            self._position += len(skipped)

    def read(self, size: int) -> bytes:
        if size < 0:
            raise tarfile.ReadError("an entry has a negative size")
        if self.header_left is not None:
            self.header_left -= size
            if self.header_left < 0:
                raise SourceError(f"an entry has headers of more than {LARGEST_HEADERS >> 10} KiB")
        parts, wanted = [], size
        while wanted and (part := self._next(wanted)):
            parts.append(part)
            wanted -= len(part)
        self.last = b"".join(parts)
        self._position += len(self.last)
        return self.last

    def close(self) -> None:
        self._buffer = memoryview(b"")

    def _next(self, most: int) -> memoryview:
        """Up to ``most`` of the bytes that come next; none at the end."""
        while not self._buffer:
            piece = next(self._pieces, None)
            if piece is None:
                return self._buffer
            self._left -= len(piece)
            if self._left < 0:
                raise too_large(self._limits)
            self._buffer = memoryview(piece)
        part, self._buffer = self._buffer[:most], self._buffer[most:]
        return part


def plain(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a file that is not compressed."""
    while chunk := stream.read(CHUNK):
        yield chunk


def gunzipped(stream: IO[bytes]) -> Iterator[bytes]:
    """What one gzip member, or several one after the other, unpack to."""
    import gzip

    with gzip.GzipFile(fileobj=stream, mode="rb") as reader:
        while chunk := reader.read(CHUNK):
            yield chunk


def bunzipped(stream: IO[bytes]) -> Iterator[bytes]:
    """What one bzip2 stream, or several, unpack to."""
    import bz2

    return _bounded(stream, bz2.BZ2Decompressor)


def unxzed(stream: IO[bytes]) -> Iterator[bytes]:
    """What one xz stream, or several, unpack to in bounded memory."""
    import lzma

    return _bounded(stream, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY))


def _bounded(stream: IO[bytes], new: Callable[[], Any]) -> Iterator[bytes]:
    decompressor, data = new(), stream.read(CHUNK)
    while True:
        if chunk := decompressor.decompress(data, CHUNK):
            yield chunk
        data = b""
        if decompressor.eof:
            data = decompressor.unused_data or stream.read(CHUNK)
            # xz pads its streams with zeros, and so do writers to tapes.
            while data and not data.strip(b"\0"):
                data = stream.read(CHUNK)
            if not data:
                return
            decompressor, data = new(), data.lstrip(b"\0")
        elif decompressor.needs_input:
            data = stream.read(CHUNK)
            if not data:
                raise EOFError("it is truncated")


def unzstded(stream: IO[bytes]) -> Iterator[bytes]:
    """What one zstd frame, or several, unpack to in bounded memory."""
    import zstandard

    context = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    frame, begun = context.decompressobj(), False
    while block := stream.read(CHUNK):
        for start in range(0, len(block), _ZSTD_PIECE):
            data = block[start : start + _ZSTD_PIECE]
            while data:
                if chunk := frame.decompress(data):
                    yield chunk
                begun, data = not frame.eof, b""
                if frame.eof:
                    data = frame.unused_data
                    frame = context.decompressobj()
    if begun:
        raise EOFError("it is truncated")
