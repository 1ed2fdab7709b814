"""What a manifest's parts must have to do with each other, and with the files of its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path, PurePosixPath

from mlproj.manifest.diagnostics import Diagnostic
from mlproj.manifest.document import KeyPath
from mlproj.manifest.load import LoadedManifest
from mlproj.manifest.models import EntryPoint, EnvironmentSpec
from mlproj.text import did_you_mean


def inconsistencies(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    """Everything about the manifest that no single value shows wrong."""
    yield from _unknown_environments(loaded)
    yield from _missing_files(loaded)
    for name, entry_point in loaded.manifest.entry_points.items():
        yield from _overlapping_outputs(loaded, ("entry_points", name, "outputs"), entry_point)
        yield from _reserved_variables(loaded, ("entry_points", name, "environment_variables"), entry_point)


def _unknown_environments(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    manifest = loaded.manifest
    chosen: list[tuple[KeyPath, object]] = [(("environment",), manifest.environment)]
    chosen += [
        (("entry_points", name, "environment"), each.environment) for name, each in manifest.entry_points.items()
    ]
    for at, environment in chosen:
        if isinstance(environment, str) and environment not in manifest.environments:
            known = ", ".join(f"`{name}`" for name in manifest.environments) or "none is declared"
            near = did_you_mean(environment, manifest.environments)
            message = f"no environment `{environment}` under `environments` ({known}).{near}"
            yield loaded.document.diagnostic(message, at)


def _missing_files(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    manifest = loaded.manifest
    specifications: list[tuple[KeyPath, object]] = [(("environment",), manifest.environment)]
    specifications += [(("environments", name), spec) for name, spec in manifest.environments.items()]
    specifications += [
        (("entry_points", name, "environment"), each.environment) for name, each in manifest.entry_points.items()
    ]
    for at, spec in specifications:
        if not isinstance(spec, EnvironmentSpec) or spec.virtualenv is None:
            continue
        for key in ("requirements", "project"):
            name = getattr(spec.virtualenv, key)
            place = (*at, "virtualenv", key)
            if name is not None and not (loaded.folder / name).is_file():
                yield loaded.document.diagnostic(f"no file `{name}` in the project", place)
            elif name is not None and key == "requirements":
                for missing in _missing_includes(loaded.folder / name, set()):
                    yield loaded.document.diagnostic(f"`{name}` refers to a file that is not there: {missing}", place)


def _missing_includes(requirements: Path, seen: set[Path]) -> Iterator[str]:
    """The files that a requirements file names with ``-r`` or ``-c``, however indirectly, and that are missing."""
    if requirements in seen:
        return
    seen.add(requirements)
    text = requirements.read_text(encoding="utf-8", errors="replace")
    for match in re.finditer(r"(?m)^\s*(?:-r|-c|--requirement|--constraint)[ =]*([^\s#]+)", text):
        included = requirements.parent / match[1]
        if "://" in match[1] or "$" in match[1]:
            continue
        if included.is_file():
            yield from _missing_includes(included, seen)
        else:
            yield match[1]


def _overlapping_outputs(loaded: LoadedManifest, at: KeyPath, entry_point: EntryPoint) -> Iterator[Diagnostic]:
    for (first, one), (second, other) in combinations(entry_point.outputs.items(), 2):
        if _overlap(one.path, other.path):
            message = f"the outputs `{first}` ({one.path}) and `{second}` ({other.path}) overlap"
            yield loaded.document.diagnostic(message, (*at, second))


def _overlap(one: str, other: str) -> bool:
    first, second = PurePosixPath(one), PurePosixPath(other)
    if first == second or first in second.parents or second in first.parents:
        return True
    return fnmatchcase(str(first), str(second)) or fnmatchcase(str(second), str(first))


def _reserved_variables(loaded: LoadedManifest, at: KeyPath, entry_point: EntryPoint) -> Iterator[Diagnostic]:
    for variable in entry_point.environment_variables:
        if variable.startswith("MLPROJ_"):
            yield loaded.document.diagnostic(f"`{variable}`: mlproj sets this one itself", (*at, variable), key=True)
