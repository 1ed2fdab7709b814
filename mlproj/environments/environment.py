"""What environments are asked for with and given back as: the values that every run needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlproj.locks import HeldLock

Report = Callable[[str], None]
"""Takes short phrases of progress: ``resolving 3 requirements``, ``installing 9 packages``."""


def platform_name() -> str:
    """The operating system and machine, as ``linux-x86_64``."""
    return f"{sys.platform}-{os.uname().machine}"


def own_python() -> tuple[str, str]:
    """Path and version of the Python that runs mlproj, behind the virtual environment mlproj may be in."""
    path = getattr(sys, "_base_executable", None) or sys.executable
    return path, sys.version.split()[0].rstrip("+")


@dataclass(frozen=True)
class Policy:
    """How much an environment may be decided anew.

    ``locked`` refuses a missing or stale lock; ``frozen`` uses the lock without asking whether it is stale;
    ``refresh`` resolves again where a remembered resolution would do; ``offline`` forbids the network.
    ``allowed_mounts`` is ``None`` for a project of the caller's own; of a fetched one it says what of this machine a
    container of it may have: folders, volumes of the engine, and the words ``privileged``, ``network=NAME`` and
    ``pid=host``.
    """

    locked: bool = False
    frozen: bool = False
    refresh: bool = False
    offline: bool = False
    allowed_mounts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Volume:
    """A folder or file of the engine's machine, or a named volume, and where it is inside a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Reach:
    """How what is in a container reaches this machine: under ``name``, where something listens at ``address``."""

    name: str
    address: str


@dataclass(frozen=True)
class Container:
    """What a command runs in, when that is a container.

    ``engine`` is the address of the Docker engine, ``image`` an image's id. The project is at ``project_at``, the
    command starts in ``workdir``. A ``user`` of ``None`` is the image's own; ``home`` is a folder to be made for one
    who has none. An ``entrypoint`` of ``None`` is the image's own. ``host`` holds keyword arguments of docker-py's
    ``create_host_config``. An engine that does not share this machine's folders gets a copy of the project. ``reach``
    is missing where nothing of this machine can be reached.
    """

    engine: str
    image: str
    platform: str | None
    project_at: str
    workdir: str
    user: str | None = None
    home: str | None = None
    entrypoint: tuple[str, ...] | None = None
    volumes: tuple[Volume, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[str, ...] = ()
    host: Mapping[str, Any] = field(default_factory=dict)
    shares_folders: bool = True
    reach: Reach | None = None


@dataclass(frozen=True)
class Environment:
    """An environment that is ready to run in.

    ``variables`` are to be set, ``removed_variables`` unset and ``path_entries`` put before ``PATH`` for what
    runs in it. While ``held`` is held nobody removes it. ``lock_text`` and ``lock_digest`` hold no
    credentials; ``lock_name`` is what a file of it is called. Of a Docker environment ``image`` is the reference of
    the image, with its digest where it has one, and ``container`` what commands run in.
    """

    kind: str
    key: str
    folder: Path | None
    platform: str
    python: str | None
    interpreter: str | None
    packages: Mapping[str, str]
    lock_text: str | None
    lock_digest: str | None
    reused: bool
    lock_name: str | None = None
    image: str | None = None
    container: Container | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    removed_variables: tuple[str, ...] = ()
    path_entries: tuple[str, ...] = ()
    held: HeldLock | None = None
