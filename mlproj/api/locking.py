"""Locking every environment that a project's entry points run in."""

from __future__ import annotations

from collections.abc import Sequence

from mlproj import environments
from mlproj.api.checked import load_checked, manifest_folder
from mlproj.environments.environment import Report
from mlproj.environments.kind import LockResult
from mlproj.errors import UsageError
from mlproj.manifest.models import EnvironmentSpec
from mlproj.text import one_line


def lock_project(project: str, upgrade: bool, upgrade_packages: Sequence[str], report: Report) -> list[LockResult]:
    """Write the lock of each environment that is built from one.

    Raises ``UsageError`` when there is none to lock, ``EnvironmentBuildError`` when one cannot be resolved.
    """
    loaded, _ = load_checked(manifest_folder(project))
    manifest = loaded.manifest
    wanted: dict[str | None, EnvironmentSpec] = dict(manifest.environments.items())
    if isinstance(manifest.environment, EnvironmentSpec):
        wanted[None] = manifest.environment
    for name, entry_point in manifest.entry_points.items():
        if isinstance(entry_point.environment, EnvironmentSpec) and entry_point.environment.kind != "system":
            raise UsageError(
                f"{one_line(loaded.path)}: the entry point `{name}` has an environment of its own, which has no lock",
                hint="Give it a name under `environments`, and let the entry point refer to it.",
            )
    lockable = {name: spec for name, spec in wanted.items() if spec.kind != "system"}
    if not lockable:
        raise UsageError(f"{one_line(loaded.path)} declares no environment that is built, so there is nothing to lock")
    return [
        environments.lock(spec, name, loaded.folder, upgrade, upgrade_packages, report)
        for name, spec in sorted(lockable.items(), key=lambda each: each[0] or "")
    ]
