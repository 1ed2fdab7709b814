"""The packages that environments are linked from: fetched, compared with their digests, looked through, kept unpacked.

Each is in a folder by the digest that it was asked for by, which appears in one step when all is as it should be. So
what is there is what the digest says, whichever channel it came from and whatever was killed meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from mlproj.environments.environment import Report
from mlproj.environments.prefixes.channels import Channels
from mlproj.environments.prefixes.contents import (
    Contents,
    is_spoilt,
    read_contents,
    refuse_another_package,
)
from mlproj.environments.prefixes.lockfile import Locked
from mlproj.environments.prefixes.solving import wait_for_result
from mlproj.errors import EnvironmentBuildError
from mlproj.files import CHUNK
from mlproj.text import one_line, plural, printable

if TYPE_CHECKING:
    from rattler import Client

_LARGE = 20_000_000
_AT_ONCE = 12
_STALLED_S = 60.0


@dataclass(frozen=True)
class Shelf:
    """Where packages are kept, what they are fetched with, and a folder of this process's for what is under way."""

    folder: Path
    scratch: Path
    channels: Channels
    client: Client
    offline: bool
    report: Report
    vendored: Path | None = None
    """Where the project carries packages with it, which are taken from there instead of their channels."""


@dataclass(frozen=True)
class Unpacked:
    """A package that is there: its folder, the digests of its archive, and what it would install."""

    folder: Path
    sha256: str
    md5: str
    contents: Contents


def fetch_packages(packages: Sequence[Locked], shelf: Shelf) -> list[Unpacked]:
    """The unpacked packages, each the one of its digest. Raises ``EnvironmentBuildError``."""
    if shelf.offline:
        missing = [
            each.name
            for each in packages
            if not _is_local(each) and _at_hand(each, shelf) is None and not _record(shelf, each).is_file()
        ]
        if missing:
            raise EnvironmentBuildError(
                f"`--offline`: not in the cache: {', '.join(map(one_line, sorted(missing)))}",
                hint="they are fetched once by the same command without `--offline`",
            )
    return wait_for_result(_fetch_all(packages, shelf))


def pinned(packages: Sequence[Locked], lacking: Sequence[Locked], shelf: Shelf) -> list[Locked]:
    """``packages``, those that are ``lacking`` digests with the ones of what their channel gives now."""
    if not lacking:
        return list(packages)
    shelf.report(f"fetching {plural(len(lacking), 'package')} whose digests the channel does not give")
    found = {(each.name, each.url): one for each, one in zip(lacking, fetch_packages(lacking, shelf))}
    return [
        replace(each, sha256=one.sha256, md5=one.md5) if (one := found.get((each.name, each.url))) else each
        for each in packages
    ]


def _is_local(package: Locked) -> bool:
    return package.url.startswith("file://")


def vendored_name(package: Locked) -> str:
    """What a package's file is called among those that a project carries with it: by its platform, as in a channel."""
    subdir = package.url.rstrip("/").split("/")[-2:-1] or ["noarch"]
    return f"{subdir[0]}/{package.file_name}"


def _at_hand(package: Locked, shelf: Shelf) -> Path | None:
    path = None if shelf.vendored is None else shelf.vendored / vendored_name(package)
    return path if path is not None and path.is_file() else None


def fetch_archives(packages: Sequence[Locked], shelf: Shelf, into: Path) -> dict[str, Path]:
    """The packages' files as their channels have them, each the one of its digest, by ``vendored_name``.

    Raises ``EnvironmentBuildError``.
    """

    async def one(package: Locked, turns: asyncio.Semaphore) -> None:
        path = into / vendored_name(package)
        path.parent.mkdir(parents=True, exist_ok=True)
        async with turns:
            if _is_local(package):
                await asyncio.to_thread(shutil.copyfile, _local_path(package), path)
            else:
                await _download(package, path, shelf)
        digest = "sha256" if package.sha256 is not None else "md5"
        with path.open("rb") as stream:
            found = await asyncio.to_thread(_digest_of, stream, digest)
        if found != (package.sha256 or package.md5 or "").lower():
            raise _failed(shelf, f"{package.url}: its {digest} is {found}, which is not the one in the lock")

    async def every() -> None:
        turns = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(one(each, turns) for each in packages))

    shelf.report(f"fetching {plural(len(packages), 'package')}")
    try:
        wait_for_result(every())
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _failed(shelf, str(error)) from None
    return {name: into / name for name in sorted({vendored_name(each) for each in packages})}


def _digest_of(stream: BinaryIO, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _local_path(package: Locked) -> Path:
    return Path(unquote(urlsplit(package.url).path))


def _key(package: Locked) -> str | None:
    if package.sha256 is not None:
        return package.sha256.lower()
    return f"md5-{package.md5.lower()}" if package.md5 is not None else None


def _stem(package: Locked) -> str:
    return f"{package.name}-{package.version}-{package.build}"


def _record(shelf: Shelf, package: Locked) -> Path:
    return shelf.folder / (_key(package) or "unknown") / f"{_stem(package)}.json"


async def _fetch_all(packages: Sequence[Locked], shelf: Shelf) -> list[Unpacked]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(package: Locked) -> Unpacked:
        async with turns:
            return await asyncio.to_thread(_kept, package, shelf) or await _fetch(package, shelf)

    tasks = [asyncio.ensure_future(one(package)) for package in packages]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _kept(package: Locked, shelf: Shelf) -> Unpacked | None:
    """The package as it is kept, compared with what it says of its files; put away when it was written into."""
    if _key(package) is None:
        return None
    record = _record(shelf, package)
    try:
        digests = json.loads(record.read_bytes())
        folder = record.parent / _stem(package)
        contents = read_contents(package.name, folder)
        if not is_spoilt(folder, contents):
            return Unpacked(folder, str(digests["sha256"]), str(digests["md5"]), contents)
    except FileNotFoundError:
        if not record.parent.exists():
            return None
    except (EnvironmentBuildError, ValueError, KeyError, TypeError):
        pass
    if shelf.offline and not _is_local(package) and _at_hand(package, shelf) is None:
        raise EnvironmentBuildError(
            f"`--offline`: the files of {one_line(package.name)} in the cache are not what they were",
            hint="it is fetched anew by the same command without `--offline`",
        )
    with suppress(FileNotFoundError):
        record.parent.rename(shelf.scratch / f"spoilt-{os.urandom(4).hex()}")
    return None


async def _fetch(package: Locked, shelf: Shelf) -> Unpacked:
    from rattler.package_streaming import download_and_extract

    work = shelf.scratch / f"fetching-{os.urandom(8).hex()}"
    stem = _stem(package)
    archive = work / f"archive{'.tar.bz2' if package.file_name.endswith('.tar.bz2') else '.conda'}"
    finished = work / "finished"
    finished.mkdir(parents=True)
    try:
        if (vendored := _at_hand(package, shelf)) is not None:
            url = vendored.as_uri()
        elif _is_local(package):
            url = package.url
        else:
            await _download(package, archive, shelf)
            url = archive.as_uri()
        sha256, md5 = (each.hex() for each in await download_and_extract(shelf.client, url, finished / stem))
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _failed(shelf, f"{package.url}: {error}") from None
    finally:
        archive.unlink(missing_ok=True)
    for name, wanted, found in (("SHA-256", package.sha256, sha256), ("MD5", package.md5, md5)):
        if wanted is not None and wanted.lower() != found:
            raise _failed(
                shelf, f"hash mismatch: {package.url} has the {name} {found}, and not {wanted} as it is locked"
            )
    refuse_another_package(finished / stem, package.name, package.version, package.build)
    contents = await asyncio.to_thread(read_contents, package.name, finished / stem)
    (finished / f"{stem}.json").write_text(json.dumps({"sha256": sha256, "md5": md5}), "utf-8")
    final = shelf.folder / (_key(package) or sha256)
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        finished.rename(final)
    except OSError:
        # Another process was faster, or one of another time left something there.
        if not (final / f"{stem}.json").is_file():
            final.rename(work / "before")
            finished.rename(final)
    return Unpacked(final / stem, sha256, md5, contents)


class _Sink:
    """What a download is written to; tells of a large one once."""

    def __init__(self, stream: BinaryIO, package: Locked, report: Report) -> None:
        self._stream, self._package, self._report = stream, package, report
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.size < _LARGE <= self.size + len(data):
            self._report(one_line(f"downloading {self._package.name} (more than 20 MB)"))
        self.size += len(data)
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise


async def _download(package: Locked, archive: Path, shelf: Shelf) -> None:
    from rattler.package_streaming import download_to_writer

    with archive.open("wb") as stream:
        sink = _Sink(stream, package, shelf.report)
        under_way = asyncio.ensure_future(download_to_writer(shelf.client, package.url, sink))
        try:
            before = 0
            while not (await asyncio.wait({under_way}, timeout=_STALLED_S))[0]:
                if sink.size == before:
                    raise _failed(shelf, f"{package.url}: nothing came for {_STALLED_S:.0f} s")
                before = sink.size
            await under_way
        except RuntimeError:
            if sink.error is not None:
                raise sink.error from None
            raise
        finally:
            under_way.cancel()


def _failed(shelf: Shelf, said: str) -> EnvironmentBuildError:
    lines = [line.removeprefix("Caused by: ").strip() for line in printable(shelf.channels.hide(said)).splitlines()]
    return EnvironmentBuildError(
        "the packages could not be installed:\n" + "\n".join(f"  {line}" for line in lines if line),
        hint=f"packages are kept in {shelf.folder}",
    )


def lay_out(packages: Sequence[Unpacked], folder: Path) -> None:
    """Have ``folder`` be a cache of packages as rattler looks for them, of these."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for each in packages:
        (folder / each.folder.name).symlink_to(each.folder, target_is_directory=True)
