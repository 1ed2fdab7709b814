"""Where projects come from: each kind of source says whether it recognises a URI, then gives a ``Snapshot`` of it."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from mlproj.errors import SourceError
from mlproj.sources import local
from mlproj.sources.fetching import Fetching
from mlproj.sources.snapshot import Snapshot
from mlproj.sources.trees import release_tree
from mlproj.text import one_line

# One module a kind, asked in this order; each has recognises(uri, fetching) and fetch(uri, outputs, fetching).
SOURCES: tuple[ModuleType, ...] = (local,)

__all__ = ["SOURCES", "Fetching", "Snapshot", "is_folder_as_it_is", "release_tree", "take_snapshot"]


def take_snapshot(uri: str, outputs: Sequence[str] = (), fetching: Fetching | None = None) -> Snapshot:
    """The folder that ``uri`` names, with its identity, to which the declared ``outputs`` (paths, globs) do not belong.

    A source that is no folder of this machine is fetched into a tree of its own, which the caller has to release.

    Raises ``SourceError`` when no kind of source recognises it, or it cannot be read.
    """
    fetching = fetching or Fetching()
    for source in SOURCES:
        if source.recognises(uri, fetching):
            snapshot: Snapshot = source.fetch(uri, outputs, fetching)
            return snapshot
    shown = one_line(uri)
    if "://" in uri or uri.startswith("git@"):
        hint = "This version of mlproj runs local folders only: clone the repository and run the folder."
        raise SourceError(f"`{shown}` is no local folder", hint=hint)
    if uri.endswith((".zip", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz")):
        hint = "This version of mlproj runs local folders only: unpack the archive and run the folder."
        raise SourceError(f"`{shown}` is no local folder", hint=hint)
    raise SourceError(f"no folder `{shown}`")


def is_folder_as_it_is(uri: str, fetching: Fetching) -> bool:
    """Whether ``uri`` is a folder of this machine that is run where it lies."""
    return next((source for source in SOURCES if source.recognises(uri, fetching)), local) is local
