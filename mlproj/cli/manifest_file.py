"""Writing a project's manifest for `mlproj init` and `mlproj migrate`: never over one that is there, unless told to."""

from __future__ import annotations

from pathlib import Path

from mlproj.errors import MlprojError, UsageError
from mlproj.text import one_line


def refuse_to_replace(path: Path, *, force: bool) -> None:
    """Raise ``UsageError`` when there is a manifest already and it is not to be replaced."""
    if path.exists() and not force:
        raise UsageError(f"{one_line(path)} is there already", hint="--force replaces it.")


def write_manifest(path: Path, text: str) -> None:
    """Write it whole or not at all. Raises ``MlprojError`` saying why it cannot be written."""
    from mlproj.files import write_atomically

    try:
        write_atomically(path, text)
    except OSError as error:
        raise MlprojError(f"{one_line(path)} cannot be written: {error.strerror or error}") from None
