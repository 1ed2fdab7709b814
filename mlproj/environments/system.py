"""The kind ``system``: the interpreter and the tools that are already there, recorded and not built."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.environments.environment import Environment, Policy, Report, platform_name
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.files import dump_json, sha256_of_text, write_atomically
from mlproj.locations import cache_folder

if TYPE_CHECKING:
    from mlproj.environments.kind import EnvironmentPlan, LockResult
    from mlproj.environments.vendored import Target, Vendored
    from mlproj.manifest.models import EnvironmentSpec

_PROBE = (
    "import sys, platform, json; print(json.dumps(['mlproj-probe', sys.executable, platform.python_version(),"
    " [path for path in sys.path if path]]))"
)
_PACKAGES_VERSION = 1


@dataclass(frozen=True)
class _Found:
    """The caller's Python: where it is, its version, and what can be imported from it."""

    interpreter: str
    python: str
    packages: Mapping[str, str]


def prepare(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy, report: Report) -> Environment:
    """Record the caller's environment: its Python and packages. Nothing is built, held or changed."""
    del spec, name, report
    _refuse_locks(policy)
    found = _find(cache_folder(), folder)
    return Environment(
        kind="system",
        key=_key(found),
        folder=None,
        platform=platform_name(),
        python=found.python if found else None,
        interpreter=found.interpreter if found else None,
        packages=found.packages if found else {},
        lock_text=None,
        lock_digest=None,
        reused=True,
    )


def plan(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy) -> EnvironmentPlan:
    """Say which Python ``prepare`` would record."""
    from mlproj.environments.kind import EnvironmentPlan

    del spec, name
    _refuse_locks(policy)
    found = _find(cache_folder(), folder)
    return EnvironmentPlan(
        kind="system",
        key=_key(found),
        built=True,
        folder=None,
        platform=platform_name(),
        python=found.python if found else None,
        interpreter=found.interpreter if found else None,
        lock="none",
        package_count=len(found.packages) if found else 0,
    )


def lock(
    spec: EnvironmentSpec,
    name: str | None,
    folder: Path,
    upgrade: bool,
    upgrade_packages: Sequence[str],
    report: Report,
) -> LockResult:
    """Refuse: what is already there cannot be locked."""
    del spec, name, folder, upgrade, upgrade_packages, report
    raise UsageError(
        "a `system` environment has no lock: it is what is already there",
        hint="declare a `virtualenv` with the project's dependencies to have them locked",
    )


def lock_path(name: str | None, folder: Path) -> None:
    """None: what is already there cannot be locked."""
    del name, folder


def vendor(
    spec: EnvironmentSpec, name: str | None, folder: Path, targets: Sequence[Target], into: Path, report: Report
) -> Vendored:
    """Refuse it. Raises ``UsageError``."""
    del spec, name, folder, targets, into, report
    raise UsageError("a `system` environment is what is there already: there is nothing to vendor")


def problems(spec: EnvironmentSpec, folder: Path) -> Iterator[str]:
    """None but those that the manifest's own check finds."""
    del spec, folder
    yield from ()


def discard(record: Mapping[str, Any]) -> None:
    """Nothing to remove: nothing was built."""
    del record


def _refuse_locks(policy: Policy) -> None:
    if policy.locked or policy.frozen:
        asked = "--locked" if policy.locked else "--frozen"
        raise UsageError(f"`{asked}`: a `system` environment has no lock, so its packages may be any")


def _key(found: _Found | None) -> str:
    decisive = [
        "system",
        platform_name(),
        [found.interpreter, found.python, sorted(found.packages.items())] if found else None,
    ]
    return sha256_of_text(json.dumps(decisive))[:32]


def _find(cache: Path, folder: Path) -> _Found | None:
    """The Python that a command of the project would find, or ``None`` when there is none."""
    from shutil import which

    path = which("python") or which("python3")
    if path is None:
        return None
    path = os.path.normpath(folder / path)
    memo = cache / "system" / f"{sha256_of_text(json.dumps([_PACKAGES_VERSION, path]))[:32]}.json"
    remembered = _read(memo)
    identity = _identity(path)
    if remembered is None or remembered.get("identity") != identity:
        remembered = {"identity": identity, **_probe(path, folder)}
    places = [_stamp(place) for place in remembered["path"]]
    if remembered.get("places") != places:
        remembered = {**remembered, "places": places, "packages": _packages(remembered["path"])}
        # Asked again next time: a cache that cannot be written keeps nobody from running.
        with suppress(OSError):
            write_atomically(memo, dump_json(remembered))
    return _Found(remembered["interpreter"], remembered["python"], remembered["packages"])


def _read(memo: Path) -> dict[str, Any] | None:
    try:
        remembered = json.loads(memo.read_bytes())
    except (OSError, ValueError):
        return None
    return remembered if isinstance(remembered, dict) else None


def _identity(path: str) -> list[Any]:
    """What decides which Python a path is and where it looks: its file, its environment, variables."""
    real = os.path.realpath(path)
    configuration = Path(path).parent.parent / "pyvenv.cfg"
    variables = [os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYENV_VERSION")]
    return [real, _stamp(real), _stamp(str(configuration)), variables]


def _stamp(path: str) -> list[Any]:
    try:
        status = Path(path).stat()
    except OSError:
        return [path, None, None]
    return [path, status.st_size, status.st_mtime_ns]


def _probe(path: str, folder: Path) -> dict[str, Any]:
    from mlproj.processes.tools import run_tool

    lines: list[str] = []
    # Where the project's commands run: a version manager's shim may choose by the folder.
    with Path(os.devnull).open("wb") as nowhere:
        status = run_tool([path, "-c", _PROBE], cwd=folder, env=os.environ, log=nowhere, on_line=lines.append)
    for line in lines:
        if line.startswith('["mlproj-probe"'):
            _, interpreter, version, entries = json.loads(line)
            return {"interpreter": interpreter or path, "python": version.rstrip("+"), "path": entries}
    raise EnvironmentBuildError(
        f"`{path}`, the Python of the `system` environment, does not run (exit status {status})"
    )


def _packages(entries: Sequence[str]) -> dict[str, str]:
    """The versions of the packages that can be imported, by normalised name; of two, the one found first."""
    import re

    found: dict[str, str] = {}
    for entry in entries:
        for metadata in sorted(Path(entry).glob("*.dist-info")) + sorted(Path(entry).glob("*.egg-info")):
            name, _, version = metadata.name.rpartition(".")[0].partition("-")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version.partition("-")[0])
    return dict(sorted(found.items()))
