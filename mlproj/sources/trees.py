"""The folder that a fetched source is put into for one run: held by a lock, and cleared away when the run is over.

The same source comes to the same place when no other run is there, so that what is remembered of a folder (its
environment, its manifest) is found again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mlproj.files import sha256_of_text
from mlproj.locks import HeldLock, try_claim, try_exclusive


@dataclass(frozen=True)
class Tree:
    """A place for one source, which this process alone may fill; ``kept`` ones outlive the run."""

    folder: Path
    held: HeldLock
    kept: bool = False


def claim_tree(cache: Path, identity: str, *, keep: bool = False) -> Tree:
    """A place in ``cache`` at which nothing is yet, for a source of this ``identity`` (a text of any length).

    Trees of processes that died are cleared away first.
    """
    sweep_trees(cache)
    root = cache / ("kept-trees" if keep else "trees")
    name = sha256_of_text(identity)[:24]
    for number in count():
        held = try_claim(root / f"{name}-{number}.lock")
        if held is None:
            continue
        folder = root / f"{name}-{number}"
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return Tree(folder, held, keep)
        held.release()
    raise AssertionError("count() has no end")


def release_tree(tree: Tree) -> None:
    """Clear a tree away, unless it is one to be kept, and let go of its place."""
    if not tree.kept:
        shutil.rmtree(tree.folder, ignore_errors=True)
        if not tree.folder.exists():
            tree.held.path.unlink(missing_ok=True)
    tree.held.release()


def sweep_trees(cache: Path) -> None:
    """Clear away the trees whose process is dead. Costs one look into a folder when there are none."""
    root = cache / "trees"
    try:
        names = {path.name.removesuffix(".lock") for path in root.iterdir()}
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            held = try_exclusive(root / f"{name}.lock")
            if held is not None:
                release_tree(Tree(root / name, held))
