"""The environments that are built: listing them, removing some."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mlproj.environments import builds
from mlproj.environments.scratch import sweep
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.files import folder_size
from mlproj.locations import cache_folder
from mlproj.text import one_line

# Removes what of an environment lies outside its folder, by its record.
Discard = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class BuiltEnvironment:
    """A built environment.

    Times are seconds since the epoch, ``size`` is in bytes; ``projects`` are folders.
    """

    key: str
    kind: str
    folder: Path
    size: int
    created_at: float
    last_used_at: float
    in_use: bool
    python: str | None
    packages: int
    projects: tuple[str, ...]


@dataclass(frozen=True)
class Removal:
    """What was removed (keys), the bytes that freed, what was kept since it is in use, and what could not be removed:
    why, by the keys.
    """

    removed: tuple[str, ...]
    freed: int
    in_use: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)


def list_environments() -> list[BuiltEnvironment]:
    """The environments that are built, last used first."""
    cache = cache_folder()
    sweep(cache)
    found = [_described(cache, key) for key in _keys(cache)]
    return sorted((one for one in found if one is not None), key=lambda one: -one.last_used_at)


def _keys(cache: Path) -> list[str]:
    root = cache / "environments"
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _described(cache: Path, key: str) -> BuiltEnvironment | None:
    folder = builds.environment_folder(cache, key)
    record = builds.read_record(folder) or {}
    try:
        last_used_at = (folder / builds.RECORD).stat().st_mtime
        size = folder_size(folder) + record.get("size_elsewhere", 0)
        projects = tuple(sorted(path.read_text("utf-8", "surrogateescape") for path in (folder / "projects").glob("*")))
    except FileNotFoundError:
        if not folder.is_dir():
            return None
        last_used_at, size, projects = 0.0, 0, ()
    return BuiltEnvironment(
        key=key,
        kind=record.get("kind", "virtualenv"),
        folder=folder,
        size=size,
        created_at=record.get("created_at", last_used_at),
        last_used_at=last_used_at,
        in_use=builds.is_in_use(cache, key),
        python=record.get("python"),
        packages=len(record.get("packages", {})),
        projects=projects,
    )


def remove(key_prefix: str, discard: Discard) -> Removal:
    """Remove the one environment whose key starts so; ``discard`` is told the record of what is to go.

    Raises ``UsageError`` for none, several, or one in use, ``EnvironmentBuildError`` when it cannot be removed.
    """
    cache = cache_folder()
    sweep(cache)
    found = [key for key in _keys(cache) if key.startswith(key_prefix)] if key_prefix else []
    if len(found) != 1:
        there = "no environment's key starts" if not found else f"the keys of {len(found)} environments start"
        raise UsageError(f"{there} with `{one_line(key_prefix)}`", hint="`mlproj envs list` shows them")
    removal = _remove(cache, found, discard)
    if removal.in_use:
        raise UsageError(f"the environment {found[0]} is in use by a live run")
    if removal.failed:
        raise EnvironmentBuildError(
            f"the environment {found[0]} is kept: {removal.failed[found[0]]}",
            hint=f"if that will not do again, remove its folder: {builds.environment_folder(cache, found[0])}",
        )
    return removal


def prune(older_than: float | None, discard: Discard) -> Removal:
    """Remove every environment not in use, or only those last used more than ``older_than`` seconds ago."""
    cache = cache_folder()
    sweep(cache)
    chosen = []
    for key in _keys(cache):
        try:
            last_used_at = (builds.environment_folder(cache, key) / builds.RECORD).stat().st_mtime
        except OSError:
            last_used_at = 0.0
        if older_than is None or time.time() - last_used_at > older_than:
            chosen.append(key)
    return _remove(cache, chosen, discard)


def _remove(cache: Path, keys: list[str], discard: Discard) -> Removal:
    removed, in_use, failed, freed = [], [], {}, 0
    for key in keys:
        folder = builds.environment_folder(cache, key)
        record = builds.read_record(folder) or {}
        size = folder_size(folder) + record.get("size_elsewhere", 0)
        try:
            gone = builds.remove_built(cache, key, partial(discard, record))
        except EnvironmentBuildError as error:
            failed[key] = error.message
            continue
        if gone:
            removed.append(key)
            freed += size
        else:
            in_use.append(key)
    return Removal(tuple(removed), freed, tuple(in_use), failed)
