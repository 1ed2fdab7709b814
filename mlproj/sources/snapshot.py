"""A project's source as a value: the folder it lies in and what identifies it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mlproj.sources.digest import SourceFile
from mlproj.sources.trees import Tree


@dataclass(frozen=True)
class Snapshot:
    """A folder on disk and its identity: a git commit with what differs from it, or a digest of the content.

    ``patch`` is in git's format and holds what a dirty tree changes within the project's folder; ``left_out`` names
    untracked files too large to be in it. ``digest`` (SHA-256) identifies the patch of a dirty tree, the files of a
    folder that is in no repository, or an archive's bytes. ``files`` are those of such a folder, where they are few
    and small enough to be kept with a run; ``stamp`` is what tells without reading that they are the same. A source
    that was fetched lies in a ``tree`` of its own, which ``release_tree`` clears away; ``remote`` is then where it
    came from, without credentials, and ``revision`` what was asked for. ``secrets`` are the credentials in the URI,
    which nothing may record or show.
    """

    folder: Path
    kind: str
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    subdirectory: str = ""
    dirty: bool = False
    patch: bytes = field(default=b"", repr=False)
    left_out: tuple[str, ...] = ()
    digest: str | None = None
    stamp: str | None = None
    files: tuple[SourceFile, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    revision: str | None = None
    tree: Tree | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def identity(self) -> str:
        """The identity in short: ``a1b2c3d4e5f6``, ``a1b2c3d4e5f6+dirty``, ``sha256:0123456789ab``."""
        if self.commit is None:
            return f"sha256:{self.digest[:12]}" if self.digest else "no commit yet"
        return self.commit[:12] + ("+dirty" if self.dirty else "")
