"""Which of a manifest's entry points is meant."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint, Manifest
from mlproj.text import did_you_mean, one_line

if TYPE_CHECKING:
    from mlproj.manifest.diagnostics import Diagnostic
    from mlproj.manifest.document import Document

DEFAULT_ENTRY_POINT = "main"
_INTERPRETERS = {".py": "python", ".sh": "bash"}


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
        chosen = f"Choose one with -e: {listed}." if listed else "Run one of its scripts: `-e NAME.py` or `-e NAME.sh`."
        raise UsageError(f"no entry point `main` in {one_line(path)}", hint=chosen)
    if name not in entry_points and manifest.dialect == "mlflow" and is_script(name):
        return name, _script(name, path.parent)
    if name not in entry_points:
        near = did_you_mean(name, entry_points)
        there = f"There are {listed}.{near}" if listed else "It declares none."
        raise UsageError(f"no entry point `{one_line(name)}` in {one_line(path)}", hint=there)
    return name, entry_points[name]


def entry_point_of(document: Document, finding: Diagnostic) -> str | None:
    """The entry point within whose lines a finding stands, if it stands in one."""
    start, entry_points = document.keys.get(("entry_points",)), document.data.get("entry_points")
    if start is None or finding.span is None or not isinstance(entry_points, dict):
        return None
    lines = [span.line for key, span in document.keys.items() if len(key) == 1 and span.line > start.line]
    if finding.file != str(document.path) or finding.span.line >= min(lines, default=len(document.lines) + 1):
        return None
    about = None
    for name in entry_points:
        if document.keys[("entry_points", name)].line <= finding.span.line:
            about = name
    return about


def is_script(name: str | None) -> bool:
    """Whether the name is one of a file that MLflow runs without its being declared."""
    return name is not None and PurePosixPath(name).suffix in _INTERPRETERS


def _script(name: str, folder: Path) -> EntryPoint:
    if "\x00" in name or not (folder / name).is_file():
        raise UsageError(f"no entry point and no file `{one_line(name)}` in {one_line(folder)}")
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"`{one_line(name)}` is no file inside the project's folder")
    # A name that starts with `-` would be an option to the interpreter.
    word = f"./{name}" if name.startswith("-") else name
    return EntryPoint(command=[_INTERPRETERS[PurePosixPath(name).suffix], word], dialect="mlflow")
