"""How a source that is no folder of this machine is to be fetched: a value that every kind of source is handed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.locations import cache_folder

ALLOWED_SIGNERS_VARIABLE = "MLPROJ_ALLOWED_SIGNERS"


def allowed_signers_by_default() -> Path | None:
    """The file of those who may sign packs that the caller's environment names, if it does."""
    chosen = os.environ.get(ALLOWED_SIGNERS_VARIABLE)
    return Path(chosen) if chosen else None


def _nothing(_: str) -> None:
    return


@dataclass(frozen=True)
class Fetching:
    """What a caller asks for beside the URI.

    ``revision`` is a branch, a tag, a commit or what else git calls one. ``offline`` forbids the network, ``refresh``
    asks again for what is remembered. ``keep_tree`` puts the tree where no later run clears it away.
    ``unpack_limit`` is the most bytes that an archive may unpack to, in place of the default limits. ``report`` is
    told phrases of progress, ``fetched`` the bytes of a download (its name, those that have come, the total).
    ``allowed_signers`` is a file of those one of whom has to have signed an archive (``sources.seal``).
    """

    revision: str | None = None
    offline: bool = False
    refresh: bool = False
    keep_tree: bool = False
    unpack_limit: int | None = None
    cache: Path = field(default_factory=cache_folder)
    report: Callable[[str], None] = _nothing
    fetched: Callable[[str, int, int | None], None] = lambda *_: None
    allowed_signers: Path | None = field(default_factory=allowed_signers_by_default)
