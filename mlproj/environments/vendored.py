"""Packages that a project carries with it, in ``.mlpack``: where they lie, and which machines they are for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlproj.errors import UsageError
from mlproj.sources.seal import FOLDER
from mlproj.text import did_you_mean, one_line

WHEELS = f"{FOLDER}/wheels"
CONDA = f"{FOLDER}/conda"
_SYSTEMS = {"linux": "linux", "darwin": "macos"}
# What a platform is called, here and by conda, docker and uv, by what it is called here.
_ALSO_CALLED = {
    "linux-64": "linux-x86_64",
    "linux-amd64": "linux-x86_64",
    "linux/amd64": "linux-x86_64",
    "linux-arm64": "linux-aarch64",
    "linux/arm64": "linux-aarch64",
    "osx-64": "macos-x86_64",
    "osx-arm64": "macos-arm64",
    "macos-aarch64": "macos-arm64",
}
# To conda's names.
CONDA_PLATFORMS = {
    "linux-x86_64": "linux-64",
    "linux-aarch64": "linux-aarch64",
    "macos-x86_64": "osx-64",
    "macos-arm64": "osx-arm64",
}
# To uv's.
UV_PLATFORMS = {
    "linux-x86_64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
    "macos-x86_64": "x86_64-apple-darwin",
    "macos-arm64": "aarch64-apple-darwin",
}


@dataclass(frozen=True)
class Target:
    """A machine to vendor packages for: its platform, and its Python (``3.11``); ``None`` for the environment's own.

    Of this very machine ``glibc`` is the version that it has; of another one what is usual is taken.
    """

    platform: str
    python: str | None = None
    is_this_machine: bool = False
    glibc: tuple[int, int] | None = None

    @property
    def shown(self) -> str:
        """``linux-x86_64, Python 3.11``."""
        minor = ".".join(self.python.split(".")[:2]) if self.python else ""
        return self.platform + (f", Python {minor}" if minor else "")


@dataclass(frozen=True)
class Vendored:
    """What one environment takes with it.

    ``files`` are files of this machine by their names in the project. ``lock_text`` is the lock to be put at
    ``lock_name``, or ``None`` where the project's own is there and fresh. ``declared_in`` are the files of the project
    that say what it is to hold; where it ``installs_project`` more of them decide.
    """

    lock_name: str
    lock_text: str | None
    files: Mapping[str, Path]
    targets: tuple[str, ...]
    declared_in: tuple[Path, ...] = ()
    installs_project: bool = False
    notices: tuple[str, ...] = ()


def this_platform() -> str:
    """This machine's platform: ``linux-x86_64``."""
    return f"{_SYSTEMS.get(sys.platform, sys.platform)}-{os.uname().machine}"


def parse_platform(text: str) -> str:
    """A platform's name as it is used here. Raises ``UsageError`` for one that there is not."""
    name = _ALSO_CALLED.get(text.lower(), text.lower())
    if name not in CONDA_PLATFORMS:
        near = did_you_mean(text, CONDA_PLATFORMS)
        known = ", ".join(CONDA_PLATFORMS)
        raise UsageError(f"there is no platform `{one_line(text)}`.{near}", hint=f"There are {known}.")
    return name


def parse_python(text: str) -> str:
    """A Python's version, ``3.11``. Raises ``UsageError`` for what is none."""
    if not re.fullmatch(r"3\.\d{1,2}", text):
        raise UsageError(f"`{one_line(text)}` is no Python to vendor packages for", hint="It is named so: `3.11`.")
    return text


def targets_of(platforms: tuple[str, ...], pythons: tuple[str, ...]) -> tuple[Target, ...]:
    """The machines that are meant: every platform with every Python; this one where none is named."""
    own = this_platform()
    names = [parse_platform(each) for each in platforms] or [own]
    versions: list[str | None] = [parse_python(each) for each in pythons]
    return tuple(
        Target(name, version, is_this_machine=name == own and not platforms)
        for name in dict.fromkeys(names)
        for version in dict.fromkeys(versions or [None])
    )


def wheels_in(folder: Path) -> Path | None:
    """Where a project carries wheels with it, if it does."""
    place = folder / WHEELS
    return place if place.is_dir() else None


def conda_in(folder: Path) -> Path | None:
    """Where a project carries conda's packages with it, if it does."""
    place = folder / CONDA
    return place if place.is_dir() else None
