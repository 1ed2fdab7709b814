"""Files between this machine and a container: copies for an engine that does not share its folders, and ownership."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import stat
import tarfile
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import docker.errors
from docker.types import Mount
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from mlproj.environments.images.engine import connect_to
from mlproj.errors import MlprojError
from mlproj.execution.container import METRICS_AT
from mlproj.text import one_line, plural

# What an engine that cannot be reached, refuses or goes away may raise.
ENGINE_TROUBLE = (MlprojError, docker.errors.DockerException, RequestException, HTTPError, OSError)
_POLL_S = 0.5
_MOST_ARGUMENTS = 500


class Copies:
    """Copies of what a container would have mounted, in a volume of its own where the project is, and beside it.

    ``send`` before the container starts, ``follow_metrics`` meanwhile, ``fetch`` when it has ended.
    """

    def __init__(self, client: Any, identifier: str, order: Mapping[str, Any]) -> None:
        self.client = client
        self.identifier = identifier
        self.order = order
        self.sent: dict[Path, tuple[int, int]] = {}
        self.ended = threading.Event()
        self.metrics_taken = 0
        # Files belong to the user that the command runs as; of one who has only a name the engine's copy is root's.
        user, _, group = (order["user"] or "0:0").partition(":")
        self.owner = (int(user) if user.isdigit() else 0, int(group) if group.isdigit() else 0)

    def send(self) -> None:
        """Copy the project and all else that the command is to have; each file as the container's user's."""
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w|") as archive:
                for each in self.order["own_volumes"]:
                    self._pack(archive, Path(each["source"]), PurePosixPath(each["target"]))
            packed.seek(0)
            self.client.put_archive(self.identifier, "/", packed)

    def _pack(self, archive: tarfile.TarFile, source: Path, target: PurePosixPath) -> None:
        for path in _walk(source):
            name = target / path.relative_to(source).as_posix()
            try:
                status = path.lstat()
                info = archive.gettarinfo(str(path), str(name).lstrip("/"))
            except OSError:
                continue
            if info is None:  # a socket
                continue
            info.uid, info.gid = self.owner
            info.uname = info.gname = ""
            self.sent[path] = (status.st_size, status.st_mtime_ns)
            if info.islnk():  # a second name of one file: as a file, since the first may be elsewhere
                info.type, info.size = tarfile.REGTYPE, status.st_size
            if info.isreg():
                with path.open("rb") as stream:
                    archive.addfile(info, stream)
            else:
                archive.addfile(info)

    def follow_metrics(self) -> None:
        """Bring metrics over as they come, until the container has ended."""
        with (
            contextlib.suppress(*ENGINE_TROUBLE, tarfile.TarError),
            contextlib.closing(connect_to(self.order["engine"]).client) as client,
        ):
            while not self.ended.wait(_POLL_S):
                self._take_metrics(client)

    def _take_metrics(self, client: Any) -> None:
        target = next(Path(each["source"]) for each in self.order["own_volumes"] if each["target"] == METRICS_AT)
        with _archive_of(client, self.identifier, METRICS_AT) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None:
                    continue
                stream.seek(self.metrics_taken)
                new = stream.read()
                self.metrics_taken += len(new)
                if new:
                    with target.open("ab") as metrics:
                        metrics.write(new)

    def fetch(self) -> list[str]:
        """Bring back what the command wrote, changed and removed; gives what could not be."""
        self.ended.set()
        # What a command does to this file itself is its own affair: metrics are what was appended to it.
        with contextlib.suppress(*ENGINE_TROUBLE, tarfile.TarError):
            self._take_metrics(self.client)
        problems: list[str] = []
        for each in self.order["own_volumes"]:
            if each["read_only"] or each["target"] == METRICS_AT:
                continue
            try:
                self._bring(PurePosixPath(each["target"]), Path(each["source"]), problems)
            except (*ENGINE_TROUBLE, tarfile.TarError) as error:
                problems.append(f"{each['target']}: {one_line(error)}")
        return problems

    def _bring(self, place: PurePosixPath, folder: Path, problems: list[str]) -> None:
        with _archive_of(self.client, self.identifier, str(place)) as archive:
            # The engine names members by the folder's own name.
            members = {
                folder / PurePosixPath(member.name).relative_to(place.name): member
                for member in archive
                if member.name != place.name
            }
            self._remove_missing(folder, members)
            for path, member in members.items():
                try:
                    _place(archive, member, path, folder)
                except (OSError, KeyError, ValueError) as error:
                    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                    problems.append(f"{one_line(path.relative_to(folder))}: {one_line(why)}")

    def _remove_missing(self, folder: Path, members: Mapping[Path, tarfile.TarInfo]) -> None:
        """Remove what was sent and is there no more, deepest first, unless it has changed here meanwhile."""
        for path in sorted(self.sent, reverse=True):
            if path == folder or not path.is_relative_to(folder):
                continue
            with contextlib.suppress(OSError):  # not empty: something of it was never sent
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode):
                    if path not in members or not members[path].isdir():
                        path.rmdir()
                elif path not in members and (status.st_size, status.st_mtime_ns) == self.sent[path]:
                    path.unlink()


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, folder: Path) -> None:
    """Have ``path`` be what the container has there. Raises ``OSError``, ``ValueError``."""
    for above in path.relative_to(folder).parents:
        if (folder / above).is_symlink():
            raise ValueError("it lies behind a link")
    if member.isdir():
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.mkdir(exist_ok=True)
        path.chmod(member.mode & 0o777 | 0o700)
    elif member.issym():
        if path.is_symlink() or path.exists():
            if path.is_symlink() and path.readlink() == Path(member.linkname):
                return
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        path.symlink_to(member.linkname)
    elif member.isreg() or member.islnk():
        stream = archive.extractfile(member)
        assert stream is not None
        written = path.with_name(f".{path.name[:100]}.mlproj-part")
        try:
            with written.open("wb") as target:
                shutil.copyfileobj(stream, target)
            if path.is_file() and not path.is_symlink() and filecmp.cmp(written, path, shallow=False):
                return
            written.chmod(member.mode & 0o777)
            os.utime(written, (member.mtime, member.mtime))
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)
    else:
        raise ValueError("it is neither a file, a folder nor a link")


@contextlib.contextmanager
def _archive_of(client: Any, identifier: str, place: str) -> Iterator[tarfile.TarFile]:
    chunks, _ = client.get_archive(identifier, place)
    with tempfile.TemporaryFile() as packed:
        for chunk in chunks:
            packed.write(chunk)
        packed.seek(0)
        with tarfile.open(fileobj=packed, mode="r:") as archive:
            yield archive


def _walk(top: Path) -> Iterator[Path]:
    yield top
    if top.is_dir() and not top.is_symlink():
        for path in sorted(top.iterdir()):
            yield from _walk(path)


def volume_name(order: Mapping[str, Any]) -> str:
    """The name of the volume that takes the copy of the project."""
    return str(order["name"])


def writable_folders(order: Mapping[str, Any]) -> dict[str, str]:
    """The folders of this machine that a command may write to, by where they are inside."""
    return {
        each["target"]: each["source"]
        for each in order["own_volumes"]
        if not each["read_only"] and Path(each["source"]).is_dir()
    }


def foreign_files(folders: Iterable[str]) -> set[str]:
    """The files and folders in ``folders`` that belong to somebody else than the caller."""
    mine = os.getuid()
    found = set()
    for folder in folders:
        for root, names, files in os.walk(folder):
            for name in (*names, *files):
                path = f"{root}/{name}"
                with contextlib.suppress(OSError):
                    if os.lstat(path).st_uid != mine:
                        found.add(path)
    return found


def give_back(client: Any, order: Mapping[str, Any], before: Collection[str]) -> list[str]:
    """Have the engine make the caller the owner of what the container's user left; gives what could not be done.

    ``before`` are the files that were somebody else's already.
    """
    folders = writable_folders(order)
    left = sorted(foreign_files(folders.values()) - set(before))
    # A folder that is new has only new things in it, which the caller may not even be allowed to list.
    topmost = [path for path in left if not any(str(above) in left for above in Path(path).parents)]
    inside = [
        target + path[len(source) :]
        for path in topmost
        for target, source in folders.items()
        if path.startswith(f"{source}/")
    ]
    for begin in range(0, len(inside), _MOST_ARGUMENTS):
        _change_owner(client, order, folders, inside[begin : begin + _MOST_ARGUMENTS])
    remaining = len(foreign_files(folders.values()) - set(before))
    return [f"{plural(remaining, 'file')} that it left in the project belong to another user"] if remaining else []


def _change_owner(client: Any, order: Mapping[str, Any], folders: Mapping[str, str], paths: list[str]) -> None:
    with contextlib.suppress(*ENGINE_TROUBLE):
        helper = client.create_container(
            order["image"],
            entrypoint=["chown", "-hR", f"{os.getuid()}:{os.getgid()}", "--"],
            command=paths,
            user="0:0",
            labels=order["labels"],
            host_config=client.create_host_config(
                network_mode="none",
                mounts=[Mount(target, source, type="bind") for target, source in folders.items()],
            ),
        )
        try:
            client.start(helper["Id"])
            client.wait(helper["Id"])
        finally:
            client.remove_container(helper["Id"], force=True, v=True)
