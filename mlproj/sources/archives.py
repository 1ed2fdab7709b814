"""Archives, of this machine or by URL: unpacked into a tree of their own and identified by their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from mlproj.errors import SourceError
from mlproj.files import CHUNK
from mlproj.locations import ANOTHER_CACHE, cache_trouble
from mlproj.sources.fetching import Fetching
from mlproj.sources.shown import refuse_unescaped_credentials
from mlproj.sources.snapshot import Snapshot
from mlproj.sources.trees import Tree, claim_tree, release_tree
from mlproj.text import one_line
from mlproj.urls import secrets_of, without_credentials

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2")
_REMOTE_PATH = re.compile(r"[^/]*:")  # git@host:path, github:owner/repo
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1


@dataclass(frozen=True)
class _Address:
    """Where an archive lies, a URL or a path of this machine, and the folder in it that is meant."""

    place: str
    subdirectory: str
    is_url: bool

    @property
    def shown(self) -> str:
        return one_line(without_credentials(self.place) if self.is_url else self.place)


def recognises(uri: str, _: Fetching) -> bool:
    """Whether ``uri`` names an archive, by its ending: a file of this machine, or a URL that can be fetched."""
    return _address(uri) is not None


def fetch(uri: str, _: Sequence[str], fetching: Fetching) -> Snapshot:
    """The archive's files in a tree of their own, which the caller has to release.

    Raises ``SourceError`` when it cannot be had or read, or could do harm.
    """
    address = _address(uri)
    assert address is not None  # recognises() said so
    if address.is_url:
        refuse_unescaped_credentials(uri)
    if fetching.revision is not None:
        hint = "Leave `--rev` out, or give the address of the git repository."
        raise SourceError(f"`{address.shown}` is an archive, which has no revisions", hint=hint)
    subdirectory = _checked_subdirectory(address)
    path = _downloaded(address, fetching) if address.is_url else Path(_expanded(address.place)).absolute()
    if not os.path.isfile(path):  # noqa: PTH113  opening a pipe would wait for ever
        raise SourceError(f"no file `{address.shown}`")
    try:
        with path.open("rb") as stream:
            before = os.fstat(stream.fileno())
            digest = _sha256_of(stream)
            fetching.report(f"unpacking {one_line(path.name)}")
            tree = _unpacked(stream, digest, address, subdirectory, fetching)
            after = os.fstat(stream.fileno())
    except OSError as error:
        trouble = cache_trouble(error, fetching.cache)
        if trouble is not None:
            raise SourceError(trouble, hint=ANOTHER_CACHE) from None
        raise SourceError(_reason(error, address, fetching)) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        release_tree(tree)
        raise SourceError(f"`{address.shown}` was changed while it was read", hint="Run it again when it is whole.")
    return Snapshot(
        tree.folder / subdirectory,
        "archive",
        remote=without_credentials(address.place) if address.is_url else str(path),
        subdirectory=subdirectory,
        digest=digest,
        tree=tree,
        secrets=tuple(secrets_of(address.place)) if address.is_url else (),
    )


def _address(uri: str) -> _Address | None:
    """The archive that ``uri`` means; ``#`` parts the folder in it, unless a file of this machine is called so."""
    if "\x00" in uri:
        return None
    if "://" in uri:
        from mlproj.downloads import SCHEMES

        place, _, subdirectory = uri.partition("#")
        try:
            parts = urlsplit(place)
        except ValueError:
            return None
        known = parts.scheme.lower() in SCHEMES and _has_ending(parts.path)
        return _Address(place, unquote(subdirectory), True) if known else None
    for place, subdirectory in [(uri, ""), *((uri[: at.start()], uri[at.end() :]) for at in re.finditer("#", uri))]:
        if _has_ending(place) and os.path.isfile(_expanded(place)):  # noqa: PTH113  Path's raises for names too long
            return _Address(place, unquote(subdirectory), False)
    place, _, subdirectory = uri.partition("#")
    # Not there, or a pipe: better said here than by a kind of source that was not meant.
    if _has_ending(place) and not os.path.isdir(_expanded(place)) and not _REMOTE_PATH.match(place):  # noqa: PTH112  Path's raises for names too long
        return _Address(place, unquote(subdirectory), False)
    return None


def _expanded(place: str) -> str:
    return os.path.expanduser(place)  # noqa: PTH111  Path's raises for a user that there is not


def _has_ending(place: str) -> bool:
    return place.lower().endswith(ENDINGS)


def _checked_subdirectory(address: _Address) -> str:
    from mlproj.sources.unpack.entries import checked_parts

    try:
        return "/".join(checked_parts(address.subdirectory))
    except SourceError:
        shown = one_line(address.subdirectory)
        raise SourceError(f"`#{shown}` is no folder within the archive `{address.shown}`") from None


def _downloaded(address: _Address, fetching: Fetching) -> Path:
    from mlproj.downloads import FetchError
    from mlproj.downloads import fetch as download
    from mlproj.sources.unpack.entries import LARGEST_TOTAL, bytes_in_words

    most = max(LARGEST_TOTAL, fetching.unpack_limit or 0)

    def progress(done: int, total: int | None) -> None:
        if max(done, total or 0) > most:
            hint = "If you trust where it comes from, `--unpack-limit` raises the limit."
            raise SourceError(f"`{address.shown}` is larger than {bytes_in_words(most)}", hint=hint)
        fetching.fetched(address.shown, done, total)

    try:
        place, refresh, offline = address.place, fetching.refresh, fetching.offline
        return download(place, None, fetching.cache, progress, refresh=refresh, offline=offline)
    except FetchError as error:
        raise SourceError(error.message, hint=error.hint) from None


def _sha256_of(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _unpacked(stream: IO[bytes], digest: str, address: _Address, subdirectory: str, fetching: Fetching) -> Tree:
    """The tree that holds the archive's files: it appears whole, from a scratch place that is swept if we die."""
    from mlproj.sources.unpack.archive import unpack
    from mlproj.sources.unpack.entries import limits_for

    limits = limits_for(os.fstat(stream.fileno()).st_size, fetching.unpack_limit)
    scratch = claim_tree(fetching.cache, f"unpacking {digest}")
    try:
        top = unpack(stream, scratch.folder, limits)
        _check_pack(stream, top, address, fetching)
        if not (top / subdirectory).is_dir():
            hint = None
            if top != scratch.folder and (scratch.folder / subdirectory).is_dir():
                rest = subdirectory.partition("/")[2]
                hint = f"Its single top folder is left out: write `#{one_line(rest)}`." if rest else "Leave it out."
            raise SourceError(f"it has no folder `{one_line(subdirectory)}`", hint=hint)
        tree = claim_tree(fetching.cache, f"archive {digest}", keep=fetching.keep_tree)
        try:
            top.rename(tree.folder)
        except BaseException:
            release_tree(tree)
            raise
        return tree
    except SourceError as error:
        raise SourceError(f"`{address.shown}` cannot be used: {error.message}", hint=error.hint) from None
    finally:
        release_tree(scratch)


def _check_pack(stream: IO[bytes], top: Path, address: _Address, fetching: Fetching) -> None:
    """Compare a pack with its list of digests; what is no pack has none, unless it says that it is one."""
    from mlproj.sources.seal import ENDING, check_seal, is_sealed

    name = urlsplit(address.place).path if address.is_url else address.place
    says_so = name.lower().endswith(ENDING)
    stream.seek(0)
    if says_so and stream.read(len(_ZSTD)) != _ZSTD:
        raise SourceError(
            f"it is called `{ENDING}`, and no zstd", hint="`mlproj pack` makes packs; rename what is none."
        )
    if fetching.allowed_signers is not None or is_sealed(top) or says_so:
        fetching.report("checking its digests")
        check_seal(top, fetching.allowed_signers)


def _reason(error: OSError, address: _Address, fetching: Fetching) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"`{address.shown}` cannot be unpacked: the disk that holds {one_line(fetching.cache)} is full"
    return f"`{address.shown}` cannot be unpacked: {one_line(error)}"
