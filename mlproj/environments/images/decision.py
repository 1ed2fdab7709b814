"""Which image a Docker environment comes to: from its declaration, the lock, the Dockerfile and the engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.environments import builds
from mlproj.environments.environment import Policy, Report
from mlproj.environments.images import pulls
from mlproj.environments.images.context import LARGEST_FILE
from mlproj.environments.images.engine import Engine, engine_platform
from mlproj.environments.images.lockfile import (
    LOCK_NAME,
    Build,
    Locked,
    Pin,
    context_changed,
    differences,
    dump_lock,
    pin_of,
    read_lock,
)
from mlproj.environments.images.project_files import read_regular
from mlproj.environments.images.pulls import Wanted
from mlproj.environments.images.references import Image, parse_reference
from mlproj.errors import EnvironmentBuildError, LockError, UsageError
from mlproj.files import sha256_of_text
from mlproj.locations import cache_folder
from mlproj.manifest.environment_files import dockerfiles_of
from mlproj.manifest.image_names import is_image_name
from mlproj.manifest.models import Docker, DockerBuild
from mlproj.text import one_line

if TYPE_CHECKING:
    from mlproj.environments.images.building import Recipe
    from mlproj.environments.images.dockerfile import Dockerfile

__all__ = ["LOCK_NAME", "Decision", "Obtain", "decide", "foresee", "foresee_locked", "lock_text", "look_up"]

# Has an image, or finds out what it would be, and says whether it was pulled now.
Obtain = Callable[[Wanted], tuple[Image, bool]]


@dataclass(frozen=True)
class Decision:
    """The image that an environment comes to: one that is there, or a ``recipe`` to build one.

    ``lock`` is as in ``EnvironmentPlan``; ``locked`` is how the lock of this very environment reads.
    """

    key: str
    reference: str
    platform: str
    locked: Locked
    lock: str
    notice: str | None = None
    image: Image | None = None
    pulled: bool = False
    recipe: Recipe | None = None


@dataclass(frozen=True)
class _Question:
    """What is to be decided: a declaration, its part of the lock, and by what means images are had."""

    engine: Engine
    wanted: Docker
    name: str | None
    folder: Path
    policy: Policy
    entry: Locked | None
    obtain: Obtain
    report: Report


def decide(engine: Engine, wanted: Docker, name: str | None, folder: Path, policy: Policy, report: Report) -> Decision:
    """The image of an environment, whose parts are on the engine afterwards.

    Raises ``EnvironmentBuildError`` when they cannot be had, ``LockError`` when the policy asks for another lock than
    there is, ``UsageError`` for a Dockerfile or a context that cannot be.
    """

    def obtain(one: Wanted) -> tuple[Image, bool]:
        return pulls.have(engine, one, policy, report)

    entry = _entry(name, folder, policy)
    chosen = _decided(_Question(engine, wanted, name, folder, policy, entry, obtain, report))
    if chosen.notice is not None:
        report(chosen.notice)
    return chosen


def foresee(engine: Engine, wanted: Docker, name: str | None, folder: Path, policy: Policy) -> Decision:
    """What ``decide`` would come to, nothing being pulled. Raises as ``decide``."""

    def obtain(one: Wanted) -> tuple[Image, bool]:
        return look_up(engine, one, policy.offline, one.pull == "always" or policy.refresh), False

    entry = _entry(name, folder, policy)
    return _decided(_Question(engine, wanted, name, folder, policy, entry, obtain, lambda _: None))


def foresee_locked(engine: Engine, wanted: Docker, name: str | None, folder: Path, obtain: Obtain) -> Locked:
    """How the lock of an environment reads whose images ``obtain`` finds. Raises as ``decide``."""
    return _decided(_Question(engine, wanted, name, folder, Policy(), None, obtain, lambda _: None)).locked


def look_up(engine: Engine, wanted: Wanted, offline: bool, anew: bool) -> Image:
    """An image as the engine has it, else as its registry does (then without an id); ``anew`` asks the registry first.

    Raises ``EnvironmentBuildError``.
    """
    there = pulls.locally(engine, wanted)
    pinned = wanted.digest is not None or wanted.id is not None
    if there is not None and (pinned or offline or not anew or wanted.pull == "never"):
        return there
    if wanted.pull == "never" or offline or wanted.id is not None:
        why = "`pull: never`" if wanted.pull == "never" else "`--offline`" if offline else "the lock"
        raise EnvironmentBuildError(
            f"the engine has no image `{one_line(wanted.exact)}`, and {why} leaves no registry to ask for it"
        )
    try:
        digest = wanted.digest or pulls.digest_in_registry(engine, wanted.reference)
    except EnvironmentBuildError:
        if there is None or there.digest is not None:
            raise
        return there  # on this machine only
    if there is not None and there.digest == digest:
        return there
    platform = wanted.platform or engine_platform(engine)
    return Image(wanted.reference, "", digest, platform, 0, False, "")


def _decided(asked: _Question) -> Decision:
    if asked.wanted.build is not None:
        return _decided_build(asked, asked.wanted.build)
    return _decided_image(asked, asked.wanted.image)


def _decided_image(asked: _Question, name: str | None) -> Decision:
    if name is None or not is_image_name(name):
        raise UsageError(
            f"`{one_line(name)}` is no image", hint="write it as `python:3.12-slim` or `registry.example/team/train:1`"
        )
    # The engine knows an id by its beginning, too; with a tag it would be a name.
    reference = name if re.fullmatch(r"[0-9a-f]{12,64}", name) else str(parse_reference(name))
    declared = Locked(asked.name, asked.wanted.platform, image=Pin(reference, None, None))
    notice = _staleness(asked, declared)
    pin = asked.entry.image if asked.entry is not None and notice is None else None
    one = _one(asked, pin.image if pin else reference, pin)
    image, pulled = asked.obtain(one)
    image = replace(image, reference=one.reference)
    return Decision(
        key=key_of(["image", image.platform, image.identity]),
        reference=one.exact,
        platform=image.platform,
        locked=replace(declared, image=pin_of(image)),
        lock="lock" if pin else "resolution",
        notice=notice,
        image=image,
        pulled=pulled,
    )


def _one(asked: _Question, reference: str, pin: Pin | None) -> Wanted:
    wanted = asked.wanted
    if pin is None:
        return Wanted(reference, wanted.platform, wanted.pull)
    return Wanted(reference, wanted.platform, wanted.pull, digest=pin.digest, id=pin.id)


def key_of(decisive: Sequence[Any]) -> str:
    """The key of an environment by all that decides what it is."""
    return sha256_of_text(json.dumps(["docker", *decisive], sort_keys=True))[:32]


def _entry(name: str | None, folder: Path, policy: Policy) -> Locked | None:
    """The environment's part of the project's lock. Raises ``LockError`` when the policy asks for one."""
    environments = read_lock(folder)
    found = next((each for each in environments or () if each.name == name), None)
    if found is None and (policy.locked or policy.frozen):
        asked = "--locked" if policy.locked else "--frozen"
        missing = f"there is no `{LOCK_NAME}`" if environments is None else f"the environment is not in `{LOCK_NAME}`"
        raise LockError(f"`{asked}`: {missing}", hint="`mlproj lock` writes it")
    return found


def _staleness(asked: _Question, declared: Locked) -> str | None:
    """Why the lock is not used, if it is there and is not. Raises ``LockError`` when it has to be."""
    if asked.entry is None or asked.policy.frozen:
        return None
    reasons = differences(asked.entry, declared)
    if not reasons:
        return None
    told = "; ".join(one_line(reason) for reason in reasons)
    if asked.policy.locked:
        raise _stale(told)
    return f"`{LOCK_NAME}` is stale ({told}): not all of it is used; `mlproj lock` writes it anew"


def _stale(told: str) -> LockError:
    return LockError(f"`--locked`: `{LOCK_NAME}` is stale: {told}", hint="`mlproj lock` writes it anew")


def _decided_build(asked: _Question, build: DockerBuild) -> Decision:
    from mlproj.environments.images.building import Recipe
    from mlproj.environments.images.context import context_digest, read_context
    from mlproj.environments.images.dockerfile import read_dockerfile

    path, text = read_text(build, asked.folder)
    platform = asked.wanted.platform or engine_platform(asked.engine)
    dockerfile = read_dockerfile(text, build.args, build.target, platform)
    declared = _declared_build(asked, build, text, [Pin(image, None, None) for image in dockerfile.images])
    # Before anything is pulled for it.
    notice = _staleness(asked, declared)
    bases = [_base(asked, reference) for reference in dockerfile.images]
    sources = None if any(base.has_triggers for base in bases) else dockerfile.sources
    context = read_context(asked.folder / build.context, path, sources)
    digest = context_digest(context, cache_folder())
    declared = _declared_build(asked, build, text, [pin_of(base) for base in bases], f"sha256:{digest}")
    if asked.policy.locked and asked.entry is not None and context_changed(asked.entry, declared):
        raise _stale("the files that the Dockerfile copies changed")
    decisive = [
        "build",
        platform,
        sha256_of_text(text),
        sorted(build.args.items()),
        build.target,
        [base.identity for base in bases],
        digest,
        sorted(build.secrets),
    ]
    pinned = dockerfile.pinned({base.reference: base.pinned for base in bases if base.digest})
    pinned, frontend = _with_frontend(asked, dockerfile, pinned, key_of([*decisive, None]))
    key = key_of([*decisive, frontend])
    recipe = Recipe(key, context, pinned, build.args, build.target, asked.wanted.platform, tuple(build.secrets))
    return Decision(
        key=key,
        reference=recipe.tag,
        platform=platform,
        locked=declared,
        lock="lock" if asked.entry is not None and notice is None else "resolution",
        notice=notice,
        recipe=recipe,
    )


def _declared_build(asked: _Question, build: DockerBuild, text: str, bases: Sequence[Pin], context: str = "") -> Locked:
    made = Build(f"sha256:{sha256_of_text(text)}", context, dict(build.args), build.target, tuple(bases))
    return Locked(asked.name, asked.wanted.platform, build=made)


def read_text(build: DockerBuild, folder: Path) -> tuple[Path, str]:
    """A build's Dockerfile: its path, and its text. Raises ``UsageError`` when it cannot be read."""
    places = [folder / each for each in dockerfiles_of(Docker(build=build))]
    path = next((place for place in places if place.is_file()), places[0])
    try:
        return path, read_regular(path, LARGEST_FILE).decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"there is no `{one_line(path)}` to build the image from", hint="name it by `build: {dockerfile: …}`"
        ) from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UsageError(f"`{one_line(path)}` cannot be read: {one_line(reason)}") from error


def _base(asked: _Question, reference: str) -> Image:
    pins = {pin.image: pin for pin in asked.entry.pins} if asked.entry is not None else {}
    if reference not in pins and asked.policy.frozen:
        raise LockError(
            f"`--frozen`: `{LOCK_NAME}` pins no `{one_line(reference)}`", hint="`mlproj lock` writes it anew"
        )
    image, _ = asked.obtain(_one(asked, reference, pins.get(reference)))
    return replace(image, reference=reference)


def _with_frontend(asked: _Question, dockerfile: Dockerfile, text: str, key_without: str) -> tuple[str, str | None]:
    """The Dockerfile with the frontend that its ``# syntax=`` names, when that is to be had, and what that is."""
    from mlproj.environments.images.building import has_buildkit
    from mlproj.environments.images.dockerfile import with_syntax

    named = dockerfile.syntax
    if named is None or not is_image_name(named) or not has_buildkit(asked.engine):
        return text, None
    wanted = Wanted(str(parse_reference(named)), None, asked.wanted.pull)
    built_without = builds.read_record(builds.environment_folder(cache_folder(), key_without)) is not None
    if built_without and not asked.policy.refresh and pulls.locally(asked.engine, wanted) is None:
        return with_syntax(text, None), None  # it was not to be had then: a warm run does not ask again
    try:
        image, _ = asked.obtain(wanted)
    except EnvironmentBuildError as error:
        asked.report(f"without the frontend that the Dockerfile names, by the engine's own: {error.message}")
        return with_syntax(text, None), None
    return with_syntax(text, image.pinned if image.digest else named), image.identity


def lock_text(chosen: Decision) -> str:
    """What a lock of just this environment reads: by it the environment can be had again."""
    return dump_lock((chosen.locked,))
