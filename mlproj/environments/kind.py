"""What a kind of environment must offer, and what it answers beside an environment itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mlproj.environments.environment import Environment, Policy, Report
    from mlproj.environments.vendored import Target, Vendored
    from mlproj.manifest.models import EnvironmentSpec


@dataclass(frozen=True)
class EnvironmentPlan:
    """What preparing an environment would come to.

    ``lock`` says where its packages are taken from: ``lock`` (the project's), ``resolution`` (resolved, and
    remembered) or ``none``. ``notice`` is what a run would tell about it, such as why the lock is not used.
    """

    kind: str
    key: str
    built: bool
    folder: Path | None
    platform: str
    python: str | None
    interpreter: str | None
    lock: str
    package_count: int
    notice: str | None = None


@dataclass(frozen=True)
class LockResult:
    """A lock that was made, and how its packages (name to version) differ from the lock before.

    ``changed`` gives the version before and after; ``written`` is false when the file already read so. What a lock
    pins is called ``unit``.
    """

    path: Path
    added: Mapping[str, str]
    removed: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]
    package_count: int
    written: bool
    unit: str = "package"


def write_lock(
    path: Path, text: str, before: Mapping[str, str], after: Mapping[str, str], unit: str = "package"
) -> LockResult:
    """Write a lock's file, unless it reads so already. ``before`` and ``after`` are what the two locks pin."""
    from mlproj.files import write_atomically

    written = not path.is_file() or path.read_bytes() != text.encode()
    if written:
        write_atomically(path, text)
    return LockResult(
        path=path,
        added={name: pinned for name, pinned in after.items() if name not in before},
        removed={name: pinned for name, pinned in before.items() if name not in after},
        changed={
            name: (before[name], pinned) for name, pinned in after.items() if name in before and before[name] != pinned
        },
        package_count=len(after),
        written=written,
        unit=unit,
    )


class Kind(Protocol):
    """What the module of one kind of environment offers."""

    def prepare(
        self, spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy, report: Report
    ) -> Environment:
        """Build the environment, or find it built, and hold it."""

    def plan(self, spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy) -> EnvironmentPlan:
        """Say what ``prepare`` would come to, changing nothing outside the cache."""

    def lock(
        self,
        spec: EnvironmentSpec,
        name: str | None,
        folder: Path,
        upgrade: bool,
        upgrade_packages: Sequence[str],
        report: Report,
    ) -> LockResult:
        """Write the project's lock."""

    def lock_path(self, name: str | None, folder: Path) -> Path | None:
        """Where the lock of the environment of this name is, or would be; ``None`` for a kind without locks."""

    def vendor(
        self,
        spec: EnvironmentSpec,
        name: str | None,
        folder: Path,
        targets: Sequence[Target],
        into: Path,
        report: Report,
    ) -> Vendored:
        """The packages that the environment comes to on ``targets``, as files, those not kept elsewhere in ``into``."""

    def problems(self, spec: EnvironmentSpec, folder: Path) -> Iterator[str]:
        """What is wrong with what is asked for, as far as the project's files alone can tell: no tool is asked."""

    def discard(self, record: Mapping[str, Any]) -> None:
        """Remove what of a built environment lies outside its folder, which goes next.

        Raises ``EnvironmentBuildError`` when it cannot be: then the environment stays.
        """
