"""Which image a Docker environment comes to: from its declaration, the lock, the Dockerfile and the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproj.environments.environment import Policy, Report
from mlproj.environments.images import pulls
from mlproj.environments.images.building import Recipe, has_buildkit
from mlproj.environments.images.context import context_digest, read_context
from mlproj.environments.images.dockerfile import Dockerfile, read_dockerfile, with_syntax
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
from mlproj.environments.images.pulls import Wanted
from mlproj.environments.images.references import Image, parse_reference
from mlproj.errors import EnvironmentBuildError, LockError, UsageError
from mlproj.files import sha256_of_text
from mlproj.manifest.models import Docker, DockerBuild
from mlproj.text import one_line

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


def decide(engine: Engine, wanted: Docker, name: str | None, folder: Path, policy: Policy, report: Report) -> Decision:
    """The image of an environment, whose parts are on the engine afterwards.

    Raises ``EnvironmentBuildError`` when they cannot be had, ``LockError`` when the policy asks for another lock than
    there is, ``UsageError`` for a Dockerfile or a context that cannot be.
    """

    def obtain(one: Wanted) -> tuple[Image, bool]:
        return pulls.have(engine, one, policy, report)

    chosen = _decided(engine, wanted, name, _entry(name, folder, policy), folder, policy, obtain, report)
    if chosen.notice is not None:
        report(chosen.notice)
    return chosen


def foresee(engine: Engine, wanted: Docker, name: str | None, folder: Path, policy: Policy) -> Decision:
    """What ``decide`` would come to, nothing being pulled. Raises as ``decide``."""

    def obtain(one: Wanted) -> tuple[Image, bool]:
        return look_up(engine, one, policy.offline, one.pull == "always" or policy.refresh), False

    return _decided(engine, wanted, name, _entry(name, folder, policy), folder, policy, obtain, lambda _: None)


def foresee_locked(
    engine: Engine, wanted: Docker, name: str | None, folder: Path, policy: Policy, obtain: Obtain
) -> Locked:
    """How the lock of an environment reads whose images ``obtain`` finds. Raises as ``decide``."""
    return _decided(engine, wanted, name, None, folder, policy, obtain, lambda _: None).locked


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


def _decided(
    engine: Engine,
    wanted: Docker,
    name: str | None,
    entry: Locked | None,
    folder: Path,
    policy: Policy,
    obtain: Obtain,
    report: Report,
) -> Decision:
    if wanted.build is not None:
        return _decided_build(engine, wanted, wanted.build, name, folder, policy, entry, obtain, report)
    reference = str(parse_reference(wanted.image or ""))
    declared = Locked(name, wanted.platform, image=Pin(reference, None, None))
    notice = _staleness(entry, declared, policy)
    pin = entry.image if entry is not None and (notice is None or policy.frozen) else None
    asked = Wanted(
        pin.image if pin else reference,
        wanted.platform,
        wanted.pull,
        digest=pin.digest if pin else None,
        id=pin.id if pin else None,
    )
    image, pulled = obtain(asked)
    image = replace(image, reference=asked.reference)
    return Decision(
        key=key_of(["image", image.platform, image.identity]),
        reference=asked.exact if asked.id is None else asked.reference,
        platform=image.platform,
        locked=replace(declared, image=pin_of(image)),
        lock="lock" if pin else "resolution",
        notice=notice,
        image=image,
        pulled=pulled,
    )


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


def _staleness(entry: Locked | None, declared: Locked, policy: Policy) -> str | None:
    """Why the lock is not used, if it is there and is not. Raises ``LockError`` when it has to be."""
    if entry is None or policy.frozen:
        return None
    reasons = differences(entry, declared)
    if policy.locked and context_changed(entry, declared):
        reasons.append("the files that the Dockerfile copies changed")
    if not reasons:
        return None
    told = "; ".join(one_line(reason) for reason in reasons)
    if policy.locked:
        raise LockError(f"`--locked`: `{LOCK_NAME}` is stale: {told}", hint="`mlproj lock` writes it anew")
    return f"`{LOCK_NAME}` is stale ({told}): not all of it is used; `mlproj lock` writes it anew"


def _decided_build(
    engine: Engine,
    wanted: Docker,
    build: DockerBuild,
    name: str | None,
    folder: Path,
    policy: Policy,
    entry: Locked | None,
    obtain: Obtain,
    report: Report,
) -> Decision:
    context_folder = folder / build.context
    path, text = read_text(build, folder)
    platform = wanted.platform or engine_platform(engine)
    dockerfile = read_dockerfile(text, build.args, build.target, platform)
    pins = {pin.image: pin for pin in entry.pins} if entry is not None else {}
    bases = [_base(reference, wanted, pins, policy, obtain) for reference in dockerfile.images]
    sources = None if any(base.has_triggers for base in bases) else dockerfile.sources
    context = read_context(context_folder, path, sources)
    digest = context_digest(context)
    declared = Locked(
        name,
        wanted.platform,
        build=Build(
            dockerfile=f"sha256:{sha256_of_text(text)}",
            context=f"sha256:{digest}",
            args=dict(build.args),
            target=build.target,
            bases=tuple(pin_of(base) for base in bases),
        ),
    )
    notice = _staleness(entry, declared, policy)
    pinned = dockerfile.pinned({base.reference: base.pinned for base in bases if base.digest})
    pinned, frontend = _with_frontend(engine, dockerfile, pinned, wanted, obtain, report)
    key = key_of(
        [
            "build",
            platform,
            sha256_of_text(text),
            sorted(build.args.items()),
            build.target,
            [base.identity for base in bases],
            digest,
            sorted(build.secrets),
            frontend,
        ]
    )
    recipe = Recipe(key, context, pinned, build.args, build.target, wanted.platform, tuple(build.secrets))
    return Decision(
        key=key,
        reference=recipe.tag,
        platform=platform,
        locked=declared,
        lock="lock" if entry is not None and notice is None else "resolution",
        notice=notice,
        recipe=recipe,
    )


def read_text(build: DockerBuild, folder: Path) -> tuple[Path, str]:
    """A build's Dockerfile: its path, and its text. Raises ``UsageError`` when it cannot be read."""
    context = folder / build.context
    # As `docker build --file` has it, from the project; or as Compose has it, from the context.
    places = (
        [context / "Dockerfile"]
        if build.dockerfile is None
        else [folder / build.dockerfile, context / build.dockerfile]
    )
    path = next((place for place in places if place.is_file()), places[0])
    try:
        return path, path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"there is no `{one_line(path)}` to build the image from", hint="name it by `build: {dockerfile: …}`"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"`{one_line(path)}` cannot be read: {one_line(error)}") from error


def _base(reference: str, wanted: Docker, pins: Mapping[str, Pin], policy: Policy, obtain: Obtain) -> Image:
    pin = pins.get(reference)
    if pin is None and policy.frozen:
        raise LockError(
            f"`--frozen`: `{LOCK_NAME}` pins no `{one_line(reference)}`", hint="`mlproj lock` writes it anew"
        )
    asked = Wanted(
        reference, wanted.platform, wanted.pull, digest=pin.digest if pin else None, id=pin.id if pin else None
    )
    image, _ = obtain(asked)
    return replace(image, reference=reference)


def _with_frontend(
    engine: Engine, dockerfile: Dockerfile, text: str, wanted: Docker, obtain: Obtain, report: Report
) -> tuple[str, str | None]:
    """The Dockerfile with the frontend that its ``# syntax=`` names, when that is to be had, and what that is."""
    if dockerfile.syntax is None or not has_buildkit(engine):
        return text, None
    try:
        image, _ = obtain(Wanted(str(parse_reference(dockerfile.syntax)), None, wanted.pull))
    except EnvironmentBuildError as error:
        report(f"without the frontend that the Dockerfile names, by the engine's own: {error.message}")
        return with_syntax(text, None), None
    return with_syntax(text, image.pinned if image.digest else dockerfile.syntax), image.identity


def lock_text(chosen: Decision) -> str:
    """What a lock of just this environment reads: by it the environment can be had again."""
    return dump_lock((chosen.locked,))
