"""Folders that one process works in, and that the next process clears away when that one died."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlproj.locks import HeldLock, try_claim, try_exclusive


@contextmanager
def scratch_folder(cache: Path) -> Iterator[Path]:
    """A new folder in ``cache`` for the length of a ``with`` block; what is left in it goes with it."""
    sweep(cache)
    folder, held = _claim(cache / "scratch")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        remove_tree(folder)
        held.path.unlink(missing_ok=True)
        held.release()


def sweep(cache: Path) -> None:
    """Remove the scratch folders whose process is dead.

    Costs one look into an empty folder when there are none.
    """
    root = cache / "scratch"
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return
    for name in {name.removesuffix(".lock") for name in names}:
        with suppress(OSError):
            held = try_exclusive(root / f"{name}.lock")
            if held is None:
                continue
            try:
                remove_tree(root / name)
                # What a dying tool was still writing into it keeps its lock file, for the next sweep.
                if not (root / name).exists():
                    held.path.unlink(missing_ok=True)
            finally:
                held.release()


def remove_tree(folder: Path) -> None:
    """Remove a folder as far as that is possible, however deep it is."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        import subprocess

        # Before Python 3.13 the other goes a level deeper for each folder.
        with suppress(OSError):
            subprocess.run(["rm", "-rf", "--", str(folder)], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _claim(root: Path) -> tuple[Path, HeldLock]:
    while True:
        name = os.urandom(8).hex()
        held = try_claim(root / f"{name}.lock")
        if held is not None:
            return root / name, held
