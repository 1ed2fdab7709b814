"""What environments are asked for with and given back as: the values that every run needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
    """

    locked: bool = False
    frozen: bool = False
    refresh: bool = False
    offline: bool = False


@dataclass(frozen=True)
class Environment:
    """An environment that is ready to run in.

    ``variables`` are to be set, ``removed_variables`` unset and ``path_entries`` put before ``PATH`` for what
    runs in it. While ``held`` is held nobody removes it. ``lock_text`` and ``lock_digest`` hold no
    credentials.
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
    variables: Mapping[str, str] = field(default_factory=dict)
    removed_variables: tuple[str, ...] = ()
    path_entries: tuple[str, ...] = ()
    held: HeldLock | None = None
