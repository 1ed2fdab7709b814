"""What a tracking server has of a run: a file in the run's folder, and a mark in the store until all of it is there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mlproj.errors import StoreError
from mlproj.files import dump_json, sha256_of_text, write_atomically
from mlproj.runs.database import explained
from mlproj.runs.layout import RunFiles
from mlproj.runs.store import Store, files_of
from mlproj.text import one_line


@dataclass
class Counterpart:
    """A run's counterpart on a server.

    ``tags`` are those that were last the same on both sides, ``files`` the artifacts sent, by their digests,
    ``refused`` what the server will not have; ``seen`` is a digest of what it said of a run that was brought in.
    """

    uri: str
    experiment: str
    experiment_id: str | None = None
    run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seen: str | None = None
    complete: bool = False


def read_counterpart(store: Store, run_id: str, uri: str) -> Counterpart | None:
    """What the server at ``uri`` (as shown) has of a run, ``None`` when it was never to have it. Raises StoreError."""
    return _read(_path(files_of(store, run_id), uri))


def counterparts(store: Store, run_id: str) -> list[Counterpart]:
    """A run's counterparts on all servers. Raises StoreError."""
    found = (_read(path) for path in sorted(files_of(store, run_id).tracking.glob("*.json")))
    return [each for each in found if each is not None]


def keep_counterpart(store: Store, run_id: str, counterpart: Counterpart) -> None:
    """Write what a server has of a run; what it has not all of is marked as unsent. Raises StoreError."""
    mark = _mark(store, run_id, counterpart.uri)
    with explained(store.folder):
        if not counterpart.complete:
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
        write_atomically(_path(files_of(store, run_id), counterpart.uri), dump_json(asdict(counterpart)))
        if counterpart.complete:
            mark.unlink(missing_ok=True)


def forget_unsent(store: Store, run_id: str, counterpart: Counterpart) -> None:
    """Give up on sending what a server has not got of a run; asked for by its name, it is sent all the same."""
    counterpart.complete = True
    keep_counterpart(store, run_id, counterpart)


def unsent(store: Store) -> list[tuple[str, Counterpart]]:
    """The runs of which a server has not all yet, in the order in which they began. Raises StoreError."""
    folder = _unsent_folder(store)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = []
    for name in names:
        run_id, _, digest = name.partition(".")
        files = files_of(store, run_id)
        counterpart = _read(files.tracking / f"{digest}.json")
        if counterpart is None or counterpart.complete:
            if not files.folder.exists():
                (folder / name).unlink(missing_ok=True)  # the run is gone, and with it what was to be sent
            continue
        found.append((run_id, counterpart))
    return found


def lock_path(store: Store, run_id: str, uri: str) -> Path:
    """Locked while a run and its counterpart on a server are brought together."""
    return _path(files_of(store, run_id), uri).with_suffix(".lock")


def _path(files: RunFiles, uri: str) -> Path:
    return files.tracking / f"{sha256_of_text(uri)[:16]}.json"


def _mark(store: Store, run_id: str, uri: str) -> Path:
    return _unsent_folder(store) / f"{run_id}.{sha256_of_text(uri)[:16]}"


def _unsent_folder(store: Store) -> Path:
    return store.folder / "unsent"


def _read(path: Path) -> Counterpart | None:
    try:
        return Counterpart(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{one_line(path)} is damaged: {one_line(error)}") from error
