"""Where projects come from: each kind of source says whether it recognises a URI, then gives a ``Snapshot`` of it."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from mlproj.errors import SourceError
from mlproj.sources import local
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line

# One module a kind, asked in this order; each has recognises(uri) and fetch(uri, outputs).
SOURCES: tuple[ModuleType, ...] = (local,)

__all__ = ["SOURCES", "Snapshot", "take_snapshot"]


def take_snapshot(uri: str, outputs: Sequence[str] = ()) -> Snapshot:
    """The folder that ``uri`` names, with its identity, to which the declared ``outputs`` (paths, globs) do not belong.

    Raises ``SourceError`` when no kind of source recognises it, or it cannot be read.
    """
    for source in SOURCES:
        if source.recognises(uri):
            snapshot: Snapshot = source.fetch(uri, outputs)
            return snapshot
    shown = one_line(uri)
    if "://" in uri or uri.startswith("git@"):
        hint = "This version of mlproj runs local folders only: clone the repository and run the folder."
        raise SourceError(f"`{shown}` is no local folder", hint=hint)
    if uri.endswith((".zip", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz")):
        hint = "This version of mlproj runs local folders only: unpack the archive and run the folder."
        raise SourceError(f"`{shown}` is no local folder", hint=hint)
    raise SourceError(f"no folder `{shown}`")
