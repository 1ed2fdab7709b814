"""Reading an RO-Crate, a stranger's too: its files in a folder of ours, each as the crate says it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlproj.errors import SourceError, UsageError
from mlproj.files import CHUNK, sha256_of_file, sha256_of_text
from mlproj.sharing.contents import RECORD_NAME, names_below
from mlproj.sharing.crate_metadata import LINK_FORMAT, METADATA_NAME, RECORD_TITLE
from mlproj.sources.unpack.archive import put_entries, unpack
from mlproj.sources.unpack.entries import Entry, checked_parts, limits_for
from mlproj.text import one_line

_RUN = "#run-"
_LEGACY_NAME = "ro-crate-metadata.jsonld"
_LARGEST_METADATA = 500_000_000
Entities = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ReadCrate:
    """A crate in a folder of ours: its entities by their ids, which of them is the root, and which files it lists.

    ``missing`` are files that it lists and has not, ``unlisted`` those that it has and does not list.
    """

    folder: Path
    entities: Entities
    root: str
    files: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    @property
    def is_own(self) -> bool:
        """Whether mlproj wrote it, by what its metadata says; the record may be lost or another run's."""
        described = self.entities.get(RECORD_NAME, {}).get("name") == RECORD_TITLE
        return described and any(each.startswith(_RUN) for each in self.entities)

    def describes(self, run_id: str) -> bool:
        """Whether the crate's metadata is that of a run."""
        return f"{_RUN}{run_id}" in self.entities


def read_crate(path: Path, folder: Path, unpack_limit: int | None) -> ReadCrate:
    """Bring the files of a crate, an archive or a folder, into the new ``folder``, and check them.

    Raises UsageError for what is no crate, or not the one that its metadata describes, or could do harm.
    """
    shown = one_line(path)
    if not path.exists():
        raise UsageError(f"there is no crate {shown}")
    try:
        top = _brought_in(path, folder, unpack_limit)
        return _checked(top)
    except SourceError as error:
        raise UsageError(f"{shown} cannot be imported: {error.message}", hint=error.hint) from None


def _brought_in(path: Path, folder: Path, unpack_limit: int | None) -> Path:
    if path.is_dir():
        _metadata_file(path)
        put_entries(_entries_of(path), folder, limits_for(1 << 40, unpack_limit))
        return folder
    if not path.is_file():
        raise SourceError("it is no regular file")
    with path.open("rb") as stream:
        return unpack(stream, folder, limits_for(os.fstat(stream.fileno()).st_size, unpack_limit))


def _entries_of(folder: Path) -> Iterator[Entry]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted([*names, *folders]):
            path = Path(root, name)
            below = path.relative_to(folder).as_posix()
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                yield Entry(below, "link", target=os.readlink(path))  # noqa: PTH115  Path changes what it says
            elif stat.S_ISREG(status.st_mode):
                executable = bool(status.st_mode & stat.S_IXUSR)
                yield Entry(below, "file", executable, size=status.st_size, content=partial(_chunks, path))
            elif not stat.S_ISDIR(status.st_mode):
                yield Entry(below, "other")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as reader:
        while chunk := reader.read(CHUNK):
            yield chunk


def _checked(folder: Path) -> ReadCrate:
    entities, root = _metadata(folder)
    crate = ReadCrate(folder, entities, root)
    for identifier, entity in entities.items():
        name = _local_name(identifier, entity)
        if name is None or name == METADATA_NAME:
            continue
        path = folder / name
        try:
            status = path.lstat()
        except OSError:
            crate.missing.append(name)
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            crate.files[name] = _digest(path, status, name, entity)
    known = {*crate.files, METADATA_NAME, _LEGACY_NAME}
    crate.unlisted.extend(sorted(name for name in names_below(folder) if name not in known))
    return crate


def _metadata_file(folder: Path) -> Path:
    path = next((folder / name for name in (METADATA_NAME, _LEGACY_NAME) if (folder / name).is_file()), None)
    if path is None or path.is_symlink():
        raise SourceError(f"it is no RO-Crate: it has no {METADATA_NAME}")
    return path


def _metadata(folder: Path) -> tuple[Entities, str]:
    from rocrate.metadata import find_root_entity_id, read_metadata

    path = _metadata_file(folder)
    if path.stat().st_size > _LARGEST_METADATA:
        raise SourceError(f"its {path.name} is too large")
    try:
        _, entities = read_metadata(path)
        _, root = find_root_entity_id(entities)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"its {path.name} is damaged, or of no form that is known: {one_line(error)}") from None
    if not all(isinstance(each, dict) and isinstance(key, str) for key, each in entities.items()):
        raise SourceError(f"its {path.name} is damaged: an entity is no object")
    return entities, root


def _local_name(identifier: str, entity: Mapping[str, Any]) -> str | None:
    """The name in the crate of a file that an entity describes; ``None`` for all other entities."""
    if "File" not in types_of(entity) or identifier.startswith("#"):
        return None
    try:
        if urlsplit(identifier).scheme:
            return None
    except ValueError:
        return None
    name = unquote(identifier.removeprefix("./"))
    if name.startswith("/"):
        return None  # a file of the machine that the run was on
    parts = checked_parts(name)
    return "/".join(parts) if parts else None


def types_of(entity: Mapping[str, Any]) -> list[str]:
    """The types of an entity, of which JSON-LD lets one stand without its list."""
    kinds = entity.get("@type", [])
    return [each for each in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(each, str)]


def _digest(path: Path, status: os.stat_result, name: str, entity: Mapping[str, Any]) -> str:
    """The SHA-256 of a file. Raises SourceError when the crate says another, or another size."""
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link != (entity.get("encodingFormat") == LINK_FORMAT) and not (is_link and "sha256" not in entity):
        raise SourceError(f"`{one_line(name)}` is {'' if is_link else 'not '}a link, unlike what the crate says")
    digest = sha256_of_text(os.readlink(path)) if is_link else sha256_of_file(path)  # noqa: PTH115  as it is
    said, size = entity.get("sha256"), entity.get("contentSize")
    if isinstance(said, str) and said.lower() != digest:
        raise SourceError(f"`{one_line(name)}` is damaged: its SHA-256 is not the one in {METADATA_NAME}")
    if isinstance(size, (str, int)) and str(size).isdigit() and not is_link and int(size) != status.st_size:
        raise SourceError(f"`{one_line(name)}` is damaged: its size is not the one in {METADATA_NAME}")
    return digest
