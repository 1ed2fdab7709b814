"""What `mlproj init` and `mlproj migrate` share: the folder they are for, and writing a manifest into it."""

from __future__ import annotations

from pathlib import Path

from mlproj.errors import MlprojError, UsageError
from mlproj.sources.shown import shown_address
from mlproj.text import one_line


def folder_here(text: str) -> Path:
    """The folder of this machine that a manifest is to be written into. Raises ``UsageError`` when there is none."""
    folder = Path(text)
    if "\x00" not in text and folder.is_dir():
        return folder
    hint = (
        "It has to be a folder of this machine: what is fetched is cleared away after use." if "://" in text else None
    )
    raise UsageError(f"no folder `{shown_address(text)}`", hint=hint)


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
