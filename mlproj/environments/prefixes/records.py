"""A package as a lock has it, and as rattler has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlproj.environments.prefixes.lockfile import Locked, file_stem
from mlproj.environments.prefixes.tokens import bare
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line

if TYPE_CHECKING:
    from rattler import RepoDataRecord


def locked_of(record: RepoDataRecord) -> Locked:
    """A package as the solver found it, as it stands in a lock."""
    requires = {}
    for line in record.depends:
        name, _, wanted = line.partition(" ")
        requires[name] = wanted.strip()
    return Locked(
        manager="conda",
        name=record.name.source,
        version=str(record.version),
        build=str(record.build),
        url=bare(record.url),
        sha256=record.sha256.hex() if record.sha256 else None,
        md5=record.md5.hex() if record.md5 else None,
        requires=requires,
    )


def record_of(locked: Locked) -> RepoDataRecord:
    """A package of a lock as rattler takes it. Raises ``EnvironmentBuildError`` for what is no package."""
    from rattler import BuildString, PackageRecord, RepoDataRecord

    url = bare(locked.url)
    base, _, file_name = url.partition("#")[0].rpartition("/")
    channel, _, subdir = base.rpartition("/")
    if file_stem(file_name) != f"{locked.name}-{locked.version}-{locked.build}" or "/" not in base:
        raise EnvironmentBuildError(
            f"the lock's {one_line(locked.name)} {one_line(locked.version)} {one_line(locked.build)} is not the package"
            f" of its URL, {one_line(file_name)}",
            hint="delete the lock, or its entry, and write it anew by `mlproj lock`",
        )
    number = re.search(r"(?:^|_)(\d+)$", locked.build)
    try:
        record = PackageRecord(
            name=locked.name,
            version=locked.version,
            build=BuildString(locked.build),
            build_number=int(number[1]) if number else 0,
            subdir=subdir,
            depends=[f"{name} {wanted}".strip() for name, wanted in locked.requires.items()],
            sha256=bytes.fromhex(locked.sha256) if locked.sha256 else None,
            md5=bytes.fromhex(locked.md5) if locked.md5 else None,
            python_site_packages_path=site_packages(locked) if locked.name == "python" else None,
        )
    except Exception as error:  # rattler has an error of its own for each part
        raise EnvironmentBuildError(
            f"the lock's {one_line(locked.name)} is no package: {one_line(error)}",
            hint="delete the lock, or its entry, and write it anew by `mlproj lock`",
        ) from None
    return RepoDataRecord(record, file_name, url, f"{channel}/")


def site_packages(python: Locked) -> str:
    """Where a Python has its packages: one without the global lock has a folder of its own."""
    minor = ".".join(python.version.split(".")[:2])
    return f"lib/python{minor}{'t' if re.search(r'cp3[0-9]+t$', python.build) else ''}/site-packages"
