"""By what a CI system keeps the cache of a project's environments between its jobs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from mlproj import environments
from mlproj.api.checked import checked_manifest, manifest_folder
from mlproj.environments.environment import own_python, platform_name
from mlproj.locations import cache_folder
from mlproj.manifest.models import EnvironmentSpec
from mlproj.version import __version__


@dataclass(frozen=True)
class CacheKey:
    """``whole`` is the key, ``beginning`` what older caches have in common with it, ``folder`` what to keep."""

    whole: str
    beginning: str
    folder: str


def cache_key(project: str) -> CacheKey:
    """The key of a project's environments: its locks, what its manifest asks for, the platform, Python, mlproj.

    Raises ``UsageError`` when there is no such project or its manifest is broken.
    """
    folder = manifest_folder(project)
    manifest = checked_manifest(folder, cache_folder()).manifest
    named: list[tuple[str | None, EnvironmentSpec]] = [*manifest.environments.items()]
    of_entry_points = [each.environment for each in manifest.entry_points.values()]
    named += [(None, each) for each in (manifest.environment, *of_entry_points) if isinstance(each, EnvironmentSpec)]
    digest = hashlib.sha256()
    for name, spec in named:
        digest.update(json.dumps([name, asdict(spec)], sort_keys=True, default=str).encode())
        place = environments.lock_path(spec, name, folder)
        if place is not None and place.is_file():
            digest.update(place.read_bytes())
        for file in _declared_files(spec):
            path = folder / file
            digest.update(path.read_bytes() if path.is_file() else b"")
    python = ".".join(own_python()[1].split(".")[:2])
    beginning = f"mlproj-{__version__}-{platform_name()}-py{python}-"
    return CacheKey(beginning + digest.hexdigest()[:16], beginning, str(cache_folder()))


def _declared_files(spec: EnvironmentSpec) -> list[str]:
    """The files that an environment is declared in, beside the manifest."""
    virtualenv, conda, docker = spec.virtualenv, spec.conda, spec.docker
    found = [virtualenv.requirements, virtualenv.project] if virtualenv is not None else []
    found += [conda.file] if conda is not None else []
    found += [docker.build.dockerfile or "Dockerfile"] if docker is not None and docker.build is not None else []
    return [each for each in found if each is not None]
