"""Files between this machine and a container: copies for an engine that does not share its folders, and ownership."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import docker.errors
from docker.types import Mount
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from mlproj.environments.images.engine import connect_to
from mlproj.errors import MlprojError
from mlproj.execution.container import METRICS_AT
from mlproj.text import plural

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
        self.sent: dict[str, tuple[int, float]] = {}
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
                info = archive.gettarinfo(str(path), str(name).lstrip("/"))
            except OSError:
                continue
            if info is None:  # a socket
                continue
            info.uid, info.gid = self.owner
            info.uname = info.gname = ""
            self.sent[info.name] = (info.size, int(info.mtime))
            if info.islnk():  # a second name of one file: as a file, since the first may be elsewhere
                info.type, info.size = tarfile.REGTYPE, path.stat().st_size
            if info.isreg():
                with path.open("rb") as stream:
                    archive.addfile(info, stream)
            else:
                archive.addfile(info)

    def follow_metrics(self) -> None:
        """Bring metrics over as they come, until the container has ended."""
        with (
            contextlib.suppress(*ENGINE_TROUBLE),
            contextlib.closing(connect_to(self.order["engine"]).client) as client,
        ):
            while not self.ended.wait(_POLL_S):
                self._take_metrics(client)

    def _take_metrics(self, client: Any) -> None:
        target = self._local(METRICS_AT)
        with _archive_of(client, self.identifier, METRICS_AT) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is None:
                    continue
                stream.seek(self.metrics_taken)
                new = stream.read()
                self.metrics_taken += len(new)
                if new:
                    with target.open("ab") as metrics:
                        metrics.write(new)

    def _local(self, place: str) -> Path:
        return next(Path(each["source"]) for each in self.order["own_volumes"] if each["target"] == place)

    def fetch(self) -> list[str]:
        """Bring back what the command wrote or changed; gives what could not be had."""
        self.ended.set()
        notices: list[str] = []
        try:
            self._take_metrics(self.client)
            for each in self.order["own_volumes"]:
                if not each["read_only"] and each["target"] != METRICS_AT:
                    self._bring(PurePosixPath(each["target"]), Path(each["source"]))
        except (*ENGINE_TROUBLE, tarfile.TarError) as error:
            notices.append(f"not all that the command left could be brought back: {error}")
        return notices

    def _bring(self, place: PurePosixPath, folder: Path) -> None:
        with _archive_of(self.client, self.identifier, str(place)) as archive:
            for member in archive:
                # The engine names members by the folder's own name.
                inside = PurePosixPath(member.name).relative_to(place.name)
                if member.isfile() and self.sent.get(str(place / inside).lstrip("/")) == (
                    member.size,
                    int(member.mtime),
                ):
                    continue
                if str(inside) == ".":
                    continue
                member.name = str(inside)
                member.uid, member.gid = os.getuid(), os.getgid()
                member.uname = member.gname = ""
                with contextlib.suppress(tarfile.FilterError):  # what would lie outside of the project
                    _extract(archive, member, folder)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    safe = tarfile.data_filter(member, str(folder))
    target = folder / safe.name
    if target.is_symlink() or (target.exists() and not target.is_dir() and not safe.isdir()):
        target.unlink()
    archive.extract(safe, folder, filter="fully_trusted")


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


def foreign_files(folder: str) -> set[str]:
    """The files and folders in ``folder`` that belong to somebody else than the caller."""
    mine = os.getuid()
    found = set()
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = f"{root}/{name}"
            with contextlib.suppress(OSError):
                if os.lstat(path).st_uid != mine:
                    found.add(path)
    return found


def give_back(client: Any, order: Mapping[str, Any], before: Collection[str]) -> list[str]:
    """Have the engine make the caller the owner of what the container's user left; gives what could not be done.

    ``before`` are the files that were somebody else's already.
    """
    project = order["own_volumes"][0]
    left = sorted(foreign_files(project["source"]) - set(before))
    for begin in range(0, len(left), _MOST_ARGUMENTS):
        inside = [project["target"] + each[len(project["source"]) :] for each in left[begin : begin + _MOST_ARGUMENTS]]
        with contextlib.suppress(*ENGINE_TROUBLE):
            helper = client.create_container(
                order["image"],
                entrypoint=["chown", "-h", f"{os.getuid()}:{os.getgid()}", "--"],
                command=inside,
                user="0:0",
                labels=order["labels"],
                host_config=client.create_host_config(
                    network_mode="none", mounts=[Mount(project["target"], project["source"], type="bind")]
                ),
            )
            try:
                client.start(helper["Id"])
                client.wait(helper["Id"])
            finally:
                client.remove_container(helper["Id"], force=True, v=True)
    remaining = len(foreign_files(project["source"]) & set(left))
    return [f"{plural(remaining, 'file')} that it left in the project belong to another user"] if remaining else []
