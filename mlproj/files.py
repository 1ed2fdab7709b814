"""Writing files whole or not at all, hashing them, and copying them cheaply."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def write_atomically(path: Path, content: bytes | str, *, mode: int = 0o666) -> None:
    """Make ``path`` hold ``content`` whole: readers, and a machine that dies, see the old file or the new one."""
    # A lone surrogate stands for a byte that is not UTF-8, of a file's name say; in JSON its escape gives it back.
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def dump_json(value: Any) -> str:
    """JSON as mlproj writes it into files: indented, in the order given, readable, ending in a newline.

    NaN and the infinities, which JSON has no form for, are written as the strings of Python's ``float``.
    """
    return json.dumps(finite(value), indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """``value`` with every NaN and infinity in it, at any depth, as the string of Python's ``float``."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        buffer = memoryview(bytearray(CHUNK))
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


_FICLONE = 0x40049409  # linux/fs.h: make one file share another's extents, copy on write


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content and permission bits, sharing its extents where the file system can (a reflink).

    Never a hard link: the next run would write through it into what this run recorded.
    """
    with source.open("rb") as reader, target.open("xb") as writer:
        if not (sys.platform == "linux" and _reflinked(reader.fileno(), writer.fileno())):
            shutil.copyfileobj(reader, writer, CHUNK)
    shutil.copymode(source, target)


def _reflinked(source: int, target: int) -> bool:
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EIO):
            raise
        return False
    return True


def folder_size(folder: Path) -> int:
    """The bytes that a folder's files take, hard links within it counted once."""
    total, seen = 0, set()
    for root, _, names in os.walk(folder):
        for name in names:
            status = (Path(root) / name).lstat()
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total


def human_size(size: float) -> str:
    """A number of bytes as people read it: ``17.3 MB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
