"""Making an image of a project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlproj import environments
from mlproj.api.checked import CheckedManifest
from mlproj.api.packing import name_of, outputs_of, source_to_package, version_of
from mlproj.api.projects import release
from mlproj.api.request import Listener
from mlproj.environments.environment import Policy, own_python
from mlproj.environments.images.engine import Engine, connect
from mlproj.environments.interpreters import satisfies
from mlproj.environments.scratch import scratch_folder
from mlproj.errors import PackagingError, UsageError
from mlproj.locations import ANOTHER_CACHE, cache_folder, cache_trouble
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.image_names import is_image_name
from mlproj.manifest.models import Docker, EnvironmentSpec
from mlproj.packaging import image
from mlproj.packaging.base_image import BaseImage, base_image
from mlproj.packaging.contents import image_contents, read_contents
from mlproj.packaging.entries import Entry
from mlproj.packaging.needed import needed_files
from mlproj.packaging.own_wheels import own_wheels
from mlproj.packaging.vendoring import VendoredPackages, vendored_packages
from mlproj.sources import Snapshot
from mlproj.text import one_line

_PROJECT_AT = "/project"
_OF_CONTAINERS = (
    *("volumes", "user", "workdir", "entrypoint", "gpus", "shm_size", "memory", "cpus", "network", "pid"),
    *("privileged", "ports"),
)
_SECRET_NAME = re.compile(r"(?i)secret|token|passw|credential|api_?key|private_?key")


@dataclass(frozen=True)
class BuildRequest:
    """A project to make an image of, and how.

    ``tag`` is the image's reference, ``entry_point`` what it runs when nothing else is asked for, ``base`` the image to
    build on, ``platform`` as docker has it (``linux/arm64``). Without ``cache`` the engine does every step again.
    ``unpack_limit`` is the most bytes that a project may unpack to, in place of the default limits.
    """

    project: str
    tag: str
    revision: str | None = None
    entry_point: str | None = None
    base: str | None = None
    platform: str | None = None
    push: bool = False
    cache: bool = True
    unpack_limit: int | None = None


@dataclass(frozen=True)
class BuiltImage:
    """An image that was made: its reference, its id on the engine, and its digest where it was pushed to."""

    reference: str
    id: str
    digest: str | None = None


def build_image(request: BuildRequest, listener: Listener) -> BuiltImage:
    """Make an image of a project, by the engine that the caller's docker command would use.

    Raises ``UsageError`` for what cannot be as asked, ``EnvironmentBuildError`` when the engine or a package is not to
    be had or a step fails, ``PackagingError``.
    """
    if not is_image_name(request.tag) or "@" in request.tag or request.tag.startswith("sha256:"):
        raise UsageError(f"`{one_line(request.tag)}` is no name for an image", hint="It is named so: `wine:1.2`.")
    if request.base is not None and not is_image_name(request.base):
        raise UsageError(f"`{one_line(request.base)}` is no image to build on")
    snapshot, loaded = source_to_package(request.project, request.revision, request.unpack_limit, listener)
    cache = cache_folder()
    try:
        with scratch_folder(cache) as scratch:
            engine = connect()
            recipe = _recipe(request, snapshot, loaded, engine, cache, scratch, listener)
            identifier = image.build(engine, recipe, cache, scratch, listener.progress)
            digest = image.push(engine, request.tag, listener.progress) if request.push else None
            return BuiltImage(request.tag, identifier, digest)
    except OSError as error:
        if (trouble := cache_trouble(error, cache)) is not None:
            raise PackagingError(trouble, hint=ANOTHER_CACHE) from None
        raise PackagingError(f"the image could not be made: {one_line(error)}") from None
    finally:
        release(snapshot)


def _recipe(
    request: BuildRequest,
    snapshot: Snapshot,
    loaded: CheckedManifest,
    engine: Engine,
    cache: Path,
    scratch: Path,
    listener: Listener,
) -> image.ImageRecipe:
    entry_point = _entry_point(request, loaded)
    needed = needed_files(loaded.path, loaded.manifest)
    contents = image_contents(read_contents(snapshot, outputs_of(loaded), needed), snapshot.folder, needed)
    for notice in (*snapshot.notes, *contents.notices):
        listener.notice(notice)
    if contents.secrets:
        told = ", ".join(map(one_line, contents.secrets))
        which = "being called as secrets are, or private keys"
        listener.notice(f"not put into the image, {which} (a `!` in .dockerignore does): {told}")
    entry_points = loaded.manifest.entry_points
    spec = loaded.manifest.environment_of(entry_points[entry_point or next(iter(entry_points))])
    docker = spec.docker
    reference = _base_reference(request, spec, snapshot.folder, listener)
    base = base_image(engine, reference, request.platform, listener.progress)
    if docker is not None:
        _tell_of_what_is_not_in_it(docker, loaded, listener)
    wanted = [] if docker is not None else _environments(loaded, listener)
    _refuse_python(wanted, base)
    own = own_wheels(base.target, {spec.kind for _, spec in wanted}, cache, scratch, listener.progress)
    source, environment = list(contents.entries), list[Entry]()
    if wanted:
        vendored = vendored_packages(wanted, snapshot.folder, [base.target], scratch / "vendored", listener.progress)
        for notice in vendored.notices:
            listener.notice(notice)
        source, environment = _parts(source, vendored)
        environment.append(image.environments_entry(wanted))
    return image.ImageRecipe(
        reference=request.tag,
        base=base,
        project_at=_PROJECT_AT if docker is None else docker.project_at,
        entry_point=entry_point,
        kind=None if docker is None else "system",
        own=own,
        environment=environment,
        source=source,
        variables={} if docker is None else _variables(docker, listener),
        labels=_labels(loaded, snapshot, base),
        made_from=_made_from(snapshot),
        platform=request.platform,
        cache=request.cache,
    )


def _entry_point(request: BuildRequest, loaded: CheckedManifest) -> str | None:
    """The entry point that the image runs, where one is asked for or there is one that would be run anyway."""
    if request.entry_point is not None:
        return choose_entry_point(loaded.manifest, loaded.path, request.entry_point)[0]
    try:
        return choose_entry_point(loaded.manifest, loaded.path, None)[0]
    except UsageError:
        return None  # `docker run IMAGE -e NAME` says which


def _environments(loaded: CheckedManifest, listener: Listener) -> list[tuple[str | None, EnvironmentSpec]]:
    """The environments of the project's entry points that are built into the image."""
    found: dict[str | None, EnvironmentSpec] = {}
    for name, entry_point in loaded.manifest.entry_points.items():
        declared = entry_point.environment if entry_point.environment is not None else loaded.manifest.environment
        spec = loaded.manifest.environment_of(entry_point)
        if isinstance(entry_point.environment, EnvironmentSpec) and spec.kind != "system":
            raise UsageError(
                f"the entry point `{one_line(name)}` has an environment of its own, which has no lock",
                hint="Give it a name under `environments`, and let the entry point refer to it.",
            )
        if spec.docker is not None:
            listener.notice(f"the entry point `{one_line(name)}` runs in a container, and not in this image")
        elif spec.kind != "system":
            found[declared if isinstance(declared, str) else None] = spec
    return sorted(found.items(), key=lambda each: each[0] or "")


def _tell_of_what_is_not_in_it(docker: Docker, loaded: CheckedManifest, listener: Listener) -> None:
    """Say what an image that is built on a Docker environment's own has not got of what the manifest declares."""
    if left := [name.replace("_", " ") for name in _OF_CONTAINERS if getattr(docker, name)]:
        listener.notice(f"not in the image, being a container's, and to be given to `docker run`: {', '.join(left)}")
    for name, entry_point in loaded.manifest.entry_points.items():
        spec = loaded.manifest.environment_of(entry_point)
        shown = one_line(name)
        if spec.docker is None and spec.kind != "system":
            listener.notice(f"the entry point `{shown}` runs in a {spec.kind}, which is not in this image")
        elif spec.docker is not None and (spec.docker.image, spec.docker.build) != (docker.image, docker.build):
            listener.notice(f"the entry point `{shown}` runs in another image than this one is built on")


def _base_reference(request: BuildRequest, spec: EnvironmentSpec, folder: Path, listener: Listener) -> str:
    if spec.docker is not None:
        if request.base is not None:
            raise UsageError("--base: the project declares a Docker environment, whose image is built on")
        prepared = environments.prepare(spec, None, folder, Policy(), listener.progress)
        if prepared.held is not None:
            prepared.held.release()
        assert prepared.image is not None
        return prepared.image
    if request.base is not None:
        return request.base
    version = own_python()[1]
    if spec.virtualenv is not None:
        version = environments.plan(spec, None, folder, Policy()).python or version
    return f"python:{'.'.join(version.split('.')[:2])}-slim"


def _refuse_python(wanted: list[tuple[str | None, EnvironmentSpec]], base: BaseImage) -> None:
    for _, spec in wanted:
        asked = spec.virtualenv.python if spec.virtualenv is not None else None
        version = base.target.python or ""
        if asked is not None and satisfies(version, asked) is False:
            shown = one_line(base.image.reference)
            raise UsageError(
                f"the project needs Python {one_line(asked)}, and the image `{shown}` has {version}",
                hint="`--base` names another image: `--base python:X.Y-slim`.",
            )


def _parts(source: list[Entry], vendored: VendoredPackages) -> tuple[list[Entry], list[Entry]]:
    """The project's files with the locks that were made, and what of them decides the environments, with packages."""
    made = {entry.name: entry for entry in vendored.entries if entry.name in vendored.locks}
    source = [entry for entry in source if entry.name not in made] + list(made.values())
    deciding = vendored.locks | vendored.declared_in
    environment = [entry for entry in source if vendored.installs_project or entry.name in deciding]
    return source, environment + [entry for entry in vendored.entries if entry.name not in made]


def _variables(docker: Docker, listener: Listener) -> dict[str, str]:
    """The variables that the manifest sets; those that it takes from the caller are given by ``docker run -e``."""
    pairs = {each[0]: each[1] for each in docker.environment if not isinstance(each, str)}
    if secret := sorted(name for name in pairs if _SECRET_NAME.search(name)):
        told = f"not set in the image, being called as secrets are: {', '.join(map(one_line, secret))}"
        where = "their values stand in the manifest, which is in the image all the same"
        listener.notice(f"{told} ({where}; named without a value, they are for `docker run -e` to give)")
    taken = [each for each in docker.environment if isinstance(each, str)]
    if taken:
        listener.notice(f"to be given by `docker run -e`: {', '.join(map(one_line, taken))}")
    return {name: value for name, value in pairs.items() if name not in secret}


def _labels(loaded: CheckedManifest, snapshot: Snapshot, base: BaseImage) -> Mapping[str, str]:
    """The annotations of the OCI image specification (annotations.md), and what a project's image is known by."""
    found = {
        "title": name_of(loaded, snapshot),
        "description": loaded.manifest.description,
        "version": version_of(snapshot.folder),
        "source": _public_remote(snapshot),
        "revision": _revision(snapshot),
        "base.name": base.image.reference,
        "base.digest": base.image.digest,
    }
    return {f"org.opencontainers.image.{key}": value for key, value in found.items() if value}


def _public_remote(snapshot: Snapshot) -> str | None:
    """Where the project's repository is, unless that is a place on this machine."""
    remote = snapshot.remote if snapshot.kind == "git" else None
    return None if remote is not None and remote.startswith(("/", ".", "file:")) else remote


def _revision(snapshot: Snapshot) -> str | None:
    return None if snapshot.commit is None else snapshot.commit + ("-dirty" if snapshot.dirty else "")


def _made_from(snapshot: Snapshot) -> str:
    """What the records of the image's runs say of their source: ``https://…/wine.git@0a1b2c…-dirty``."""
    return "@".join(each for each in (_public_remote(snapshot), _revision(snapshot)) if each)
