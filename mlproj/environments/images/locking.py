"""Writing ``mlproj.lock``: what the images of one environment are pinned to, the other environments kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlproj.environments.environment import Report
from mlproj.environments.images import pulls
from mlproj.environments.images.decision import foresee_locked, look_up
from mlproj.environments.images.engine import connect
from mlproj.environments.images.lockfile import (
    LOCK_NAME,
    Locked,
    dump_lock,
    read_lock,
    with_environment,
)
from mlproj.environments.images.pulls import Wanted
from mlproj.environments.images.references import Image, parse_reference
from mlproj.environments.kind import LockResult, write_lock
from mlproj.errors import UsageError
from mlproj.files import sha256_of_text
from mlproj.locations import cache_folder
from mlproj.locks import exclusive
from mlproj.manifest.models import Docker
from mlproj.text import one_line


def lock(
    wanted: Docker, name: str | None, folder: Path, upgrade: bool, upgrade_packages: Sequence[str], report: Report
) -> LockResult:
    """Pin the images of an environment, as they were pinned where the declaration still fits.

    ``upgrade`` asks the registry for what every reference means now, ``upgrade_packages`` for some. Raises
    ``EnvironmentBuildError`` when an image is not to be had, ``LockError`` for a broken lock, ``UsageError`` for an
    image to upgrade that is none of the environment's.
    """
    engine = connect()
    path = folder / LOCK_NAME
    # Several environments of a project share the file.
    with exclusive(cache_folder() / "locks" / f"{sha256_of_text(str(path))[:32]}.lockfile"):
        environments = read_lock(folder) or ()
        before = next((each for each in environments if each.name == name), None)
        names = {str(parse_reference(each)) for each in upgrade_packages}
        pins = {pin.image: pin for pin in (before.pins if before is not None else ())}
        seen: set[str] = set()

        def obtain(one: Wanted) -> tuple[Image, bool]:
            seen.add(one.reference)
            pin = None if upgrade or one.reference in names else pins.get(one.reference)
            asked = Wanted(
                one.reference,
                one.platform,
                one.pull,
                digest=pin.digest if pin else None,
                id=pin.id if pin else None,
            )
            if pin is not None and pin.id is not None and pulls.locally(engine, asked) is None:
                asked = Wanted(one.reference, one.platform, one.pull)  # built anew here
            report(f"looking up {one_line(one.reference)}")
            found = look_up(engine, asked, offline=False, anew=upgrade or one.reference in names)
            if found.digest is None:
                report(f"{one_line(one.reference)} is on this machine only: the lock holds for no other")
            return found, False

        after = foresee_locked(engine, wanted, name, folder, obtain)
        if unknown := names - seen:
            raise UsageError(
                f"the environment has no image `{one_line(min(unknown))}` to upgrade",
                hint="its images are " + ", ".join(one_line(each) for each in sorted(seen)),
            )
        text = dump_lock(with_environment(environments, after))
        return write_lock(path, text, _pinned(before), _pinned(after), unit="image")


def _pinned(locked: Locked | None) -> dict[str, str]:
    return {pin.image: _short(pin.identity) for pin in locked.pins} if locked is not None else {}


def _short(identity: str) -> str:
    return identity[:19]
