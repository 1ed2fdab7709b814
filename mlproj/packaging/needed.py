"""The files that a project cannot run without whatever git tracks and ``.dockerignore`` names: manifest and locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlproj.environments.requirements import read_declared
from mlproj.errors import UsageError
from mlproj.manifest.environment_files import dockerfiles_of, environments_of, files_of_environments
from mlproj.manifest.finding import is_mlproject
from mlproj.manifest.models import Manifest

_LOCKS = ("pylock.toml", "pylock.*.toml", "conda-lock.yml", "*.conda-lock.yml", "mlproj.lock")


def needed_files(path: Path, manifest: Manifest) -> frozenset[str]:
    """The names of the manifest's file ``path``, of the locks, and of the files that environments are declared in.

    With them those that requirements files include. None is outside of the project's folder.
    """
    folder = path.parent
    found = [path, *(lock for pattern in _LOCKS for lock in folder.glob(pattern))]
    found += [folder / name for name in files_of_environments(manifest)]
    for _, spec in environments_of(manifest):
        if spec.virtualenv is not None:
            try:
                found += read_declared(spec.virtualenv, folder).files
            except UsageError:
                continue  # said where this environment is asked for
        if spec.docker is not None and spec.docker.build is not None:
            found += [folder / name for name in dockerfiles_of(spec.docker)]
    if is_mlproject(path):
        found += _environment_files(path)
    names = (os.path.relpath(each, folder) for each in found if each.is_file())
    return frozenset(name for name in names if name.partition("/")[0] != "..")


def _environment_files(path: Path) -> Iterator[Path]:
    """The files that an MLproject's environment was read from."""
    from mlproj.manifest.diagnostics import ManifestError
    from mlproj.manifest.load import load_manifest_file

    try:
        loaded = load_manifest_file(path)
    except ManifestError as error:  # of entry points that are broken, while the others run
        if error.remainder is None:
            return
        loaded = error.remainder
    yield from loaded.files
