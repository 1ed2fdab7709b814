"""Where a project's manifest is."""

from __future__ import annotations

import os
from pathlib import Path

from mlproj.errors import UsageError
from mlproj.text import nearest, one_line

MANIFEST_NAME = "mlproj.yaml"
MLFLOW_NAME = "MLproject"
# What MLflow takes for the environment of an MLproject that names none.
PYTHON_ENV_FILE = "python_env.yaml"
CONDA_FILE = "conda.yaml"


class NoManifestError(UsageError):
    """A folder that holds no manifest."""


def find_manifest(folder: Path) -> Path:
    """The manifest's file in ``folder``: ``mlproj.yaml``, else an ``MLproject`` in any case.

    Raises ``UsageError`` when there is none, naming what may have been meant.
    """
    path = folder / MANIFEST_NAME
    if path.is_file():
        return path
    if os.path.lexists(path):
        raise UsageError(f"{one_line(path)} is no regular file")
    if (mlproject := find_mlproject(folder)) is not None:
        return mlproject
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if odd := next((name for name in names if name.lower() == MLFLOW_NAME.lower()), None):
        raise UsageError(f"{one_line(folder / odd)} is no regular file, or a link to none")
    if near := nearest(MANIFEST_NAME, [name for name in names if name.endswith((".yaml", ".yml"))]):
        hint = f"There is a `{one_line(near)}`: rename it to {MANIFEST_NAME} if that is the manifest."
    else:
        hint = "`mlproj init` writes a first one from what the folder holds."
    raise NoManifestError(f"no {MANIFEST_NAME} and no {MLFLOW_NAME} in {one_line(folder)}", hint=hint)


def find_mlproject(folder: Path) -> Path | None:
    """The file that MLflow takes for a project's: ``MLproject`` in any case, that very name first."""
    if not folder.is_dir():
        return None
    names = [entry.name for entry in os.scandir(folder) if entry.name.lower() == MLFLOW_NAME.lower()]
    files = [folder / name for name in sorted(names, key=lambda name: (name != MLFLOW_NAME, name))]
    return next((path for path in files if path.is_file()), None)


def is_mlproject(path: Path) -> bool:
    """Whether a manifest's file follows MLflow's rules, by its name."""
    return path.name.lower() == MLFLOW_NAME.lower()
