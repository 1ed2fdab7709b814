"""By what a CI system keeps the cache of a project's environments between its jobs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from mlproj import environments
from mlproj.api.checked import checked_manifest, manifest_folder
from mlproj.environments.environment import own_python, platform_name
from mlproj.locations import cache_folder
from mlproj.manifest.environment_files import dockerfiles_of, environments_of, files_of_environments
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
    digest = hashlib.sha256()
    files: list[str] = [*files_of_environments(manifest)]
    for at, spec in environments_of(manifest):
        name = str(at[1]) if at[0] == "environments" else None
        digest.update(json.dumps([name, asdict(spec)], sort_keys=True, default=str).encode())
        place = environments.lock_path(spec, name, folder)
        if place is not None and place.is_file():
            digest.update(place.read_bytes())
        if spec.docker is not None and spec.docker.build is not None:
            files += dockerfiles_of(spec.docker)
    for file in files:
        digest.update((folder / file).read_bytes() if (folder / file).is_file() else b"")
    python = ".".join(own_python()[1].split(".")[:2])
    beginning = f"mlproj-{__version__}-{platform_name()}-py{python}-"
    return CacheKey(beginning + digest.hexdigest()[:16], beginning, str(cache_folder()))
