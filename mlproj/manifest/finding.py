"""Where a project's manifest is."""

from __future__ import annotations

import os
from pathlib import Path

from mlproj.errors import UsageError
from mlproj.text import nearest, one_line

MANIFEST_NAME = "mlproj.yaml"


def find_manifest(folder: Path) -> Path:
    """The manifest's file in ``folder``.

    Raises ``UsageError`` when there is none, naming what may have been meant.
    """
    path = folder / MANIFEST_NAME
    if path.is_file():
        return path
    if os.path.lexists(path):
        raise UsageError(f"{one_line(path)} is no regular file")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if any(name.lower() == "mlproject" for name in names):
        hint = "It holds an MLproject: this version of mlproj does not run MLproject files, only mlproj.yaml."
    elif near := nearest(MANIFEST_NAME, [name for name in names if name.endswith((".yaml", ".yml"))]):
        hint = f"There is a `{one_line(near)}`: rename it to {MANIFEST_NAME} if that is the manifest."
    else:
        hint = "`mlproj init` writes a first one from what the folder holds."
    raise UsageError(f"no {MANIFEST_NAME} in {one_line(folder)}", hint=hint)
