"""Writing a run as an RO-Crate, a zip archive or a folder: the same contents give the same bytes, on every machine."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.errors import StoreError, UsageError
from mlproj.files import CHUNK
from mlproj.sharing.contents import RECORD_NAME, Contents, SharedFile
from mlproj.sharing.crate_metadata import METADATA_NAME, metadata_of
from mlproj.sharing.parts import is_left_behind, part_of
from mlproj.text import one_line

if TYPE_CHECKING:
    from zipfile import ZipFile

_FILE, _EXECUTABLE, _LINK = 0o100644, 0o100755, 0o120777
_OTHER_ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_ON_UNIX = 3  # APPNOTE.TXT 4.4.2: what the modes are to be understood as


def write_crate(contents: Contents, target: Path, *, replace: bool) -> None:
    """Write the crate to ``target``: a zip archive if it is named so, else a folder. It appears whole.

    With ``replace`` a crate that is there gives way, and nothing else does. Raises UsageError for a target that is
    there already, or that cannot be one, and StoreError.
    """
    check_target(target)
    write = _write_zip if target.suffix.lower() == ".zip" else _write_folder
    scratch = part_of(target)
    try:
        _check_free(target, replace=replace)
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            _sweep(target.parent)
        write(contents, scratch)
        _check_free(target, replace=replace)
        if target.is_dir() or (scratch.is_dir() and target.exists()):
            _remove(target)
        scratch.rename(target)
    except OSError as error:
        raise StoreError(f"{one_line(target)} cannot be written: {error.strerror or one_line(error)}") from None
    finally:
        _remove(scratch)


def check_target(target: Path) -> None:
    """Raise UsageError for what no crate can be written to, whatever is there."""
    expected = "A name that ends in `.zip` is an archive's, any other a folder's: `-o run.crate.zip`."
    if target.name in ("", ".."):
        raise UsageError(f"`{one_line(target)}` names no file or folder of its own", hint=expected)
    if target.name == "-":
        raise UsageError("a crate is not written to stdout", hint=expected)
    if target.name.lower().endswith(_OTHER_ARCHIVES):
        raise UsageError(f"`{one_line(target)}` is named like an archive that crates are not written as", hint=expected)


def _check_free(target: Path, *, replace: bool) -> None:
    """Refuse a target that is there: with ``replace`` all but an empty folder and what `export` made."""
    try:
        mode = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    shown = one_line(target)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a link" if stat.S_ISLNK(mode) else "no regular file"
        raise UsageError(f"`{shown}` is {kind}, and no crate that could be replaced", hint="Choose another name.")
    if not replace:
        raise UsageError(f"`{shown}` is there already", hint="--force replaces it.")
    if not (_is_crate_folder(target) if stat.S_ISDIR(mode) else _is_crate_file(target)):
        kind = "a folder" if stat.S_ISDIR(mode) else "a file"
        hint = "Choose another name, or remove it."
        raise UsageError(f"`{shown}` is {kind}, and no crate that could be replaced", hint=hint)


def _is_crate_folder(folder: Path) -> bool:
    return not any(folder.iterdir()) or all((folder / name).is_file() for name in (METADATA_NAME, RECORD_NAME))


def _is_crate_file(path: Path) -> bool:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            return {METADATA_NAME, RECORD_NAME} <= set(archive.namelist())
    except (BadZipFile, ValueError, NotImplementedError):
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what exports of this machine that were killed left in a folder."""
    for each in folder.iterdir():
        if is_left_behind(each):
            _remove(each)


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
