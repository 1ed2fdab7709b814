"""A configuration as a container sees it: paths of this machine as the places where they are inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from mlproj.manifest.models import EntryPoint
from mlproj.parameters.config import Config
from mlproj.parameters.values import is_url

INPUTS_AT = "/mlproj/inputs"


def relocate(entry_point: EntryPoint, config: Config, project: Path, project_at: str) -> tuple[Config, dict[str, str]]:
    """The configuration for a container that has ``project`` at ``project_at``, and what else it must be given.

    The latter are places inside and the paths of this machine to be had there: the values of `path` parameters (and
    of `uri` ones that are local paths) that lie outside the project.
    """
    needed: dict[str, str] = {}
    values = dict(config.values)
    for name, value in _local_paths(entry_point, config):
        items = value if isinstance(value, list) else [value]
        moved = []
        for index, item in enumerate(items):
            inside = _inside_the_project(Path(item), project)
            if inside is not None:
                moved.append(str(PurePosixPath(project_at, inside)))
                continue
            place = PurePosixPath(INPUTS_AT, name, *([str(index)] if len(items) > 1 else []))
            name_inside = Path(os.path.abspath(item)).name or "root"  # noqa: PTH100  a symlink keeps its name
            target = str(place / name_inside)
            needed[target] = item
            moved.append(target)
        values[name] = moved if isinstance(value, list) else moved[0]
    return replace(config, values=values), needed


def _local_paths(entry_point: EntryPoint, config: Config) -> Iterator[tuple[str, Any]]:
    for name, parameter in entry_point.parameters.items():
        value = config.values.get(name)
        base = entry_point.base_type(parameter)
        if base not in ("path", "uri") or not value:
            continue
        items = value if isinstance(value, list) else [value]
        # A `uri` without a scheme was made a path, which need not be there.
        if base == "path" or all(not is_url(item) and Path(item).exists() for item in items):
            yield name, value


def _inside_the_project(path: Path, project: Path) -> str | None:
    for place, folder in ((path, Path(os.path.abspath(project))), (path.resolve(), project.resolve())):  # noqa: PTH100  a link keeps its name
        if place.is_relative_to(folder):
            return place.relative_to(folder).as_posix()
    return None
