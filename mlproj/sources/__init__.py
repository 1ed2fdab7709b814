"""Where projects come from: each kind of source says whether it recognises a URI, then gives a ``Snapshot`` of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from types import ModuleType

from mlproj.errors import SourceError
from mlproj.locations import ANOTHER_CACHE, cache_trouble
from mlproj.sources import archives, local, repositories
from mlproj.sources.fetching import Fetching
from mlproj.sources.shown import shown_address
from mlproj.sources.snapshot import Snapshot
from mlproj.sources.trees import release_tree
from mlproj.text import one_line

# One module a kind, asked in this order; each has recognises(uri, fetching) and fetch(uri, outputs, fetching).
SOURCES: tuple[ModuleType, ...] = (archives, local, repositories)

__all__ = ["SOURCES", "Fetching", "Snapshot", "is_folder_as_it_is", "release_tree", "take_snapshot"]


def take_snapshot(uri: str, outputs: Sequence[str] = (), fetching: Fetching | None = None) -> Snapshot:
    """The folder that ``uri`` names, with its identity, to which the declared ``outputs`` (paths, globs) do not belong.

    A source that is no folder of this machine is fetched into a tree of its own, which the caller has to release.

    Raises ``SourceError`` when no kind of source recognises it, or it cannot be read.
    """
    fetching = fetching or Fetching()
    if fetching.revision is not None and not fetching.revision.strip():
        raise SourceError("`--rev` is empty", hint="Leave it out for the default branch, or for a folder as it is.")
    uri = _as_meant(uri)
    for source in SOURCES:
        if source.recognises(uri, fetching):
            try:
                snapshot: Snapshot = source.fetch(uri, outputs, fetching)
            except OSError as error:
                raise _not_possible(error, fetching) from None
            return snapshot
    shown = shown_address(uri)
    hint = "A project is a folder, an archive, or a git repository: https://…, ssh://…, git@host:path, owner/repo."
    raise SourceError(f"no folder `{shown}`", hint=hint)


def is_folder_as_it_is(uri: str, fetching: Fetching) -> bool:
    """Whether ``uri`` is a folder of this machine that is run where it lies."""
    uri = _as_meant(uri)
    return next((source for source in SOURCES if source.recognises(uri, fetching)), local) is local


def _as_meant(uri: str) -> str:
    """``uri`` without the blanks around a URL that was pasted."""
    return uri.strip() if "://" in uri and not local.is_here(uri) else uri


def _not_possible(error: OSError, fetching: Fetching) -> SourceError:
    """The error for a machine on which a source cannot be had: a full disk, a cache that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(f"the disk that holds {one_line(fetching.cache)} is full", hint=ANOTHER_CACHE)
    told = one_line(error.strerror or error)
    if error.filename is None and isinstance(error, FileNotFoundError):
        return SourceError("the folder that mlproj was started in is not there any more", hint="Change to another.")
    if (trouble := cache_trouble(error, fetching.cache)) is not None:
        return SourceError(trouble, hint=ANOTHER_CACHE)
    place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    return SourceError(f"the project cannot be read: {f'{one_line(place)}: ' if place else ''}{told}")
