"""What a conda environment takes with it: the files of its lock's packages, conda's and those of its ``pip:`` part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from mlproj.environments.prefixes import lockfile, pip_part
from mlproj.environments.prefixes.lockfile import Locked
from mlproj.environments.prefixes.packages import fetch_archives
from mlproj.environments.prefixes.reading import Document
from mlproj.environments.prefixes.resolution import Request
from mlproj.environments.vendored import CONDA, CONDA_PLATFORMS, Target, Vendored
from mlproj.environments.wheels import Wheel, fetch_wheels, index_credentials
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line


def vendor_packages(
    request: Request, document: Document, lock_text: str | None, targets: Sequence[Target], into: Path
) -> Vendored:
    """The files that a lock names for the platforms of ``targets``; those of conda are put into ``into``.

    Raises ``EnvironmentBuildError`` for a platform that the lock is not for, and a package that there is only the
    source of.
    """
    platforms = list(dict.fromkeys(CONDA_PLATFORMS[each.platform] for each in targets))
    there = lockfile.platforms(document)
    if missing := [each for each in platforms if each not in there]:
        raise EnvironmentBuildError(
            f"the lock is for {', '.join(map(one_line, there))}, and not for {', '.join(missing)}",
            hint="Add it to `platforms` of the environment, and write the lock anew by `mlproj lock`.",
        )
    packages: list[Locked] = []
    for platform in platforms:
        packages += lockfile.packages_for(document, platform, request.declared.categories)
    conda = {each.url: each for each in packages if each.manager == "conda"}
    # What is fetched is what its channel gives, and not what an earlier pack carried.
    files = fetch_archives(list(conda.values()), replace(request.shelf, vendored=None), into)
    wheels = [_wheel(each, request.folder) for each in {each.url: each for each in packages}.values() if _is_pip(each)]
    outside = [each for each in wheels if "://" in each.place or not Path(each.place).is_relative_to(request.folder)]
    credentials = {**index_credentials(request.env), **request.pip.credentials}
    fetched = fetch_wheels(outside, credentials, request.cache, request.report) if outside else {}
    notices: tuple[str, ...] = ()
    own = pip_part.local_folders(request.pip, request.folder)
    if own:
        notices = ("the project's own folders in the pip part are built where it runs: what builds them is not in it",)
    named = {f"{CONDA}/{name}": path for name, path in files.items()}
    return Vendored(
        request.lock_path.name,
        lock_text,
        {**named, **fetched},
        tuple(platforms),
        declared_in=(*request.declared.files, *request.pip.files),
        installs_project=bool(own),
        notices=notices,
    )


def _is_pip(package: Locked) -> bool:
    return package.manager == "pip"


def _wheel(package: Locked, folder: Path) -> Wheel:
    name = unquote(package.file_name)
    if not name.endswith(".whl") or package.sha256 is None:
        raise EnvironmentBuildError(
            f"not everything can be vendored: of {one_line(package.name)} {one_line(package.version)}, of the pip part,"
            " there is only its source, which would have to be built",
            hint="Pin a version that has a wheel.",
        )
    place = package.url
    if place.startswith("file://"):
        place = unquote(place.removeprefix("file://"))
    elif "://" not in place:
        place = str(folder / place)
    return Wheel(package.name, name, place, package.sha256)
