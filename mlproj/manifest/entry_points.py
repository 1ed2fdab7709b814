"""Which of a manifest's entry points is meant."""

from __future__ import annotations

from pathlib import Path

from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint, Manifest
from mlproj.text import did_you_mean, one_line

DEFAULT_ENTRY_POINT = "main"


def choose_entry_point(manifest: Manifest, path: Path, name: str | None) -> tuple[str, EntryPoint]:
    """The entry point called ``name``; without a name ``main``, or the only one there is.

    ``path`` is the manifest's, for messages. Raises ``UsageError`` listing those there are.
    """
    entry_points = manifest.entry_points
    listed = ", ".join(f"`{known}`" for known in entry_points)
    if name is None:
        if DEFAULT_ENTRY_POINT in entry_points:
            return DEFAULT_ENTRY_POINT, entry_points[DEFAULT_ENTRY_POINT]
        if len(entry_points) == 1:
            return next(iter(entry_points.items()))
        raise UsageError(f"no entry point `main` in {one_line(path)}", hint=f"Choose one with -e: {listed}.")
    if name not in entry_points:
        near = did_you_mean(name, entry_points)
        raise UsageError(f"no entry point `{one_line(name)}` in {one_line(path)}", hint=f"There are {listed}.{near}")
    return name, entry_points[name]
