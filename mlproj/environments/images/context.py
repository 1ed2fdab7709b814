"""Build contexts: which files belong to one, their digest, and the tar that the engine is sent."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mlproj.environments.images.project_files import read_regular
from mlproj.environments.recall import RACY_NS
from mlproj.errors import UsageError
from mlproj.files import sha256_of_file, sha256_of_text, write_atomically
from mlproj.text import one_line

_MOST_LINKS = 1000
LARGEST_FILE = 1 << 20
# What writing fails with, however well the file could be read.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Context:
    """The files of a build: a folder, and paths relative to it, sorted, parents before what is in them.

    ``dockerfile`` is what the Dockerfile is called among them, whether it is one of them or not.
    """

    folder: Path
    paths: tuple[str, ...]
    dockerfile: str


def read_context(folder: Path, dockerfile: Path, sources: Sequence[str] | None) -> Context:
    """The context that a build with ``dockerfile`` sees: without what ``.dockerignore`` names, and, when ``sources``
    are given, of the rest only what they match. Raises ``UsageError`` when it cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder `{one_line(folder)}` to build the image from")
    if sources is not None and not sources:
        return Context(folder, (), _name_inside(folder, dockerfile))
    from docker.utils.build import PatternMatcher

    matcher = PatternMatcher(ignored_patterns(folder, dockerfile))
    wanted = None if sources is None else _with_links(folder, [_parts(source) for source in sources])
    # The library takes in `.dockerignore` whatever that says, since it has the engine read it.
    matcher.patterns.pop()
    paths = tuple(_with_parents(_walk(folder, "", matcher, wanted)))
    return Context(folder, paths, _name_inside(folder, dockerfile))


def _name_inside(folder: Path, dockerfile: Path) -> str:
    real, inside = Path(os.path.realpath(dockerfile)), Path(os.path.realpath(folder))
    if real.is_relative_to(inside):
        return real.relative_to(inside).as_posix()
    return ".mlproj.Dockerfile"


def _walk(folder: Path, inside: str, matcher: Any, wanted: list[list[str]] | None) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(folder / inside, error) from error
    for entry in entries:
        path = f"{inside}/{entry.name}" if inside else entry.name
        if wanted is not None and not any(_belongs(path.split("/"), parts) for parts in wanted):
            continue
        ignored = matcher.matches(path)
        if not ignored:
            yield path
        # In an ignored folder there may be what a later `!` pattern takes in again.
        if entry.is_dir(follow_symlinks=False) and not (ignored and not _taken_in_again(matcher, path)):
            yield from _walk(folder, path, matcher, wanted)


def _taken_in_again(matcher: Any, path: str) -> bool:
    return any(each.exclusion and each.cleaned_pattern.startswith(path) for each in matcher.patterns)


def ignored_patterns(folder: Path, dockerfile: Path) -> list[str]:
    """The patterns of the ``.dockerignore`` that a build has. Raises ``UsageError`` when it cannot be read."""
    # A Dockerfile's own list goes before the context's, as BuildKit has it.
    for path in (dockerfile.with_name(dockerfile.name + ".dockerignore"), folder / ".dockerignore"):
        try:
            lines = read_regular(path, LARGEST_FILE).decode("utf-8-sig").splitlines()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise UsageError(f"`{one_line(path)}` cannot be read: {_reason(error)}") from error
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return []


def _reason(error: Exception) -> str:
    return one_line((isinstance(error, OSError) and error.strerror) or error)


def _parts(source: str) -> list[str]:
    # The builder takes every path as one inside the context.
    return [part for part in os.path.normpath("/" + source).split("/") if part not in ("", ".")]


def _with_links(folder: Path, wanted: Sequence[list[str]]) -> list[list[str]] | None:
    """The patterns, and those of what the links that they name or go through lead to; ``None`` when that is anything.

    The builder follows the links that a COPY names, as if the context were all there is.
    """
    found = list(wanted)
    for pattern in found:  # which grows
        for led_to in _led_to(folder, [], pattern):
            if led_to is None or len(found) > _MOST_LINKS:
                return None
            if led_to not in found:
                found.append(led_to)
    return found


def _led_to(folder: Path, inside: list[str], rest: list[str]) -> Iterator[list[str] | None]:
    from docker.utils.fnmatch import fnmatch

    if not rest:
        return
    place = folder.joinpath(*inside)
    try:
        paths = list(place.iterdir())
    except OSError:
        return  # a file on the way, which the walk finds too
    for path in paths:
        if not fnmatch(path.name, rest[0]):
            continue
        if path.is_symlink():
            target = path.readlink()
            after = list(target.parts)
            while after and after[0] in ("..", "/"):
                del after[0]
            # `x/../y` is `y` only if `x` is no link itself.
            at = "" if target.is_absolute() else "/".join(inside)
            yield None if ".." in after else [*_parts(f"{at}/{target}"), *rest[1:]]
        elif path.is_dir():
            yield from _led_to(folder, [*inside, path.name], rest[1:])


def _belongs(path: list[str], pattern: list[str]) -> bool:
    """Whether ``path`` is what a COPY of ``pattern`` takes, is in it, or is a folder on the way to it."""
    from docker.utils.fnmatch import fnmatch

    return all(fnmatch(part, glob) for part, glob in zip(path, pattern))


def _with_parents(paths: Iterable[str]) -> Iterable[str]:
    given: set[str] = set()
    for path in paths:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            one = "/".join(parts[:count])
            if one not in given:
                given.add(one)
                yield one


def context_digest(context: Context, cache: Path) -> str:
    """The digest of a context: names, kinds, permissions, contents and where links lead; no times and owners.

    A context that looks as it did the last time is not read again. Raises ``UsageError`` for what cannot be read.
    """
    statuses = [_status(context.folder / path) for path in context.paths]
    looks = sha256_of_text(
        json.dumps(
            [
                [path, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
                for path, status in zip(context.paths, statuses)
            ]
        )
    )
    # One file for each folder: what was found out before it changed is of no use any more.
    memory = cache / "recalled" / f"{sha256_of_text(str(context.folder))[:32]}.context"
    try:
        remembered, digest = memory.read_text("utf-8").split()
    except (OSError, ValueError):
        remembered, digest = "", ""
    if remembered == looks:
        return digest
    digest = _read_digest(context, statuses)
    newest = max((status.st_mtime_ns for status in statuses), default=0)
    if newest + RACY_NS < time.time_ns():
        with suppress(OSError):
            write_atomically(memory, f"{looks} {digest}\n")
    return digest


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_digest(context: Context, statuses: Sequence[os.stat_result]) -> str:
    digest = hashlib.sha256()
    for path, status in zip(context.paths, statuses):
        full = context.folder / path
        described: list[Any] = [path, stat.S_IMODE(status.st_mode) & 0o777]
        try:
            if stat.S_ISREG(status.st_mode):
                described += ["file", sha256_of_file(full)]
            elif stat.S_ISLNK(status.st_mode):
                described += ["link", str(full.readlink())]
            elif stat.S_ISDIR(status.st_mode):
                described += ["folder"]
            else:
                continue  # sockets and pipes are not sent
        except OSError as error:
            raise _unreadable(full, error) from error
        digest.update(json.dumps(described).encode())
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"`{one_line(path)}`, which the image is built from, cannot be read: {error.strerror or error}",
        hint="name it in `.dockerignore` if the image does not need it",
    )


def write_tar(context: Context, dockerfile: str | None, stream: IO[bytes]) -> None:
    """Write the tar of a context, with ``dockerfile`` as the text of its Dockerfile, or without one.

    Raises ``UsageError`` for a file that cannot be read, ``OSError`` when there is no room.
    """
    # BuildKit tells a tar by its first kilobyte: a folder's plain header, whatever comes after it.
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        root = tarfile.TarInfo(".")
        root.type, root.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(root)
        for path in context.paths:
            if path != context.dockerfile:
                _add(tar, context.folder / path, path)
        if dockerfile is not None:
            content = dockerfile.encode("utf-8", "surrogateescape")
            entry = tarfile.TarInfo(context.dockerfile)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    stream.seek(0)


def _add(tar: tarfile.TarFile, full: Path, path: str) -> None:
    try:
        entry = tar.gettarinfo(str(full), arcname=path)
        if entry is None:
            return
        entry.mtime = max(0, int(entry.mtime))
        # As the docker command sends it: the builder gives files to root either way.
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        if entry.islnk():
            # The second name of a file: its content may be under a name that is not sent.
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", full.lstat().st_size
        if entry.isreg():
            with full.open("rb") as reader:
                tar.addfile(entry, reader)
        elif entry.isdir() or entry.issym():
            tar.addfile(entry)
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        raise _unreadable(full, error) from error
