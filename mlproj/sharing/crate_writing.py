"""Writing a run as an RO-Crate, a zip archive or a folder: the same contents give the same bytes, on every machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.errors import StoreError, UsageError
from mlproj.files import CHUNK
from mlproj.sharing.contents import RECORD_NAME, Contents, SharedFile
from mlproj.sharing.crate_metadata import METADATA_NAME, metadata_of
from mlproj.text import one_line

if TYPE_CHECKING:
    from zipfile import ZipFile

_FILE, _EXECUTABLE, _LINK = 0o100644, 0o100755, 0o120777
_ON_UNIX = 3  # APPNOTE.TXT 4.4.2: what the modes are to be understood as


def write_crate(contents: Contents, target: Path, *, replace: bool) -> None:
    """Write the crate to ``target``: a zip archive if it is named so, else a folder. It appears whole.

    Raises UsageError for a target that is there already, unless it is to be replaced, and StoreError.
    """
    if os.path.lexists(target) and not replace:
        raise UsageError(f"`{one_line(target)}` is there already", hint="--force replaces it.")
    write = _write_zip if target.suffix.lower() == ".zip" else _write_folder
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(contents, scratch)
        if replace:
            _clear_away(target, scratch)
        scratch.rename(target)
    except OSError as error:
        raise StoreError(f"{one_line(target)} cannot be written: {error.strerror or one_line(error)}") from None
    finally:
        if scratch.is_dir():
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            scratch.unlink(missing_ok=True)


def _clear_away(target: Path, scratch: Path) -> None:
    """Remove what a rename would not replace: never a folder that is no crate, whatever it was named for."""
    if target.is_dir() and not target.is_symlink():
        if any(target.iterdir()) and not (target / METADATA_NAME).is_file():
            raise UsageError(f"`{one_line(target)}` is a folder, and no crate that could be replaced")
        shutil.rmtree(target)
    elif scratch.is_dir():
        target.unlink(missing_ok=True)


def _own_parts(contents: Contents) -> Iterator[tuple[str, bytes]]:
    """What is made here: the metadata first, by which a reader knows at once what it has."""
    record = contents.record_bytes
    yield METADATA_NAME, metadata_of(contents, hashlib.sha256(record).hexdigest())
    yield RECORD_NAME, record


def _write_zip(contents: Contents, path: Path) -> None:
    from zipfile import ZipFile

    with ZipFile(path, "x") as archive:
        for name, content in _own_parts(contents):
            _put(archive, name, _FILE, len(content), iter([content]))
        for each in contents.files:
            mode = _LINK if each.target else _EXECUTABLE if each.executable else _FILE
            _put(archive, each.path, mode, each.size, _content(each))


def _put(archive: ZipFile, name: str, mode: int, size: int, chunks: Iterator[bytes]) -> None:
    from zipfile import ZIP_STORED, ZipInfo

    info = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr, info.file_size = _ON_UNIX, mode << 16, size
    # What a deflater makes of the same bytes differs from one zlib to the next.
    info.compress_type = ZIP_STORED
    with archive.open(info, "w") as writer:
        for chunk in chunks:
            writer.write(chunk)


def _write_folder(contents: Contents, folder: Path) -> None:
    folder.mkdir()
    for name, content in _own_parts(contents):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)
    for each in contents.files:
        path = folder / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if each.target:
            path.symlink_to(each.target)
            continue
        with path.open("xb") as writer:
            for chunk in _content(each):
                writer.write(chunk)
        path.chmod(0o755 if each.executable else 0o644)


def _content(shared: SharedFile) -> Iterator[bytes]:
    """The bytes of a shared file. Raises StoreError when they are no longer those that were described."""
    if shared.target:
        yield shared.target.encode()
        return
    digest = hashlib.sha256()
    with contextlib.closing(shared.origin.open("rb")) as reader:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != shared.sha256:
        raise StoreError(f"{one_line(shared.origin)} was changed while it was read", hint="Do it again.")
