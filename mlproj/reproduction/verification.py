"""Whether the files of a stored run are still what its record says: artifacts, patch, lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlproj.files import sha256_of_file
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RunRecord
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
    """How many files of a run were looked at, and what is wrong with them."""

    files: int
    damages: tuple[Damage, ...]


def verify_run(record: RunRecord, files: RunFiles) -> Verification:
    """Read every file of a run that its record has a digest of. Nothing is changed."""
    expected = dict(_expected(record))
    damages = [damage for path, digest in expected.items() if (damage := _look_at(files.folder, path, digest))]
    damages += [Damage(path, "not recorded") for path in sorted(_artifacts(files) - expected.keys())]
    return Verification(len(expected), tuple(damages))


def _expected(record: RunRecord) -> Iterator[tuple[str, str]]:
    for output in record.outputs:
        for file in output.files:
            yield f"artifacts/{file.path}", file.sha256
    if record.source.patch is not None and record.source.patch_sha256 is not None:
        yield record.source.patch, record.source.patch_sha256
    if record.environment.lock is not None and record.environment.lock_sha256 is not None:
        yield record.environment.lock, record.environment.lock_sha256


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
