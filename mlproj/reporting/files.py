"""Where reports are written: never in place of something that is no report."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from mlproj.errors import MlprojError, UsageError
from mlproj.files import write_atomically
from mlproj.text import one_line

_HEAD = 4096
_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(\{[^\n]*\})? \S+", re.ASCII)


def check_target(path: Path) -> None:
    """Raise ``UsageError`` for a place where no report can be written, or where something else would be lost."""
    shown = one_line(path)
    if path.is_dir():
        raise UsageError(f"{shown} is a folder, and was to be a report")
    if path.is_file() and not _is_report(path):
        raise UsageError(
            f"{shown} is there and no report of mlproj's: it is not overwritten",
            hint="Write the report to another place, or remove the file.",
        )


def _is_report(path: Path) -> bool:
    """Whether a file is empty, or begins as one of the forms of report does."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return True  # what is wrong with it is told by writing to it
    if not head.strip():
        return True
    if path.suffix.lower() == ".txt":
        return all(_METRIC.fullmatch(line) for line in head.splitlines()[: head.count("\n")])
    beginnings = ("## ✅ ", "## ❌ ", '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites')
    return head.startswith(beginnings) or (head.startswith("<!doctype html>") and "default-src 'none'" in head)


def write_report(path: Path, text: str) -> None:
    """Write a report whole or not at all; into what is no regular file (``/dev/stdout``, a pipe, a link) as it is.

    A named pipe that nobody reads is an error: to wait for a reader may take for ever. Raises ``MlprojError``.
    """
    path = path.absolute()
    try:
        if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
            _write_to_pipe(path, text)
        elif path.is_symlink() or (path.exists() and not path.is_file()):
            with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        else:
            write_atomically(path, text)
    except OSError as error:
        reason = "nobody reads the pipe" if error.errno == errno.ENXIO else error.strerror or error
        raise MlprojError(f"the report {one_line(path)} cannot be written: {reason}") from None


def _write_to_pipe(path: Path, text: str) -> None:
    pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(pipe, True)
    with open(pipe, "w", encoding="utf-8", errors="backslashreplace") as stream:  # noqa: PTH123  a descriptor
        stream.write(text)
