"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from mlproj.cli.console import warn
from mlproj.errors import UsageError
from mlproj.locations import store_folder
from mlproj.text import one_line

WORDS = "mlproj.words"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def as_json(command: _Command) -> _Command:
    """``--json``: the result for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def open_store() -> Any:
    """The store, its lost runs settled."""
    from mlproj.api.stores import open_settled_store

    return open_settled_store(store_folder(), warn)


def assignments(texts: Iterable[str], option: str) -> dict[str, str]:
    """Texts of the form ``name=value`` as a mapping, for ``--tag`` and the like.

    Raises ``UsageError``.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option} takes name=value; found `{one_line(text)}`")
        found[name.strip()] = value
    return found


def seconds_option(text: str | None, option: str) -> float | None:
    """An option's span of time in seconds.

    Raises ``UsageError`` when it is none.
    """
    from mlproj.manifest.durations import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text)
    except ValueError as error:
        raise UsageError(f"{option} takes {error}") from None


def size_option(text: str | None, option: str) -> int | None:
    """An option's size in bytes: a number, or one with a unit such as ``50GB`` or ``1.5 GiB``.

    Raises ``UsageError`` when it is none.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*(?:([kMGT])(i?)B?|B)?\s*", text, re.IGNORECASE)
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"{option} takes a size such as `500MB` or `50GB`; found `{one_line(text)}`")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** (" kmgt".index(found[2].lower()) if found[2] else 0))


def complete_entry_point(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The entry points of the project on the command line, for the shell's completion."""
    loaded = _completed_manifest(ctx)
    return [name for name in loaded.manifest.entry_points if name.startswith(incomplete)] if loaded else []


def complete_parameter(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """``name=`` of the entry point's parameters, for the shell's completion."""
    from mlproj.manifest.entry_points import choose_entry_point

    loaded = _completed_manifest(ctx)
    if loaded is None:
        return []
    try:
        entry_point = choose_entry_point(loaded.manifest, loaded.path, ctx.params.get("entry_point"))[1]
    except UsageError:
        return []
    return [f"{name}=" for name in entry_point.parameters if name.startswith(incomplete)]


def _completed_manifest(ctx: click.Context) -> Any:
    from mlproj.manifest.load import load_manifest

    # While an option still lacks its value, click has not given the words to the arguments: the project is the first
    # word, or, behind options, the first folder among them.
    words = ctx.meta.get(WORDS, [])
    named = words[:1] if words and not words[0].startswith("-") else [word for word in words if Path(word).is_dir()]
    try:
        return load_manifest(Path(ctx.params.get("project") or (named or ["."])[0]))
    except (UsageError, OSError):
        return None


def complete_run(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The ids of the newest runs, for the shell's completion."""
    from mlproj.errors import MlprojError
    from mlproj.runs.query import search_ids
    from mlproj.runs.store import open_store_for_reading

    try:
        return [
            each
            for each in search_ids(open_store_for_reading(store_folder()), limit=100)
            if each.startswith(incomplete)
        ]
    except MlprojError:
        return []
