"""Reading and writing ``run.json``, the file that is the truth about a run."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from mlproj.errors import StoreError
from mlproj.files import dump_json, write_atomically
from mlproj.runs.database import explained
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RunRecord, from_json, to_json
from mlproj.text import one_line

RESERVE_BYTES = 256 * 1024


def write_record(files: RunFiles, record: RunRecord) -> None:
    """Write ``run.json`` whole. On a full disk the space in reserve is used up. Raises StoreError."""
    # A file name of bytes that are no UTF-8 reaches us with lone surrogates; JSON can hold them as escapes.
    content = dump_json(to_json(record)).encode("utf-8", "backslashreplace")
    with explained(files.folder.parent.parent):
        try:
            write_atomically(files.record, content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not files.reserve.exists():
                raise
            files.reserve.unlink()
            write_atomically(files.record, content)


def read_record(files: RunFiles) -> RunRecord:
    """The record in ``run.json``. Raises FileNotFoundError when there is none, StoreError
    when it is damaged.
    """
    try:
        content = files.record.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{one_line(files.record)} cannot be read: {error.strerror}") from error
    try:
        mapping = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{one_line(files.record)} is damaged: {one_line(error)}") from error
    try:
        return from_json(mapping)
    except StoreError as error:
        raise StoreError(f"{one_line(files.record)}: {error.message}") from error


def reserve_space(path: Path) -> None:
    """Take ``RESERVE_BYTES`` of the disk for later."""
    import os

    with path.open("wb") as stream:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
                return
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
        stream.write(b"\1" * RESERVE_BYTES)
