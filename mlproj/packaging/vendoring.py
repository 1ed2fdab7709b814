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
    """Locks and packages as entries of a pack; ``targets`` are what each lock's packages are for, in words.

    ``locks`` are the names of all locks, ``declared_in`` those of the project's files that say what they are of; where
    the environments install the project itself (``installs_project``), more of its files decide.
    """

    entries: tuple[Entry, ...]
    targets: Mapping[str, Sequence[str]]
    declared_in: frozenset[str]
    installs_project: bool
    notices: tuple[str, ...]

    @property
    def locks(self) -> frozenset[str]:
        """The names of the locks."""
        return frozenset(self.targets)


def vendored_packages(
    wanted: Sequence[tuple[str | None, EnvironmentSpec]],
    folder: Path,
    targets: Sequence[Target],
    into: Path,
    report: Report,
) -> VendoredPackages:
    """What environments of a project come to on ``targets``, by their locks; files are put into ``into``.

    Raises ``UsageError`` for a kind that is not vendored, ``EnvironmentBuildError`` when something is not to be had.
    """
    files: dict[str, Path] = {}
    locks: dict[str, str] = {}
    made: dict[str, Sequence[str]] = {}
    notices: list[str] = []
    declared: set[str] = set()
    installs_project = False
    for number, (name, spec) in enumerate(wanted):
        vendored = environments.vendor(spec, name, folder, targets, into / str(number), report)
        files |= vendored.files
        made[vendored.lock_name] = vendored.targets
        notices += vendored.notices
        installs_project = installs_project or vendored.installs_project
        real = folder.resolve()
        inside = [path.resolve() for path in vendored.declared_in if path.resolve().is_relative_to(real)]
        declared |= {path.relative_to(real).as_posix() for path in inside}
        if vendored.lock_text is not None:
            locks[vendored.lock_name] = vendored.lock_text
            notices.append(f"{vendored.lock_name} was made for this alone: `mlproj lock` writes the project's own")
    entries = [Entry(name, content=text.encode(), size=len(text)) for name, text in sorted(locks.items())]
    entries += [Entry(name, path, size=path.stat().st_size) for name, path in sorted(files.items())]
    return VendoredPackages(tuple(entries), made, frozenset(declared), installs_project, tuple(notices))


def environments_to_vendor(manifest: Manifest) -> list[tuple[str | None, EnvironmentSpec]]:
    """The environments of a project that are built, by their names. Raises ``UsageError`` where there is none."""
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
