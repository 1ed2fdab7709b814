"""Where projects come from: each kind of source says whether it recognises a URI, then gives a ``Snapshot`` of it."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from mlproj.errors import SourceError
from mlproj.sources import archives, local, repositories
from mlproj.sources.fetching import Fetching
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
    for source in SOURCES:
        if source.recognises(uri, fetching):
            snapshot: Snapshot = source.fetch(uri, outputs, fetching)
            return snapshot
    shown = one_line(uri)
    hint = "A project is a folder, an archive, or a git repository: https://…, ssh://…, git@host:path, owner/repo."
    raise SourceError(f"no folder `{shown}`", hint=hint)


def is_folder_as_it_is(uri: str, fetching: Fetching) -> bool:
    """Whether ``uri`` is a folder of this machine that is run where it lies."""
    return next((source for source in SOURCES if source.recognises(uri, fetching)), local) is local
