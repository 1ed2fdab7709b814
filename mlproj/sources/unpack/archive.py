"""Unpacking a stranger's archive into a folder: which format it is, and writing its entries, each of them checked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from mlproj.errors import SourceError
from mlproj.sources.unpack.entries import (
    LONGEST_PATH,
    Entry,
    Kind,
    Limits,
    checked_parts,
    comparable,
    has_odd_characters,
    too_large,
    too_many,
)
from mlproj.text import one_line

# Where each format's first bytes say that it is one.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16))
# What the Finder, and readers of tar that know no pax headers, leave behind as if it were part of the project.
_NO_CONTENT = ("__MACOSX", "pax_global_header")


def unpack(stream: IO[bytes], folder: Path, limits: Limits) -> Path:
    """Unpack the archive in ``stream`` into the new ``folder``; gives the folder that holds the project.

    That is the single folder at the archive's top, where there is just one, as in GitHub's archives.

    Raises ``SourceError`` for what is no archive, is damaged, or could do harm; and ``OSError`` of the disk.
    """
    import lzma
    import struct
    import tarfile
    import zlib
    from zipfile import BadZipFile

    damages: tuple[type[Exception], ...] = (BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
    damages += (struct.error, ValueError, LookupError, NotImplementedError, RecursionError, OverflowError)
    folder.mkdir(parents=True)
    try:
        links = _write(_entries(stream, limits), folder, limits)
    except damages as error:
        raise _damaged(error) from None
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say so what is wrong with the data
            raise _damaged(error) from None
        raise
    except Exception as error:
        if type(error).__name__ != "ZstdError":  # not imported unless it is needed
            raise
        raise _damaged(error) from None
    top = _top(folder)
    _refuse_leaving(links, folder, top)
    return top


def put_entries(entries: Iterable[Entry], folder: Path, limits: Limits) -> None:
    """Write a stranger's files that come in another way than an archive into the new ``folder``, checked alike.

    Raises ``SourceError`` for what could do harm, and ``OSError`` of the disk.
    """
    folder.mkdir(parents=True)
    _refuse_leaving(_write(entries, folder, limits), folder, folder)


def _damaged(error: Exception) -> SourceError:
    reason = one_line(error) or type(error).__name__
    return SourceError(f"it is damaged, or no archive that mlproj can read: {reason}", hint="Fetch or pack it again.")


def _entries(stream: IO[bytes], limits: Limits) -> Iterator[Entry]:
    """The entries of the archive by the format that its first bytes tell, whatever it is called."""
    from mlproj.sources.unpack import tar

    stream.seek(0)
    start = stream.read(512)
    stream.seek(0)
    if start.startswith(_ZIP):
        from mlproj.sources.unpack.zip import zip_entries

        return zip_entries(stream, limits)
    for magics, pieces in (
        ((_GZIP,), tar.gunzipped),
        ((_XZ,), tar.unxzed),
        ((_ZSTD, *_ZSTD_SKIPPABLE), tar.unzstded),
        ((_BZIP2,), tar.bunzipped),
    ):
        if start.startswith(magics):
            return tar.tar_entries(pieces(stream), limits)
    if _is_tar(start):
        return tar.tar_entries(tar.plain(stream), limits)
    what = "it is empty" if not start else "its first bytes are those of none that mlproj knows"
    if start.lstrip()[:1] == b"<":
        what = "it is a web page"
    hint = "Known are .zip, .tar, .tar.gz, .tar.xz, .tar.zst and .tar.bz2."
    raise SourceError(f"it is no archive: {what}", hint=hint)


def _is_tar(start: bytes) -> bool:
    import tarfile

    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return len(start) == 512 and not any(start)  # an archive of nothing
    return True


def _write(entries: Iterable[Entry], folder: Path, limits: Limits) -> list[Entry]:
    """Write the entries; gives those that are symbolic links, which are made last so that nothing goes through them."""
    taken: dict[str, tuple[str, Kind]] = {}
    links: list[tuple[str, Entry]] = []
    produced = 0
    for entry in entries:
        parts = checked_parts(entry.name)
        if not parts or parts[0] in _NO_CONTENT:
            continue
        if entry.kind == "other":
            raise SourceError(f"its entry `{one_line(entry.name)}` is neither a file, nor a folder, nor a link")
        _take(taken, parts, "file" if entry.kind == "hard link" else entry.kind, folder, limits)
        path = folder.joinpath(*parts)
        if entry.kind == "file":
            if produced + entry.size > limits.total:
                raise too_large(limits)
            produced = _write_file(entry, path, produced, limits)
        elif entry.kind == "link":
            links.append((str(path), entry))
        elif entry.kind == "hard link":
            _link_hard(entry, path, taken, folder)
    for path_of_link, entry in links:
        _refuse_target(entry)
        os.symlink(entry.target, path_of_link)  # noqa: PTH211  Path would take dots out of the target
    return [entry for _, entry in links]


def _take(taken: dict[str, tuple[str, Kind]], parts: tuple[str, ...], kind: Kind, folder: Path, limits: Limits) -> None:
    """Note that a name is taken, with the folders on the way to it, which are made where they are new."""
    path = key = ""
    for number, part in enumerate(parts, 1):
        path = f"{path}/{part}" if path else part
        key = f"{key}/{comparable(part)}"
        wanted: Kind = kind if number == len(parts) else "folder"
        known = taken.get(key)
        if known is None:
            taken[key] = (path, wanted)
            if len(taken) > limits.entries:
                raise too_many(limits)
            if wanted == "folder":
                (folder / path).mkdir(mode=0o755)
        elif known[0] != path:
            # Escaped, since they may look the same.
            names = " and ".join(f"`{name.encode('unicode_escape').decode()}`" for name in (known[0], path))
            raise SourceError(f"its entries {names} differ only in case or in what cannot be seen")
        elif known[1] != "folder" and wanted == "folder":
            shown = one_line("/".join(parts))
            raise SourceError(f"its entry `{shown}` needs `{one_line(path)}` to be a folder, and that is a {known[1]}")
        elif wanted != "folder":
            raise SourceError(f"its entry `{one_line(path)}` is there twice")


def _write_file(entry: Entry, path: Path, produced: int, limits: Limits) -> int:
    """Write a file; gives how many bytes were produced in all, which is what counts, not what the archive says."""
    # Of the mode the executable bit is all that a project needs; the rest could be setuid, or anyone's to write.
    mode = 0o755 if entry.executable else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb", buffering=0) as writer:  # noqa: PTH123  it is open already
        for chunk in entry.content():
            produced += len(chunk)
            if produced > limits.total:
                raise too_large(limits)
            left = memoryview(chunk)
            while left:
                left = left[writer.write(left) :]
    return produced


def _link_hard(entry: Entry, path: Path, taken: dict[str, tuple[str, Kind]], folder: Path) -> None:
    parts = checked_parts(entry.target)
    target = "/".join(parts)
    known = taken.get("".join(f"/{comparable(part)}" for part in parts))
    if known != (target, "file") or folder.joinpath(*parts) == path:
        names = f"`{one_line(entry.name)}` is a hard link to `{one_line(entry.target)}`"
        raise SourceError(f"its entry {names}, which is no file that comes before it in the archive")
    os.link(folder / target, path, follow_symlinks=False)


def _refuse_target(entry: Entry) -> None:
    target = entry.target
    if not target or len(target) > LONGEST_PATH or has_odd_characters(target):
        raise SourceError(f"its link `{one_line(entry.name)}` points at no possible name: `{one_line(target[:300])}`")
    if target.startswith("/"):
        raise _leaving(entry)


def _leaving(entry: Entry) -> SourceError:
    names = f"`{one_line(entry.name)}` points out of the project, at `{one_line(entry.target)}`"
    return SourceError(f"its link {names}", hint="Pack what it points at into the archive, or leave the link out.")


def _top(folder: Path) -> Path:
    paths = list(folder.iterdir())
    if not paths:
        raise SourceError("it holds no file")
    return paths[0] if len(paths) == 1 and stat.S_ISDIR(paths[0].lstat().st_mode) else folder


def _refuse_leaving(links: list[Entry], folder: Path, top: Path) -> None:
    """Refuse links that leave the project by any way, over other links too, as the kernel would follow them."""
    real = os.path.realpath(top)
    for entry in links:
        reached = os.path.realpath(folder.joinpath(*checked_parts(entry.name)))
        if reached != real and not reached.startswith(real + os.sep):
            raise _leaving(entry)
