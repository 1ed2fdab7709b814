"""Built environments: from key to folder, built once by whoever comes first, shared, held while used.

Two locks a key. ``build`` is held alone while an environment is built or removed; ``use`` is held together by
all who run in it. Who is to use an environment takes ``use`` either and then looks whether it is built, or
while holding ``build``; who is to remove one holds both alone. So there is no moment at which one that is
about to be used goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.environments.environment import Report
from mlproj.errors import EnvironmentBuildError
from mlproj.files import sha256_of_text
from mlproj.locks import HeldLock, try_exclusive, try_shared, wait_exclusive

RECORD = "environment.json"


@dataclass(frozen=True)
class Built:
    """A built environment: its folder, what it says of itself, and the lock that keeps it there."""

    folder: Path
    record: dict[str, Any]
    held: HeldLock | None
    reused: bool


def environment_folder(cache: Path, key: str) -> Path:
    """Where the environment of a key is, when it is built."""
    return cache / "environments" / key


def build_lock(cache: Path, key: str) -> Path:
    """The lock that builders and removers of a key hold alone."""
    return cache / "locks" / f"{key}.build"


def use_lock(cache: Path, key: str) -> Path:
    """The lock that the users of a key's environment hold together."""
    return cache / "locks" / f"{key}.use"


def read_record(folder: Path) -> dict[str, Any] | None:
    """What a built environment says of itself, or ``None`` when ``folder`` holds none that is whole.

    A virtualenv whose base interpreter was uninstalled is not: its ``python``, which it ``needs``, links to nothing.
    """
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict):
        return None
    needed = record.get("needs", ["bin/python"])
    return record if all((folder / each).exists() for each in needed) else None


def open_built(cache: Path, key: str) -> Built | None:
    """The environment of a key, held, or ``None`` when it is not built, or being removed at this moment."""
    try:
        held = try_shared(use_lock(cache, key))
    except PermissionError:
        held, locked = None, False
    except OSError as error:
        import errno

        if error.errno != errno.EROFS:
            raise
        held, locked = None, False
    else:
        locked = True
    if locked and held is None:
        return None
    folder = environment_folder(cache, key)
    record = read_record(folder)
    if record is None:
        if held is not None:
            held.release()
        return None
    _note_use(folder)
    return Built(folder, record, held, reused=True)


def _note_use(folder: Path) -> None:
    with suppress(OSError):
        os.utime(folder / RECORD)


def share_or_build(cache: Path, key: str, build: Callable[[], Path], report: Report) -> Built:
    """The environment of a key, held: the one that is built, or else what ``build`` makes.

    ``build`` gives a finished folder on the cache's file system, which is moved to its place in one step. Of
    several that call this at once for one key, one builds and the others wait for it and share.
    """
    held_build = wait_for(build_lock(cache, key), "waiting for another mlproj that builds this environment", report)
    try:
        shared = open_built(cache, key)
        if shared is not None:
            return shared
        finished = build()
        folder = environment_folder(cache, key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.rename(finished.parent / "broken")
        finished.rename(folder)
        # Nobody removes it before this has it: removers hold the build lock.
        held = try_shared(use_lock(cache, key))
        record = read_record(folder)
        assert record is not None
        return Built(folder, record, held, reused=False)
    finally:
        held_build.release()


def wait_for(path: Path, phrase: str, report: Report) -> HeldLock:
    """Hold a lock alone, saying so when others have it first."""
    held = try_exclusive(path)
    if held is None:
        report(phrase)
        held = wait_exclusive(path)
    return held


def wait_for_question(cache: Path, asked: str, report: Report) -> HeldLock:
    """Be the only one who answers a question (``recall.question``): the others then recall what was found."""
    phrase = "waiting for another mlproj that prepares this environment"
    return wait_for(cache / "locks" / f"{asked}.question", phrase, report)


def note_project(environment: Path, project: Path) -> None:
    """Note in a built environment's folder that a project uses it, for people to see."""
    note = environment / "projects" / sha256_of_text(str(project))[:16]
    with suppress(OSError):
        if not note.exists():
            note.write_text(str(project), "utf-8", "surrogateescape")


def remove_built(cache: Path, key: str, discard: Callable[[], None] = lambda: None) -> bool:
    """Remove the environment of a key unless it is in use or being built. Gives whether it was removed.

    ``discard`` removes what of it lies elsewhere, before: when that raises, the environment stays.
    """
    held_build = try_exclusive(build_lock(cache, key))
    if held_build is None:
        return False
    try:
        held_use = try_exclusive(use_lock(cache, key))
        if held_use is None:
            return False
        try:
            from mlproj.environments.scratch import remove_tree, scratch_folder

            discard()
            # Out of its place in one step: one removed by half would be taken for built.
            with scratch_folder(cache) as scratch:
                environment_folder(cache, key).rename(scratch / "removed")
                remove_tree(scratch / "removed")
            return True
        except FileNotFoundError:
            return False
        finally:
            held_use.release()
    finally:
        held_build.release()


def is_in_use(cache: Path, key: str) -> bool:
    """Whether somebody runs in the environment of a key, builds it or removes it."""
    # With the build lock held nobody's first look at the environment can be disturbed by ours for long.
    held_build = try_exclusive(build_lock(cache, key))
    if held_build is None:
        return True
    try:
        held_use = try_exclusive(use_lock(cache, key))
        if held_use is None:
            return True
        held_use.release()
        return False
    finally:
        held_build.release()


def cache_error(cache: Path, error: OSError) -> EnvironmentBuildError:
    """The error for a cache that cannot be read or written: a full disk, missing rights."""
    at = f": {error.filename}" if error.filename else ""
    return EnvironmentBuildError(
        f"the environment could not be prepared: {error.strerror or error}{at}",
        hint=f"environments are kept in {cache} (set MLPROJ_CACHE for another place)",
    )
