"""What a manifest's parts must have to do with each other, and with the files of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import PurePosixPath

from mlproj.manifest.diagnostics import Diagnostic
from mlproj.manifest.document import KeyPath
from mlproj.manifest.environment_checks import problems_with_files
from mlproj.manifest.load import LoadedManifest
from mlproj.manifest.models import EntryPoint
from mlproj.text import did_you_mean


def inconsistencies(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    """Everything about the manifest that no single value shows wrong."""
    yield from _unknown_environments(loaded)
    yield from problems_with_files(loaded)
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
