"""Fetching runs from a remote: what came before a pull was killed is not fetched again, and every digest is checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlproj import locks
from mlproj.errors import RunNotFoundError, SourceError
from mlproj.files import copy_file, human_size, sha256_of_file
from mlproj.runs.database import explained
from mlproj.runs.layout import RunFiles, new_files
from mlproj.runs.record import RunRecord, recorded_files
from mlproj.runs.store import Store
from mlproj.runs.times import now_text
from mlproj.sharing.arriving import (
    Arrived,
    check_against_record,
    complete,
    import_record,
    lacks,
    move_into,
    same_run_here,
    settle_in,
)
from mlproj.sharing.manifests import Manifest, RemoteFile, parse_listing, parse_manifest
from mlproj.sharing.opening import RemoteError, Storage, require_folder
from mlproj.sharing.storage import (
    KnownObjects,
    ObjectGoneError,
    fetch_objects,
    in_parallel,
    manifest_ids,
    object_path,
    read_manifests,
)
from mlproj.sources.unpack.archive import put_entries
from mlproj.sources.unpack.entries import Entry, Limits
from mlproj.text import one_line, plural

_NO_LIMIT = Limits(1 << 60, 1 << 40)


@dataclass(frozen=True)
class RemoteRun:
    """A run on a remote.

    ``problem`` says what is wrong with its manifest, of which nothing else is then known, and ``hint`` what to do.
    """

    id: str
    manifest: Manifest | None = None
    problem: str | None = None
    hint: str | None = None


def remote_runs(storage: Storage) -> list[RemoteRun]:
    """The runs on a remote, newest first. Raises RemoteError."""
    found = read_manifests(storage, _ids_there(storage))
    return [_remote_run(run_id, found[run_id]) for run_id in sorted(found, reverse=True)]


def _ids_there(storage: Storage) -> list[str]:
    ids = manifest_ids(storage)
    if not ids:
        require_folder(storage)
    return ids


def _remote_run(run_id: str, content: bytes) -> RemoteRun:
    try:
        return RemoteRun(run_id, parse_manifest(content, run_id))
    except SourceError as error:
        return RemoteRun(run_id, problem=error.message, hint=error.hint)


def find_remote_runs(storage: Storage, names: Sequence[str]) -> list[RemoteRun]:
    """The runs on a remote that names mean, oldest first: ids' beginnings, or runs' names; all of them without any.

    Raises RunNotFoundError when none, or more than one, answers to a name; RemoteError.
    """
    ids = _ids_there(storage)
    if not names:
        return remote_runs(storage)[::-1]
    wanted: dict[str, None] = {}
    by_name: list[RemoteRun] | None = None
    for name in names:
        matching = [each for each in ids if each.startswith(name.lower())] if name else []
        if not matching:
            by_name = remote_runs(storage) if by_name is None else by_name
            matching = [each.id for each in by_name if each.manifest is not None and each.manifest.record.name == name]
        if len(matching) != 1:
            shown, remote = one_line(name), one_line(storage.remote.name)
            problem = f"more than one run is `{shown}` on" if matching else f"there is no run `{shown}` on"
            hint = f"`mlproj runs --remote {remote}` lists those that are there."
            raise RunNotFoundError(f"{problem} the remote {remote}", hint=hint)
        wanted[matching[0]] = None
    found = read_manifests(storage, wanted)
    return [_remote_run(run_id, found[run_id]) for run_id in sorted(wanted) if run_id in found]


Told = Callable[[str], None]


def pull_run(storage: Storage, store: Store, run: RemoteRun, told: Told, waiting: Told) -> Arrived:
    """Bring one run of a remote into the store; ``waiting`` is told when another process fetches it already.

    Whatever kills this, the store holds the run whole or not at all. Raises RemoteError for what is damaged on the
    remote, UsageError when another run of its id is here, StoreError.
    """
    try:
        if run.manifest is None:
            raise SourceError(run.problem or "its manifest is damaged", hint=run.hint)
        return _pulled(storage, store, run.manifest, told, waiting)
    except SourceError as error:
        remote = one_line(storage.remote.name)
        hint = error.hint or f"`mlproj push --force {remote} {run.id[:12]}`, from a store that has it, mends it."
        raise RemoteError(f"run {run.id[:12]} of the remote {remote} is refused: {error.message}", hint=hint) from None


def _pulled(storage: Storage, store: Store, manifest: Manifest, told: Told, waiting: Told) -> Arrived:
    record = manifest.record
    if _is_whole(_here(store, record)):
        return Arrived(record.id, "same")
    with _place(store, record, waiting) as place:
        found = _here(store, record)
        if _is_whole(found):  # since another process brought it in meanwhile
            shutil.rmtree(place.folder, ignore_errors=True)
            return Arrived(record.id, "same")
        files = _listed(storage, place, manifest)
        if found is not None:
            files = [each for each in files if lacks(*found, each.path)]
        if found is None or files:
            wanted = {each.sha256: each.size for each in files if not each.target}
            told(f"{record.id[:12]}: {plural(len(files), 'file')}, {human_size(sum(wanted.values()))}")
            _bring(storage, store, place, files)
        if found is not None:
            arrived = complete(store, place, record)
        else:
            arrived = settle_in(store, place, record, import_record(f"{storage.remote.url}", now_text()))
        shutil.rmtree(place.folder, ignore_errors=True)  # where the run was here already
        return arrived


def _here(store: Store, record: RunRecord) -> tuple[RunFiles, RunRecord] | None:
    with explained(store.folder):
        return same_run_here(store, record)


def _is_whole(found: tuple[RunFiles, RunRecord] | None) -> bool:
    """Whether a run is here and lacks nothing that the remote may have: what is told without asking it for a list."""
    if found is None:
        return False
    known, here = found
    return not any(lacks(known, here, name) for name in (*recorded_files(here), "source"))


def _listed(storage: Storage, place: RunFiles, manifest: Manifest) -> list[RemoteFile]:
    objects, listing = place.folder / "objects", manifest.files_sha256
    _fetch(storage, objects, {listing: manifest.files_size}, {listing: "the list of its files"})
    files = parse_listing((objects / listing).read_bytes(), manifest.record)
    check_against_record(manifest.record, {each.path: each.sha256 for each in files if not each.target})
    return files


def _bring(storage: Storage, store: Store, place: RunFiles, files: Sequence[RemoteFile]) -> None:
    """Have files of a run in their places below the new run's folder."""
    objects = place.folder / "objects"
    with explained(store.folder):
        # Before anything is fetched for them: every name is one that can be.
        tree = _laid_out(place, files)
    _fetch(
        storage,
        objects,
        {each.sha256: each.size for each in files if not each.target},
        {each.sha256: each.path for each in files},
    )
    with explained(store.folder):
        _fill(tree, objects, files)
        move_into(tree, [each.path for each in files], place)
        shutil.rmtree(tree)
        shutil.rmtree(objects)


@contextmanager
def _place(store: Store, record: RunRecord, waiting: Told) -> Iterator[RunFiles]:
    """The folder that a run is fetched into. It stays when that fails, for the next pull to go on from."""
    files = new_files(store.folder, record.id)
    with explained(store.folder):
        held = locks.try_claim(files.alive_lock)
        if held is None:
            waiting(f"waiting for another mlproj that fetches run {record.id[:12]}")
        while held is None:
            # Whoever held it has renamed the folder or removed it, or died: then the lock is claimed.
            locks.wait_exclusive(files.alive_lock).release()
            held = locks.try_claim(files.alive_lock)
    try:
        with explained(store.folder):
            (files.folder / "objects").mkdir(exist_ok=True)
            for each in files.folder.iterdir():
                # What was in its place already when a pull was killed may be of an older manifest.
                if each.is_dir() and each.name != "objects":
                    shutil.rmtree(each)
                elif each.is_file() and each != files.alive_lock:
                    each.unlink()
        yield files
    finally:
        held.release()


def _fetch(storage: Storage, folder: Path, wanted: Mapping[str, int], names: Mapping[str, str]) -> None:
    """Have objects in ``folder``, by their digests, all of them checked.

    Raises SourceError for one that is damaged or is not there.
    """
    with explained(folder):
        present = [digest for digest in wanted if (folder / digest).is_file()]
        whole = {
            digest for digest, right in zip(present, in_parallel(lambda each: _is(folder, each), present)) if right
        }
    missing = [digest for digest in wanted if digest not in whole]
    try:
        fetch_objects(storage, {digest: folder / digest for digest in missing})
    except ObjectGoneError:
        gone = KnownObjects(storage).missing({digest: wanted[digest] for digest in missing})
        if not gone:
            raise
        others = f", and {plural(len(gone) - 1, 'other file')}" if len(gone) > 1 else ""
        raise SourceError(f"`{one_line(names[gone[0]])}` is not there any more{others}") from None
    with explained(folder):
        right = in_parallel(lambda each: _is(folder, each), missing)
    for digest, is_right in zip(missing, right):
        if not is_right:
            (folder / digest).unlink(missing_ok=True)
            place = one_line(object_path(storage, digest))
            raise SourceError(f"`{one_line(names[digest])}` is damaged: the SHA-256 of {place} is another")


def _is(folder: Path, digest: str) -> bool:
    return sha256_of_file(folder / digest) == digest


def _laid_out(place: RunFiles, files: Sequence[RemoteFile]) -> Path:
    """A folder with an empty file in the place of each of the run's, made as an archive's are: checked name by name."""
    tree = place.folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    kinds = [("link" if each.target else "file", each) for each in files]
    put_entries(
        [Entry(each.path, "link" if kind == "link" else "file", each.executable, each.target) for kind, each in kinds],
        tree,
        _NO_LIMIT,
    )
    return tree


def _fill(tree: Path, objects: Path, files: Sequence[RemoteFile]) -> None:
    """Put the objects into their places: moved to the last place that has one, copied to the others."""
    last = {each.sha256: each.path for each in files if not each.target}
    for each in files:
        if each.target:
            continue
        place = tree / each.path
        mode = place.stat().st_mode
        if last[each.sha256] != each.path:
            place.unlink()
            copy_file(objects / each.sha256, place)
        else:
            (objects / each.sha256).replace(place)
        place.chmod(mode & 0o777)
