"""What can be said of the files that environments name before anything is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlproj.manifest.diagnostics import Diagnostic, ManifestError
from mlproj.manifest.document import KeyPath
from mlproj.manifest.environment_files import dockerfiles_of, environments_of
from mlproj.manifest.load import LoadedManifest
from mlproj.manifest.mlproject_environments import read_conda_file
from mlproj.manifest.models import Conda, Docker, Virtualenv


def problems_with_files(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    """Files that are missing, and what is wrong in those that can be read without a tool."""
    if loaded.manifest.dialect == "mlflow":
        return  # whose files are read together with the MLproject
    for at, spec in environments_of(loaded.manifest):
        if spec.virtualenv is not None:
            yield from _of_a_virtualenv(loaded, (*at, "virtualenv"), spec.virtualenv)
        if spec.conda is not None:
            yield from _of_conda(loaded, (*at, "conda"), spec.conda)
        if spec.docker is not None:
            yield from _of_docker(loaded, (*at, "docker"), spec.docker)


def _of_a_virtualenv(loaded: LoadedManifest, at: KeyPath, virtualenv: Virtualenv) -> Iterator[Diagnostic]:
    for key in ("requirements", "project"):
        name = getattr(virtualenv, key)
        if name is not None and not (loaded.folder / name).is_file():
            yield loaded.document.diagnostic(f"no file `{name}` in the project", (*at, key))
        elif name is not None and key == "requirements":
            for missing in _missing_includes(loaded.folder / name, set()):
                message = f"`{name}` refers to a file that is not there: {missing}"
                yield loaded.document.diagnostic(message, (*at, key))


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


def _of_conda(loaded: LoadedManifest, at: KeyPath, conda: Conda) -> Iterator[Diagnostic]:
    if conda.file is None:
        return
    try:
        read_conda_file(loaded.folder, conda.file)
    except ManifestError as error:
        for each in error.diagnostics:
            # What is wrong with the file as a whole is told where it is named.
            yield each if each.span is not None else loaded.document.diagnostic(each.message, (*at, "file"))


def _of_docker(loaded: LoadedManifest, at: KeyPath, docker: Docker) -> Iterator[Diagnostic]:
    build = docker.build
    if build is not None:
        # A build that is just a folder has no keys of its own.
        place = (*at, "build")
        if not (loaded.folder / build.context).is_dir():
            inner = (*place, "context")
            message = f"no folder `{build.context}` in the project"
            yield loaded.document.diagnostic(message, inner if inner in loaded.document.values else place)
        elif not any((loaded.folder / each).is_file() for each in dockerfiles_of(docker)):
            inner = (*place, "dockerfile")
            message = f"no file `{dockerfiles_of(docker)[0]}` in the project"
            yield loaded.document.diagnostic(message, inner if inner in loaded.document.values else place)
    for index, volume in enumerate(docker.volumes):
        source = volume.partition(":")[0]
        if source.startswith("./") and not (loaded.folder / source).exists():
            told = loaded.document.diagnostic(f"no file or folder `{source}` in the project", (*at, "volumes", index))
            yield replace(told, severity="warning")  # an earlier entry point may make it
