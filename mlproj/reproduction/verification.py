"""Whether the files of a stored run are still what its record says: artifacts, patch, kept source, lock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mlproj.files import sha256_of_file
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RunRecord, not_brought, recorded_files
from mlproj.sources.digest import read_folder
from mlproj.text import one_line


@dataclass(frozen=True)
class Damage:
    """A stored file that is not what was recorded: ``missing``, ``changed``, ``unreadable`` or ``not recorded``."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{one_line(self.path)}: {self.what}"


@dataclass(frozen=True)
class Verification:
    """How many files of a run were looked at, what is wrong with them, and which never came with an imported run."""

    files: int
    damages: tuple[Damage, ...]
    not_brought: tuple[str, ...] = ()


def verify_run(record: RunRecord, files: RunFiles) -> Verification:
    """Read every file of a run that its record has a digest of. Nothing is changed."""
    recorded = {path: digest for path, digest in recorded_files(record).items() if digest is not None}
    absent = sorted(path for path in not_brought(record) & recorded.keys() if not os.path.lexists(files.folder / path))
    expected = {path: digest for path, digest in recorded.items() if path not in absent}
    damages = [damage for path, digest in expected.items() if (damage := _look_at(files.folder, path, digest))]
    damages += [Damage(path, "not recorded") for path in sorted(_artifacts(files) - recorded.keys())]
    kept = 0
    if record.source.kept and record.imported is None:
        kept, found = _look_at_source(files.source, record.source.digest)
        damages += found
    return Verification(len(expected) + kept, tuple(damages), tuple(absent))


def _look_at_source(folder: Path, digest: str | None) -> tuple[int, list[Damage]]:
    """How many files are kept of the project's folder, and whether all of them together are still what they were."""
    try:
        content = read_folder(folder)
    except FileNotFoundError:
        return 0, [Damage(folder.name, "missing")]
    except OSError as error:
        return 0, [Damage(folder.name, f"unreadable: {one_line(error.strerror or error)}")]
    return len(content.files), [] if content.digest == digest else [Damage(folder.name, "changed")]


def _look_at(folder: Path, path: str, digest: str) -> Damage | None:
    place = folder / path
    try:
        if place.is_symlink() or not place.is_file():
            return Damage(path, "no regular file" if os.path.lexists(place) else "missing")
        return None if sha256_of_file(place) == digest else Damage(path, "changed")
    except OSError as error:
        return Damage(path, f"unreadable: {one_line(error.strerror or error)}")


def _artifacts(files: RunFiles) -> set[str]:
    found = set()
    for root, _, names in os.walk(files.artifacts):
        for name in names:
            place = Path(root, name)
            if place.is_file() and not place.is_symlink():
                found.add(f"artifacts/{place.relative_to(files.artifacts).as_posix()}")
    return found
