"""Packing a project, and looking at a pack."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproj.api.checked import CheckedManifest, checked_manifest, manifest_folder
from mlproj.api.projects import release
from mlproj.api.request import Listener
from mlproj.environments.scratch import scratch_folder
from mlproj.environments.vendored import Target, conda_in, wheels_in
from mlproj.errors import PackagingError, UsageError
from mlproj.locations import ANOTHER_CACHE, cache_folder, cache_trouble
from mlproj.packaging.contents import PACKS, read_contents, with_submodules
from mlproj.packaging.needed import needed_files
from mlproj.packaging.pack import Pack, Written, write_pack
from mlproj.packaging.vendoring import environments_to_vendor, vendored_packages
from mlproj.sources import Fetching, Snapshot, is_folder_as_it_is, take_snapshot
from mlproj.sources.fetching import allowed_signers_by_default
from mlproj.sources.unpack.entries import bytes_in_words, limits_for
from mlproj.text import one_line
from mlproj.toml import parse_toml

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class PackRequest:
    """A project to pack, and how: ``output`` is a file or a folder, ``key`` an ssh key to sign with.

    ``targets`` are the machines to vendor packages for, if any are to be. ``unpack_limit`` is the most bytes that a
    project may unpack to, in place of the default limits.
    """

    project: str = "."
    revision: str | None = None
    output: Path | None = None
    key: Path | None = None
    targets: Sequence[Target] = ()
    unpack_limit: int | None = None


@dataclass(frozen=True)
class VerifiedPack:
    """A pack that is as it was packed: what it says of itself, whether it is signed, and by whom, where that was asked.

    Without a ``signer`` the signature was not checked: anything may stand there.
    """

    about: dict[str, Any] = field(default_factory=dict)
    signer: str | None = None
    is_signed: bool = False


def pack_project(request: PackRequest, listener: Listener) -> Written:
    """Write the pack of a project.

    Raises ``UsageError`` for a project that has no valid manifest or that no pack can hold, ``SourceError``, and
    ``PackagingError`` when the disk takes no more.
    """
    snapshot, loaded = source_to_package(request.project, request.revision, request.unpack_limit, listener)
    cache = cache_folder()
    try:
        # Without packages nothing is fetched, and the cache, which may be of another user, is not needed.
        with scratch_folder(cache) if request.targets else nullcontext() as scratch:
            pack = _pack(request, snapshot, loaded, scratch, listener)
            written = write_pack(pack, request.output, request.key, listener.progress)
            _tell_of_limits(sum(entry.size for entry in pack.entries), written, listener)
            return written
    except OSError as error:
        if (trouble := cache_trouble(error, cache)) is not None:
            raise PackagingError(trouble, hint=ANOTHER_CACHE) from None
        if error.errno in _OF_THE_DISK:
            raise PackagingError(f"the pack could not be written: {error.strerror}") from None
        raise UsageError(f"the project cannot be packed: {one_line(error)}") from None
    finally:
        release(snapshot)


def _pack(
    request: PackRequest, snapshot: Snapshot, loaded: CheckedManifest, scratch: Path | None, listener: Listener
) -> Pack:
    """What is to be packed; packages are fetched into ``scratch``, where there is one."""
    contents = read_contents(snapshot, outputs_of(loaded), needed_files(loaded.path, loaded.manifest))
    for notice in (*snapshot.notes, *contents.notices):
        listener.notice(notice)
    if contents.secrets:
        listener.notice(f"what looks like secrets is in it: {', '.join(map(one_line, contents.secrets))}")
    entries, vendored = list(contents.entries), {}
    if scratch is not None:
        wanted = environments_to_vendor(loaded.manifest)
        found = vendored_packages(wanted, snapshot.folder, request.targets, scratch / "vendored", listener.progress)
        for notice in found.notices:
            listener.notice(notice)
        replaced = {entry.name for entry in found.entries}
        entries = [entry for entry in entries if entry.name not in replaced] + list(found.entries)
        vendored = dict(found.targets)
    elif wheels_in(snapshot.folder) is not None or conda_in(snapshot.folder) is not None:
        listener.notice("the packages that the project carries with it are not packed: `--vendor` does")
    return Pack(name_of(loaded, snapshot), version_of(snapshot.folder), snapshot, entries, vendored)


def _tell_of_limits(size: int, written: Written, listener: Listener) -> None:
    """Say so where what was written, of files of ``size`` bytes, shrank so far that it is taken for a bomb."""
    if size > limits_for(written.size, None).total:
        listener.notice(
            f"it unpacks to {bytes_in_words(size)}, which for so small an archive looks like a bomb: what runs it needs"
            f" `--unpack-limit {size // 10**9 + 1}GB`"
        )


def source_to_package(
    project: str, revision: str | None, unpack_limit: int | None, listener: Listener
) -> tuple[Snapshot, CheckedManifest]:
    """The source of a project as it is now, which the caller has to release, and its manifest.

    What runs leave, and packs made before, do not belong to it.
    """
    fetching = Fetching(revision, unpack_limit=unpack_limit, report=listener.sourcing, fetched=listener.fetched)
    if is_folder_as_it_is(project, fetching):
        loaded = checked_manifest(manifest_folder(project), cache_folder())
        return with_submodules(take_snapshot(project, [*outputs_of(loaded), PACKS], fetching)), loaded
    snapshot = take_snapshot(project, (), fetching)
    try:
        return snapshot, checked_manifest(snapshot.folder, cache_folder())
    except BaseException:
        release(snapshot)
        raise


def outputs_of(loaded: CheckedManifest) -> Sequence[str]:
    """The places in a project that its runs leave something in."""
    entry_points = loaded.manifest.entry_points.values()
    return sorted({output.path for entry_point in entry_points for output in entry_point.outputs.values()})


def name_of(loaded: CheckedManifest, snapshot: Snapshot) -> str:
    """The project's name, as a run of it would have it."""
    from mlproj.api.resolution import project_name

    return project_name(loaded, snapshot)


def version_of(folder: Path) -> str | None:
    """The version that a project's pyproject.toml declares."""
    try:
        table = parse_toml((folder / "pyproject.toml").read_text("utf-8")).get("project")
    except (OSError, ValueError):
        return None
    version = table.get("version") if isinstance(table, dict) else None
    return version if isinstance(version, str) else None


def verify_pack(
    file: str, allowed_signers: Path | None, listener: Listener, *, unpack_limit: int | None = None
) -> VerifiedPack:
    """Compare a pack with the digests that it holds, and, with ``allowed_signers``, its signature with those.

    Raises ``SourceError`` naming what is wrong, ``UsageError`` for what is no pack.
    """
    from mlproj.sources.seal import about_pack, check_seal, has_signature, is_sealed

    allowed_signers = allowed_signers or allowed_signers_by_default()
    fetching = Fetching(
        unpack_limit=unpack_limit,
        report=listener.sourcing,
        fetched=listener.fetched,
        allowed_signers=allowed_signers,
    )
    no_pack = UsageError(f"`{one_line(file)}` is no pack", hint="`mlproj pack` makes them.")
    if os.path.exists(file) and is_folder_as_it_is(file, fetching):  # noqa: PTH110  Path's raises for names too long
        raise no_pack  # without reading all that is in it
    snapshot = take_snapshot(file, (), fetching)
    try:
        if snapshot.kind != "archive" or not is_sealed(snapshot.folder):
            raise no_pack
        signer = check_seal(snapshot.folder, allowed_signers) if allowed_signers is not None else None
        return VerifiedPack(about_pack(snapshot.folder), signer, has_signature(snapshot.folder))
    finally:
        release(snapshot)
