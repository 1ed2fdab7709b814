"""Environments: from what a manifest asks for to something ready to run in, keyed by its lock.

A kind of environment is one module that fulfils ``kind.Kind``, and one row of ``KINDS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlproj.environments.environment import Environment, Policy, Report

if TYPE_CHECKING:
    from mlproj.environments.inventory import BuiltEnvironment, Removal
    from mlproj.environments.kind import EnvironmentPlan, Kind, LockResult
    from mlproj.environments.vendored import Target, Vendored
    from mlproj.manifest.models import EnvironmentSpec

__all__ = [
    "KINDS",
    "Environment",
    "Policy",
    "Report",
    "list_environments",
    "lock",
    "lock_path",
    "plan",
    "prepare",
    "problems",
    "prune",
    "remove",
    "vendor",
]

KINDS = {
    "conda": "mlproj.environments.conda",
    "docker": "mlproj.environments.docker",
    "system": "mlproj.environments.system",
    "virtualenv": "mlproj.environments.virtualenv",
}


def _kind(name: str) -> Kind:
    # By name, so that a run imports the one kind it uses.
    from importlib import import_module

    return cast("Kind", import_module(KINDS[name]))


def prepare(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy, report: Report) -> Environment:
    """Build the environment that ``spec`` asks for, or find it built, and hold it for as long as it is used.

    ``name`` is its name among the manifest's ``environments``, or ``None``; ``folder`` is the project's.

    Raises ``EnvironmentBuildError`` when it cannot be resolved or built, ``LockError`` when the policy asks
    for a lock that is missing or stale, ``UsageError`` when ``spec`` or the files it names ask for what
    cannot be.
    """
    return _kind(spec.kind).prepare(spec, name, folder.absolute(), policy, report)


def plan(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy) -> EnvironmentPlan:
    """Say what ``prepare`` would come to.

    May resolve; changes nothing outside the cache. Raises as ``prepare``.
    """
    return _kind(spec.kind).plan(spec, name, folder.absolute(), policy)


def lock(
    spec: EnvironmentSpec,
    name: str | None,
    folder: Path,
    upgrade: bool,
    upgrade_packages: Sequence[str],
    report: Report,
) -> LockResult:
    """Write the lock of ``spec`` beside the manifest, keeping the versions of the lock before where they
    still fit.

    ``upgrade`` takes the newest version of everything, ``upgrade_packages`` of the packages named. Raises as
    ``prepare``.
    """
    return _kind(spec.kind).lock(spec, name, folder.absolute(), upgrade, upgrade_packages, report)


def lock_path(spec: EnvironmentSpec, name: str | None, folder: Path) -> Path | None:
    """Where the lock of ``spec`` stands beside the manifest, there or not; ``None`` for a kind without locks."""
    return _kind(spec.kind).lock_path(name, folder.absolute())


def vendor(
    spec: EnvironmentSpec, name: str | None, folder: Path, targets: Sequence[Target], into: Path, report: Report
) -> Vendored:
    """The packages that ``spec`` comes to on ``targets``, for a project to carry with it, by its lock.

    Without a fresh lock one is made, and handed back with them; the project is not touched. Files that are not kept in
    the cache are put into ``into``. Raises as ``prepare``, and ``EnvironmentBuildError`` for a package that there is no
    file of for one of ``targets``.
    """
    return _kind(spec.kind).vendor(spec, name, folder.absolute(), targets, into, report)


def problems(spec: EnvironmentSpec, folder: Path) -> list[str]:
    """What is wrong with what ``spec`` asks for, as far as the project's files alone can tell."""
    return list(_kind(spec.kind).problems(spec, folder.absolute()))


def list_environments() -> list[BuiltEnvironment]:
    """The environments that are built, last used first."""
    from mlproj.environments import inventory

    return inventory.list_environments()


def remove(key_prefix: str) -> Removal:
    """Remove the one environment whose key starts so.

    Raises ``UsageError`` for none, several, or one in use, ``EnvironmentBuildError`` when it cannot be removed.
    """
    from mlproj.environments import inventory

    return inventory.remove(key_prefix, _discard)


def prune(older_than: float | None = None) -> Removal:
    """Remove every environment not in use, or only those last used more than ``older_than`` seconds ago."""
    from mlproj.environments import inventory

    return inventory.prune(older_than, _discard)


def _discard(record: Mapping[str, Any]) -> None:
    if record.get("kind") in KINDS:
        _kind(record["kind"]).discard(record)
