"""The entries of a zip archive, read by `zipfile` after what it believes of the archive's structure was checked."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from functools import partial
from typing import IO, TYPE_CHECKING

from mlproj.errors import SourceError
from mlproj.files import CHUNK
from mlproj.sources.unpack.entries import LONGEST_PATH, Entry, Kind, Limits, too_many
from mlproj.text import one_line

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

# The others' readers of `zipfile` produce without bound what one piece of input unpacks to, and nobody uses them.
_METHODS = {0: "stored", 8: "deflate"}
_OTHER_METHODS = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "zstd", 95: "xz", 98: "PPMd", 99: "AES encryption"}
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_AVERAGE_RECORD = 400
_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", 0: "file"}


def zip_entries(stream: IO[bytes], limits: Limits) -> Iterator[Entry]:
    """The entries of the zip archive in ``stream``.

    Raises ``SourceError`` for one that cannot be read or is built to deceive, and what ``zipfile`` raises for damage.
    """
    from zipfile import BadZipFile, ZipFile

    start, count = _directory(stream, limits)
    with ZipFile(stream) as archive:
        infos = archive.infolist()
        if len(infos) != count or archive.start_dir != start:
            raise BadZipFile("its directory is not what it says")
        _refuse_overlaps(stream, infos, start)
        for info in infos:
            yield _entry(archive, info)


def _directory(stream: IO[bytes], limits: Limits) -> tuple[int, int]:
    """Where the central directory starts and how many entries it has, counted before ``zipfile`` holds them all.

    The records' form: APPNOTE.TXT 4.3.12 to 4.3.16.
    """
    from zipfile import BadZipFile

    length = stream.seek(0, 2)
    tail_start = max(0, length - (1 << 16) - 22)
    stream.seek(tail_start)
    tail = stream.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < 22:
        raise BadZipFile("its end is missing")
    end = tail_start + found
    size, offset, comment = struct.unpack("<IIH", tail[found + 12 : found + 22])
    if end + 22 + comment != length:
        raise BadZipFile("something stands behind its end")
    if (
        found >= 76
        and tail[found - 20 : found - 16] == b"PK\x06\x07"
        and tail[found - 76 : found - 72] == b"PK\x06\x06"
    ):
        end -= 76
        size, offset = struct.unpack("<QQ", tail[found - 76 + 40 : found - 76 + 56])
    if offset + size != end:
        raise BadZipFile("its directory is not where it says")
    if size > limits.entries * _AVERAGE_RECORD:
        raise too_many(limits)
    count, position = 0, offset
    while position < end:
        stream.seek(position)
        record = stream.read(46)
        if len(record) < 46 or record[:4] != b"PK\x01\x02":
            raise BadZipFile("its directory is damaged")
        position += 46 + sum(struct.unpack("<HHH", record[28:34]))
        count += 1
        if count > limits.entries:
            raise too_many(limits)
    return offset, count


def _refuse_overlaps(stream: IO[bytes], infos: list[ZipInfo], end: int) -> None:
    """Refuse entries that share bytes, by which a small archive unpacks to terabytes without one large ratio."""
    from zipfile import BadZipFile

    last = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < last:
            raise SourceError(f"its entry `{one_line(info.orig_filename)}` overlaps another, as in a zip bomb")
        stream.seek(info.header_offset)
        header = stream.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise BadZipFile("an entry is not where the directory says")
        last = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30])) + info.compress_size
        if last > end:
            raise SourceError(f"its entry `{one_line(info.orig_filename)}` overlaps the directory, as in a zip bomb")


def _entry(archive: ZipFile, info: ZipInfo) -> Entry:
    name = _name(info)
    shown = one_line(name)
    mode = info.external_attr >> 16
    kind = "folder" if name.endswith("/") else _KINDS.get(stat.S_IFMT(mode), "other")
    if kind == "folder":
        return Entry(name, kind)
    if info.flag_bits & _ENCRYPTED:
        hint = "Unpack it yourself and run the folder, or pack it without a password."
        raise SourceError(f"its entry `{shown}` is encrypted", hint=hint)
    if info.compress_type not in _METHODS:
        method = _OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
        hint = "Pack it with the ordinary deflate, or as a .tar.zst."
        raise SourceError(f"its entry `{shown}` is compressed by {method}, which mlproj does not read", hint=hint)
    content = partial(_content, archive, info)
    if kind == "link":
        if info.file_size > LONGEST_PATH:
            raise SourceError(f"its link `{shown}` points at a name too long")
        return Entry(name, kind, target=b"".join(content()).decode("utf-8", "surrogateescape"))
    return Entry(name, kind, bool(mode & stat.S_IXUSR), size=info.file_size, content=content)


def _name(info: ZipInfo) -> str:
    """The name in full: `zipfile` cuts one at a NUL, and reads as cp437 what many tools write as UTF-8."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        try:
            return name.encode("cp437").decode("utf-8")
        except UnicodeError:
            return name
    return name


def _content(archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    from zipfile import BadZipFile

    produced = 0
    with archive.open(info) as reader:
        while chunk := reader.read(CHUNK):
            produced += len(chunk)
            yield chunk
    if produced != info.file_size:
        raise BadZipFile(f"`{one_line(info.orig_filename)}` is not as long as it says")
