"""The kind ``docker``: commands run in a container of an image that is there, pulled, or built."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.environments import builds
from mlproj.environments.environment import Environment, Policy, Report
from mlproj.environments.scratch import scratch_folder, sweep
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.files import dump_json, sha256_of_text
from mlproj.locations import cache_folder

if TYPE_CHECKING:
    from mlproj.environments.images.decision import Decision
    from mlproj.environments.images.engine import Engine
    from mlproj.environments.images.references import Image
    from mlproj.environments.kind import EnvironmentPlan, LockResult
    from mlproj.environments.vendored import Target, Vendored
    from mlproj.manifest.models import Docker, EnvironmentSpec


def prepare(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy, report: Report) -> Environment:
    """Have the image, pulled or built if need be, and hold it. Raises as ``environments.prepare``."""
    from mlproj.environments.images import container, decision
    from mlproj.environments.images.engine import connect, shares_folders

    cache, wanted = cache_folder(), _wanted(spec)
    container.check(wanted, folder, policy)
    try:
        sweep(cache)
        engine = connect()
        chosen = decision.decide(engine, wanted, name, folder, policy, report)
        built, image = _built(engine, chosen, cache, report)
        try:
            builds.note_project(built.folder, folder)
            shared = shares_folders(engine, image.id, cache)
            inside = container.container_of(wanted, folder, image, engine, shared, policy, report)
        except BaseException:
            if built.held is not None:
                built.held.release()
            raise
    except OSError as error:
        raise builds.cache_error(cache, error) from error
    lock_text = decision.lock_text(chosen)
    return Environment(
        kind="docker",
        key=chosen.key,
        folder=built.folder,
        platform=image.platform,
        python=None,
        interpreter=None,
        packages={},
        lock_text=lock_text,
        lock_digest=sha256_of_text(lock_text),
        reused=built.reused,
        lock_name=decision.LOCK_NAME,
        image=chosen.image.pinned if chosen.image is not None and chosen.image.digest else chosen.reference,
        container=inside,
        held=built.held,
    )


def _wanted(spec: EnvironmentSpec) -> Docker:
    assert spec.docker is not None
    return spec.docker


def _built(engine: Engine, chosen: Decision, cache: Path, report: Report) -> tuple[builds.Built, Image]:
    """The environment of a decision, held, with its image, which is there."""
    from mlproj.environments.images import pulls

    def build() -> Path:
        return _build(engine, chosen, cache, scratch, report)

    built = builds.open_built(cache, chosen.key)
    for _ in range(2):
        if built is None:
            with scratch_folder(cache) as scratch:
                built = builds.share_or_build(cache, chosen.key, build, report)
        identifier = built.record["image_id"]
        there = chosen.image is not None and chosen.image.id == identifier
        image = chosen.image if there else pulls.find(engine, identifier)
        if image is not None:
            return built, image
        # Removed by somebody else, or of an engine that is not this one.
        if built.held is not None:
            built.held.release()
        if not builds.remove_built(cache, chosen.key):
            break
        built = None
    raise EnvironmentBuildError(
        f"the image of the environment {chosen.key} is not on the Docker engine at {engine.url}, and others use it",
        hint="wait for the runs that use it, then run again",
    )


def _build(engine: Engine, chosen: Decision, cache: Path, scratch: Path, report: Report) -> Path:
    from mlproj.environments.images import building, pulls

    made = scratch / "environment"
    (made / "projects").mkdir(parents=True)
    image = chosen.image
    if chosen.recipe is not None:
        # One that was built, and whose builder was killed before it could say so, is whole: tags come last.
        image = pulls.find(engine, chosen.recipe.tag)
        if image is None:
            log = building.build_image(engine, chosen.recipe, cache, scratch, report)
            log.rename(made / "build.log")
            image = pulls.find(engine, chosen.recipe.tag)
    if image is None:
        raise EnvironmentBuildError(f"the image {chosen.reference} was built and is not on the engine")
    # What was there before mlproj came is not mlproj's to remove.
    removable = chosen.recipe is not None or chosen.pulled
    record: dict[str, Any] = {
        "kind": "docker",
        "key": chosen.key,
        "needs": [],
        "platform": image.platform,
        "python": None,
        "interpreter": None,
        "created_at": time.time(),
        "packages": {},
        "size_elsewhere": image.size if removable else 0,
        "engine": engine.url,
        "image": chosen.reference,
        "image_id": image.id,
        "digest": image.digest,
        "remove": chosen.reference if removable else None,
    }
    (made / builds.RECORD).write_text(dump_json(record), "utf-8")
    return made


def plan(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy) -> EnvironmentPlan:
    """Say what ``prepare`` would come to: asks the registry if it must; pulls and builds nothing.

    Raises as ``environments.plan``.
    """
    from mlproj.environments.images import container, decision
    from mlproj.environments.images.engine import connect
    from mlproj.environments.kind import EnvironmentPlan

    cache, wanted = cache_folder(), _wanted(spec)
    container.check(wanted, folder, policy)
    engine = connect()
    chosen = decision.foresee(engine, wanted, name, folder, policy)
    place = builds.environment_folder(cache, chosen.key)
    return EnvironmentPlan(
        kind="docker",
        key=chosen.key,
        built=builds.read_record(place) is not None,
        folder=place,
        platform=chosen.platform,
        python=None,
        interpreter=None,
        lock=chosen.lock,
        package_count=0,
        notice=chosen.notice,
    )


def lock(
    spec: EnvironmentSpec,
    name: str | None,
    folder: Path,
    upgrade: bool,
    upgrade_packages: Sequence[str],
    report: Report,
) -> LockResult:
    """Write what images are pinned to beside the manifest. Raises as ``environments.lock``."""
    from mlproj.environments.images import locking

    return locking.lock(_wanted(spec), name, folder, upgrade, upgrade_packages, report)


def lock_path(name: str | None, folder: Path) -> Path:
    """``mlproj.lock``, which the environments of a project share."""
    from mlproj.environments.images.lockfile import LOCK_NAME

    del name
    return folder / LOCK_NAME


def vendor(
    spec: EnvironmentSpec, name: str | None, folder: Path, targets: Sequence[Target], into: Path, report: Report
) -> Vendored:
    """Refuse it. Raises ``UsageError``."""
    del spec, name, folder, targets, into, report
    raise UsageError(
        "the packages of a Docker environment are its image, which is not vendored",
        hint="`mlproj build` makes an image of the project on it; `docker save` writes images to files.",
    )


def problems(spec: EnvironmentSpec, folder: Path) -> Iterator[str]:
    """Volumes and limits that are none, and a Dockerfile that builds on nothing."""
    from mlproj.environments.images import container, decision, dockerfile

    wanted = _wanted(spec)
    try:
        container.check(wanted, folder, Policy())
        if wanted.build is not None:
            _, text = decision.read_text(wanted.build, folder)
            dockerfile.read_dockerfile(text, wanted.build.args, wanted.build.target, wanted.platform or "linux/amd64")
    except UsageError as error:
        yield error.message


def discard(record: Mapping[str, Any]) -> None:
    """Remove the image of an environment that mlproj built or pulled, unless it has other names too.

    Raises ``EnvironmentBuildError`` when the engine cannot be asked, or has a container of it.
    """
    from mlproj.environments.images import pulls
    from mlproj.environments.images.engine import connect_to

    reference = record.get("remove")
    if isinstance(reference, str):
        pulls.remove_image(connect_to(str(record.get("engine"))), reference, str(record.get("image_id")))
