"""How mlproj speaks to people: colours where they are wanted, messages on stderr, data on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import IO, Any

import click

from mlproj.errors import MlprojError
from mlproj.files import finite
from mlproj.text import UNPRINTABLE, one_line, printable

_NARROWEST = 10
_STATUS_COLOURS = {
    "finished": "green",
    "failed": "red",
    "killed": "yellow",
    "lost": "magenta",
    "running": "cyan",
}


def wants_colour(stream: IO[str]) -> bool:
    """Whether colours belong on a stream: a terminal, unless ``NO_COLOR`` (https://no-color.org) or a dumb one."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, stream: IO[str], **style: Any) -> str:
    """``text`` in a style of ``click.style``, where the stream wants colours."""
    return click.style(text, **style) if wants_colour(stream) else text


def coloured_status(status: str, stream: IO[str]) -> str:
    """A run's status in its colour."""
    return coloured(status, stream, fg=_STATUS_COLOURS.get(status))


def say(text: str) -> None:
    """Print a message for people, on stderr."""
    _to_stderr(printable(text) if "\x1b" not in text else text)


def complain(message: str, hint: str | None = None) -> None:
    """Print an error on stderr, and what to do about it."""
    _to_stderr(f"{coloured('error:', sys.stderr, fg='red', bold=True)} {printable(message)}")
    if hint:
        _to_stderr(printable(hint))


def warn(message: str) -> None:
    """Print a notice on stderr."""
    _to_stderr(f"{coloured('note:', sys.stderr, fg='yellow')} {printable(message)}")


def _to_stderr(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal whose window was closed: nobody is there to read it
        print(text, file=sys.stderr, flush=True)  # noqa: T201  this is where all is printed


def out(text: str = "") -> None:
    """Print a line of a command's result, on stdout. What came from outside has been made printable by the caller."""
    try:
        print(text)  # noqa: T201  this is where all is printed
    except OSError as error:
        raise _unwritable(error) from None


def flush() -> None:
    """Have everything printed so far leave this process."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return MlprojError(f"stdout cannot be written to: {error.strerror}")


def out_json(value: Any) -> None:
    """Print a command's result as JSON, on stdout; what could act on a terminal is escaped as JSON escapes."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, default=str)
    out(UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1], text))


def out_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows under their headings, as wide as they are, on stdout. Cells are made printable here.

    Columns named in ``right`` are aligned to the right.
    """
    from rich.console import Console

    width = terminal_width() if sys.stdout.isatty() else None
    table, needed = table_of(headings, rows, width, right=right)
    Console(no_color=not wants_colour(sys.stdout), highlight=False, width=width or needed).print(table)


def table_of(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, *, right: Sequence[str] = ()
) -> tuple[Any, int]:
    """Rows under their headings as a table of rich's, squeezed into ``width`` columns where given, and its width."""
    from rich.table import Table
    from rich.text import Text

    shown = [[one_line(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown)]
    console_width = width or sum(widths) + 2 * len(widths)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, column_width in zip(shown[0], _squeezed(widths, console_width)):
        side: Any = "right" if heading in right else "left"
        table.add_column(Text(heading), no_wrap=True, justify=side, width=column_width, overflow="ellipsis")
    for row, cells in zip(rows, shown[1:]):
        table.add_row(*(Text(text, style=_style(cell)) for cell, text in zip(row, cells)))
    return table, console_width


def terminal_width() -> int:
    """The columns of the terminal that stdout is."""
    return shutil.get_terminal_size().columns


def terminal_height() -> int:
    """The lines of the terminal that stdout is."""
    return shutil.get_terminal_size().lines


def _squeezed(widths: list[int], available: int) -> list[int]:
    """Column widths that fit: what is wide gives way first, so that ids and figures stay whole."""
    result = list(widths)
    while sum(result) + 2 * (len(result) - 1) > available and max(result) > _NARROWEST:
        result[result.index(max(result))] -= 1
    return result


def _style(cell: str) -> str:
    return _STATUS_COLOURS.get(cell, "")
