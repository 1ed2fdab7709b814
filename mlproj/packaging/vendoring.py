"""The packages that a pack carries with it, and the locks that say which those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlproj import environments
from mlproj.environments.environment import Report
from mlproj.environments.vendored import Target
from mlproj.errors import UsageError
from mlproj.manifest.models import EnvironmentSpec, Manifest
from mlproj.packaging.entries import Entry
from mlproj.text import one_line


@dataclass(frozen=True)
class VendoredPackages:
    """Locks and packages as entries of a pack; ``targets`` are what each lock's packages are for, in words."""

    entries: tuple[Entry, ...]
    targets: Mapping[str, Sequence[str]]
    notices: tuple[str, ...]


def vendored_packages(
    manifest: Manifest, folder: Path, targets: Sequence[Target], into: Path, report: Report
) -> VendoredPackages:
    """What every environment of a project comes to on ``targets``, by its lock; files are put into ``into``.

    Raises ``UsageError`` where there is nothing to vendor, ``EnvironmentBuildError`` when it is not to be had.
    """
    files: dict[str, Path] = {}
    locks: dict[str, str] = {}
    made: dict[str, Sequence[str]] = {}
    notices: list[str] = []
    for number, (name, spec) in enumerate(_environments(manifest)):
        vendored = environments.vendor(spec, name, folder, targets, into / str(number), report)
        files |= vendored.files
        made[vendored.lock_name] = vendored.targets
        notices += vendored.notices
        if vendored.lock_text is not None:
            locks[vendored.lock_name] = vendored.lock_text
            notices.append(f"the pack has a lock of its own, {vendored.lock_name}: `mlproj lock` writes the project's")
    entries = [Entry(name, content=text.encode(), size=len(text)) for name, text in sorted(locks.items())]
    entries += [Entry(name, path, size=path.stat().st_size) for name, path in sorted(files.items())]
    return VendoredPackages(tuple(entries), made, tuple(notices))


def _environments(manifest: Manifest) -> list[tuple[str | None, EnvironmentSpec]]:
    found: list[tuple[str | None, EnvironmentSpec]] = []
    if isinstance(manifest.environment, EnvironmentSpec):
        found.append((None, manifest.environment))
    found += sorted(manifest.environments.items())
    for name, entry_point in manifest.entry_points.items():
        if isinstance(entry_point.environment, EnvironmentSpec) and entry_point.environment.kind != "system":
            raise UsageError(
                f"the entry point `{one_line(name)}` has an environment of its own, which has no lock",
                hint="Give it a name under `environments`, and let the entry point refer to it.",
            )
    found = [(name, spec) for name, spec in found if spec.kind != "system"]
    if not found:
        raise UsageError("the project declares no environment that is built, so there is nothing to vendor")
    return found
