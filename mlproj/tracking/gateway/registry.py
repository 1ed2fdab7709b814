"""Registered models while no MLflow server is set: a file each in the store, so that none of them is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mlproj import locks
from mlproj.files import dump_json, sha256_of_text, write_atomically
from mlproj.runs.store import Store


@dataclass(frozen=True)
class Version:
    """A version of a registered model. Times are in milliseconds since the epoch."""

    version: int
    source: str
    run_id: str
    created_ms: int
    updated_ms: int
    model_id: str = ""
    location: str = ""
    user: str = ""
    stage: str = "None"
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model with its versions, and the names that some of them go by."""

    name: str
    created_ms: int
    updated_ms: int
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    # Numbers of versions that were deleted are not given again.
    newest: int = 0


@contextmanager
def changing(store: Store) -> Iterator[None]:
    """Keep other runs from changing registered models at the same time."""
    _folder(store).mkdir(parents=True, exist_ok=True)
    with locks.exclusive_here(_folder(store) / "registry.lock"):
        yield


def registered(store: Store, name: str) -> RegisteredModel | None:
    """The registered model with a name, or ``None``."""
    path = _path(store, name)
    return _read(path) if path.is_file() else None


def all_registered(store: Store) -> list[RegisteredModel]:
    """All registered models, by name."""
    return sorted((_read(path) for path in _folder(store).glob("*.json")), key=lambda each: each.name)


def keep(store: Store, model: RegisteredModel) -> None:
    """Write a registered model's file."""
    write_atomically(_path(store, model.name), dump_json(asdict(model)))


def forget(store: Store, name: str) -> None:
    """Remove a registered model; the files of its versions stay with their runs."""
    _path(store, name).unlink(missing_ok=True)


def with_version(model: RegisteredModel, version: Version) -> RegisteredModel:
    """The model with a version put in, or in the place of the one that has its number."""
    others = [each for each in model.versions if each.version != version.version]
    versions = sorted((*others, version), key=lambda each: each.version)
    return replace(model, versions=versions, newest=max(model.newest, version.version))


def _folder(store: Store) -> Path:
    return store.folder / "registered-models"


def _path(store: Store, name: str) -> Path:
    # A file's name holds fewer characters than a model's, and other ones.
    return _folder(store) / f"{sha256_of_text(name)[:32]}.json"


def _read(path: Path) -> RegisteredModel:
    values = json.loads(path.read_bytes())
    versions = [Version(**each) for each in values.pop("versions")]
    return RegisteredModel(**values, versions=versions)
