"""The wheels that a lock comes to on a machine, chosen as an installer there would and fetched by their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.environments import lockfile
from mlproj.environments.credentials import credentials_in, with_credentials
from mlproj.environments.environment import Report
from mlproj.environments.vendored import WHEELS, Target
from mlproj.errors import EnvironmentBuildError, MlprojError
from mlproj.files import sha256_of_file
from mlproj.text import one_line, plural

if TYPE_CHECKING:
    from packaging.tags import Tag

# What wheels for any Linux and any Mac are built for at most: glibc 2.28 is in all that are still maintained.
_GLIBC = (2, 28)
_OLDEST_GLIBC = 5
_MACOS = (14, 0)
_AT_ONCE = 8
# The names by which manylinux was known before it had glibc's version in its name (PEP 600).
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class Wheel:
    """One file of a lock: its name, where it is (a URL, or a path of this machine), its SHA-256."""

    package: str
    file_name: str
    place: str
    sha256: str


def choose_wheels(document: lockfile.Document, targets: Sequence[Target]) -> list[Wheel]:
    """The wheels that a lock with absolute paths comes to on each of ``targets``, each of which names its Python.

    Folders of the project are not among them, since they are in it. Raises ``EnvironmentBuildError`` naming each
    package that has no wheel for one of them.
    """
    found: dict[str, Wheel] = {}
    lacking: dict[str, list[str]] = {}
    for target in targets:
        for name, chosen in _selected(document, target).items():
            if isinstance(chosen, str):
                lacking.setdefault(f"{name}: {chosen}", []).append(target.shown)
            else:
                found[chosen.file_name] = chosen
    if lacking:
        told = "\n".join(f"  {each} ({'; '.join(where)})" for each, where in sorted(lacking.items()))
        raise EnvironmentBuildError(
            f"not everything can be vendored:\n{told}",
            hint="Pin a version that has a wheel there, or build one (`pip wheel`), have the environment's `find_links`"
            " name its folder, and `mlproj lock`.",
        )
    return [found[name] for name in sorted(found)]


def _selected(document: lockfile.Document, target: Target) -> dict[str, Wheel | str]:
    """What is installed on a machine, by package: a wheel, or why there is none."""
    from packaging.pylock import (
        PackageDirectory,
        Pylock,
        PylockSelectError,
        PylockUnsupportedVersionError,
        PylockValidationError,
    )

    assert target.python is not None
    # What is for some of a Python's releases only is for one of the first and the last.
    exact = target.python.count(".") == 2
    releases = [target.python] if exact else [f"{target.python}.0", f"{target.python}.99"]
    found: dict[str, Wheel | str] = {}
    refusals = []
    try:
        lock = Pylock.from_dict({key: value for key, value in document.items() if key != "tool"})
        for release in releases:
            try:
                for package, chosen in lock.select(environment=_markers(target, release), tags=list(_tags(target))):
                    if not isinstance(chosen, PackageDirectory):
                        shown = one_line(f"{package.name} {package.version or ''}".strip())
                        found[shown] = _wheel_of(str(package.name), chosen)
            except PylockSelectError as error:
                refusals.append(error)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise EnvironmentBuildError(f"the lock cannot be read: {one_line(error)}") from None
    if len(refusals) == len(releases):
        raise EnvironmentBuildError(f"the lock is not for {target.shown}: {one_line(refusals[0])}")
    return found


def _wheel_of(package: str, chosen: Any) -> Wheel | str:
    from packaging.pylock import PackageWheel

    if not isinstance(chosen, PackageWheel):
        return "there is only its source, which would have to be built"
    sha256, place = chosen.hashes.get("sha256"), chosen.url or chosen.path
    if sha256 is None or place is None:
        return "the lock has no SHA-256 of its wheel"
    return Wheel(package, chosen.filename, place, sha256)


def _markers(target: Target, version: str) -> Any:
    system, _, machine = target.platform.partition("-")
    return {
        "implementation_name": "cpython",
        "implementation_version": version,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux" if system == "linux" else "Darwin",
        "platform_version": "",
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": "linux" if system == "linux" else "darwin",
    }


def _tags(target: Target) -> Iterator[Tag]:
    from packaging.tags import compatible_tags, cpython_tags

    assert target.python is not None
    python = tuple(int(part) for part in target.python.split(".")[:2])
    abis = [f"cp{python[0]}{python[1]}"]
    platforms = list(_platform_tags(target))
    yield from cpython_tags(python, abis, platforms)
    yield from compatible_tags(python, abis[0], platforms)


def _platform_tags(target: Target) -> Iterator[str]:
    from packaging.tags import mac_platforms, platform_tags

    system, _, machine = target.platform.partition("-")
    if target.is_this_machine:
        yield from platform_tags()
    elif system == "macos":
        yield from mac_platforms(_MACOS, machine)
    else:
        major, newest = target.glibc or _GLIBC
        for minor in range(newest, _OLDEST_GLIBC - 1, -1):
            yield f"manylinux_{major}_{minor}_{machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{machine}"
        yield f"linux_{machine}"


def fetch_wheels(
    wheels: Sequence[Wheel], credentials: Mapping[str, str], cache: Path, report: Report
) -> dict[str, Path]:
    """The files of wheels by their names in a project, each the one of its SHA-256.

    What is fetched stays in the cache. Raises ``EnvironmentBuildError`` when one is not to be had.
    """
    from concurrent.futures import ThreadPoolExecutor

    report(f"fetching {plural(len(wheels), 'wheel')}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        files = list(pool.map(lambda wheel: _fetched(wheel, credentials, cache), wheels))
    return {f"{WHEELS}/{wheel.file_name}": file for wheel, file in zip(wheels, files)}


def _fetched(wheel: Wheel, credentials: Mapping[str, str], cache: Path) -> Path:
    from mlproj.downloads import fetch

    if "://" not in wheel.place:
        path = Path(wheel.place)
        if not path.is_file() or sha256_of_file(path) != wheel.sha256:
            raise EnvironmentBuildError(f"`{one_line(path)}` is not the file that the lock names")
        return path
    url = with_credentials(wheel.place, credentials)
    try:
        return fetch(url, wheel.sha256, cache, lambda *_: None, refresh=False, offline=False)
    except MlprojError as error:
        raise EnvironmentBuildError(f"the wheel of {one_line(wheel.package)}: {error.message}") from None


def index_credentials(env: Mapping[str, str]) -> dict[str, str]:
    """The user part by ``scheme://host`` of the indexes that uv's variables name."""
    return credentials_in(value for name, value in env.items() if name.startswith("UV_") and "://" in value)


def with_vendored(document: lockfile.Document, wheels: Path) -> lockfile.Document:
    """A lock in which each package of which ``wheels`` holds a file has that file, by the hash that it had."""
    there = {path.name for path in wheels.iterdir()}
    packages = []
    for package in document.get("packages", []):
        kept = [each for each in package.get("wheels", []) if _file_name(each) in there]
        if kept:
            rest = {key: value for key, value in package.items() if key not in ("sdist", "wheels", "index")}
            own = [_at(each, wheels) for each in kept]
            packages.append({**rest, "wheels": own})
        else:
            packages.append(package)
    return {**document, "packages": packages}


def check_vendored(document: lockfile.Document, wheels: Path) -> None:
    """Raise ``EnvironmentBuildError`` naming the files in ``wheels`` that a lock has other hashes of."""
    hashes = {
        _file_name(file): str(file.get("hashes", {}).get("sha256"))
        for package in document.get("packages", [])
        for file in package.get("wheels", [])
    }
    check_carried(hashes, wheels)


def check_carried(hashes: Mapping[str, str], wheels: Path) -> None:
    """Raise ``EnvironmentBuildError`` naming the files in ``wheels`` whose SHA-256, by name, is another."""
    there = sorted(path for path in wheels.iterdir() if path.name in hashes and path.is_file())
    if other := [path.name for path in there if sha256_of_file(path) != hashes[path.name]]:
        raise EnvironmentBuildError(
            f"what the project carries with it is not what its lock says: {', '.join(map(one_line, other))}",
            hint=f"Get the project again from who packed it, or remove `{WHEELS}`: what it names is then fetched.",
        )


def _at(file: Mapping[str, Any], wheels: Path) -> dict[str, Any]:
    rest = {key: value for key, value in file.items() if key != "url"}
    return {**rest, "path": str(wheels / _file_name(file))}


def _file_name(file: Mapping[str, Any]) -> str:
    from urllib.parse import unquote

    if isinstance(file.get("name"), str):
        return str(file["name"])
    return unquote(str(file.get("url") or file.get("path") or "").partition("#")[0].rpartition("/")[2])
