"""Files that are being written beside their places: their names say by which process, so that the next one can tell."""

from __future__ import annotations

import os
import platform
import re
import uuid
from pathlib import Path

_ENDING = ".part"


def part_of(path: Path) -> Path:
    """A new name beside ``path`` to write to."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{_ENDING}")


def is_left_behind(path: Path) -> bool:
    """Whether a process of this machine was writing at a file, or folder, of this name, and is dead."""
    found = re.fullmatch(rf"\..+\.{re.escape(_machine())}-([0-9]+)-[0-9a-f]{{8}}{re.escape(_ENDING)}", path.name)
    return found is not None and not path.is_symlink() and not _lives(int(found[1]))


def _machine() -> str:
    """The machine's name, and where process ids are a container's own, which of those they are."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{platform.node()}-{re.sub('[^0-9]', '', namespace)}"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
