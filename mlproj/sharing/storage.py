"""What a remote keeps, through fsspec: objects named by the SHA-256 of their bytes, and a small manifest for each run.

``objects/ab/cdef…`` is an object, ``runs/<id>.json`` a manifest. Objects are never changed or removed.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlproj.errors import StoreError
from mlproj.files import copy_file
from mlproj.sharing.opening import RemoteError, Storage, asked, require_bucket
from mlproj.sharing.parts import is_left_behind, part_of
from mlproj.text import one_line

_AT_ONCE = 16
_LONGEST_WRITE_S = 3 * 86400
# Up to so many folders of objects are listed one by one: each is a request, and all of a large remote are thousands.
_FEW_FOLDERS = 64
_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


def object_path(storage: Storage, sha256: str) -> str:
    """Where an object is on the remote."""
    return f"{storage.root}/objects/{sha256[:2]}/{sha256[2:]}"


def manifest_path(storage: Storage, run_id: str) -> str:
    """Where the manifest of a run is on the remote."""
    return f"{storage.root}/runs/{run_id}.json"


class ObjectGoneError(RemoteError):
    """An object that ought to be on a remote is not there."""


class KnownObjects:
    """Which objects are on a remote, and their sizes: asked for by folders, each once."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.sizes: dict[str, int] = {}
        self.listed: set[str] = set()
        self.all_listed = False

    def missing(self, wanted: Mapping[str, int]) -> list[str]:
        """Those of the ``wanted`` objects, by their digests, that are not there with the size that they ought to have.

        One of another size is what a killed pusher left on a file system that keeps half a file.
        """
        folders = sorted({digest[:2] for digest in wanted} - self.listed)
        if folders and not self.all_listed:
            if len(folders) > _FEW_FOLDERS:
                self._list([""])
                self.all_listed = True
            else:
                self._list(folders)
                self.listed.update(folders)
        return [digest for digest, size in wanted.items() if self.sizes.get(digest) != size]

    def add(self, wanted: Mapping[str, int]) -> None:
        """Note objects that are there now."""
        self.sizes.update(wanted)

    def _list(self, folders: Sequence[str]) -> None:
        base = f"{self.storage.root}/objects/".lstrip("/")
        with asked(self.storage.remote):
            one_by_one = not (_at_once(self.storage) or self.storage.is_folder)  # sftp's connection is one thread's
            places = [f"objects/{folder}" for folder in folders]
            listings = map if one_by_one else in_parallel
            for found in listings(partial(files_below, self.storage), places):
                for path, size in found.items():
                    # Some file systems give their paths without the slash that the root begins with.
                    self.sizes[path.partition(base)[2].replace("/", "", 1)] = size


def files_below(storage: Storage, folder: str) -> dict[str, int]:
    """The files below a folder of a remote, by their paths there, with their sizes; none where there is no folder."""
    try:
        found = storage.filesystem.find(f"{storage.root}/{folder}".rstrip("/"), detail=True)
    except FileNotFoundError:
        return {}
    return {path: int(each.get("size") or 0) for path, each in found.items()} if found else {}


def in_parallel(work: Callable[[_Value], _Result], values: Sequence[_Value]) -> list[_Result]:
    """The results of ``work`` on all values, several at once; in their order."""
    if len(values) < 2:
        return [work(each) for each in values]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_AT_ONCE, len(values))) as pool:
        return list(pool.map(work, values))


def _at_once(storage: Storage) -> bool:
    """Whether the file system transfers several files at once by itself, and puts each there whole or not at all.

    Those of object storage do.
    """
    return bool(getattr(storage.filesystem, "async_impl", False))


def send_objects(storage: Storage, objects: Mapping[str, Path]) -> None:
    """Put files on the remote as objects, by their digests. Raises RemoteError."""
    with asked(storage.remote):
        if _at_once(storage):
            if objects:
                places = [object_path(storage, digest) for digest in objects]
                storage.filesystem.put([str(each) for each in objects.values()], places)
            return
        pairs = [(str(origin), object_path(storage, digest)) for digest, origin in objects.items()]
        for folder in sorted({place.rpartition("/")[0] for _, place in pairs}):
            _make_folder(storage, folder)
        if storage.is_folder:
            _sweep({Path(place).parent for _, place in pairs})
            in_parallel(lambda pair: _copy_whole(Path(pair[0]), Path(pair[1])), pairs)
            return
        for origin, place in pairs:
            _send_whole(storage, place, partial(storage.filesystem.put_file, origin))


def _make_folder(storage: Storage, folder: str) -> None:
    """Make a folder of the remote, and those above it.

    sftp's file system fails where another push makes one of them between its look and its deed: the next call finds it.
    """
    for others in range(folder.count("/"), -1, -1):
        try:
            storage.filesystem.makedirs(folder, exist_ok=True)
            return
        except OSError:
            if others == 0:
                raise


def _sweep(folders: Iterable[Path]) -> None:
    """Remove what pushes that were killed left in folders of a remote.

    Of those of other machines nothing is known but that nobody writes at one file for days.
    """
    for folder in folders:
        for each in folder.glob(".*.part"):
            with suppress(FileNotFoundError, PermissionError):
                if is_left_behind(each) or time.time() - each.stat().st_mtime > _LONGEST_WRITE_S:
                    each.unlink()


def _copy_whole(origin: Path, place: Path) -> None:
    scratch = part_of(place)
    try:
        copy_file(origin, scratch)
        scratch.chmod(0o644)
        scratch.replace(place)
    finally:
        scratch.unlink(missing_ok=True)


def _send_whole(storage: Storage, place: str, send: Callable[[str], None]) -> None:
    """Send a file under another name first, where one that breaks off would stay half there."""
    folder, _, name = place.rpartition("/")
    scratch = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
    try:
        send(scratch)
        storage.filesystem.mv(scratch, place)
    except BaseException:
        with suppress(Exception):
            storage.filesystem.rm_file(scratch)
        raise


def send_object(storage: Storage, digest: str, content: bytes) -> None:
    """Put bytes on the remote as an object. Raises RemoteError."""
    _send_bytes(storage, object_path(storage, digest), content)


def send_manifest(storage: Storage, run_id: str, content: bytes) -> None:
    """Put the manifest of a run on the remote, when all that it names is there. Raises RemoteError."""
    _send_bytes(storage, manifest_path(storage, run_id), content)


def _send_bytes(storage: Storage, place: str, content: bytes) -> None:
    with asked(storage.remote):
        if _at_once(storage):
            storage.filesystem.pipe_file(place, content)
            return
        _make_folder(storage, place.rpartition("/")[0])
        _send_whole(storage, place, lambda scratch: storage.filesystem.pipe_file(scratch, content))


def read_object(storage: Storage, digest: str) -> bytes | None:
    """The bytes of an object, ``None`` where it is not there. Whether they are right is for the caller to see.

    Raises RemoteError.
    """
    with asked(storage.remote):
        try:
            return bytes(storage.filesystem.cat_file(object_path(storage, digest)))
        except FileNotFoundError:
            return None


def fetch_objects(storage: Storage, objects: Mapping[str, Path]) -> None:
    """Fetch objects into files of this machine, by their digests. Whether they are right is for the caller to see.

    Raises ObjectGoneError where one of them is not there, RemoteError.
    """
    pairs = [(object_path(storage, digest), str(target)) for digest, target in objects.items()]
    with asked(storage.remote), _all_there(storage), _own_disk():
        if _at_once(storage):
            if pairs:
                storage.filesystem.get([place for place, _ in pairs], [target for _, target in pairs])
        elif storage.is_folder:
            in_parallel(lambda pair: _copied(Path(pair[0]), Path(pair[1])), pairs)
        else:
            for place, target in pairs:
                storage.filesystem.get_file(place, target)


@contextmanager
def _all_there(storage: Storage) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        reason = f"there is no {one_line(error.filename)}" if error.filename else one_line(error)
        raise ObjectGoneError(f"the remote {one_line(storage.remote.name)}: {reason}") from None


@contextmanager
def _own_disk() -> Iterator[None]:
    """What is full while files are fetched is the disk that they come to, and not the remote's."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "Free some space (`mlproj gc` empties the trash), or set $MLPROJ_HOME to another folder."
        raise StoreError("the disk of this machine's store is full", hint=hint) from None


def _copied(origin: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    copy_file(origin, target)
    target.chmod(0o644)


def manifest_ids(storage: Storage) -> list[str]:
    """The ids of the runs on a remote, oldest first. Raises RemoteError."""
    from mlproj.runs.identifiers import is_run_id

    with asked(storage.remote):
        names = [os.path.basename(path) for path in files_below(storage, "runs")]  # noqa: PTH119  no path of this machine
        if not names:
            require_bucket(storage)
    return sorted(name[:-5] for name in names if name.endswith(".json") and is_run_id(name[:-5]))


def read_manifests(storage: Storage, run_ids: Iterable[str]) -> dict[str, bytes]:
    """The manifests of runs, as far as they are there. Raises RemoteError."""
    paths = {manifest_path(storage, run_id): run_id for run_id in run_ids}
    with asked(storage.remote):
        if not paths:
            return {}
        # `cat` of one path gives its bytes alone.
        found = storage.filesystem.cat(list(paths), on_error="return")
        found = found if isinstance(found, dict) else {next(iter(paths)): found}
        for content in found.values():
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
    by_end = {path.lstrip("/"): run_id for path, run_id in paths.items()}
    return {by_end[path.lstrip("/")]: content for path, content in found.items() if isinstance(content, bytes)}
