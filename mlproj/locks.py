"""File locks that the kernel lets go of when their holder dies, shared or exclusive.

The filelock library has no shared ``flock`` and imports asyncio (40 ms), so the warm path of a run cannot use it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HeldLock:
    """A lock that this process holds until ``release`` or until it dies."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Let go of the lock. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self.descriptor)


def _acquire(path: Path, operation: int) -> HeldLock | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    return _acquire_here(path, operation)


def _acquire_here(path: Path, operation: int) -> HeldLock | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    except BaseException:
        os.close(descriptor)
        raise
    return HeldLock(path, descriptor)


def try_shared(path: Path) -> HeldLock | None:
    """Lock ``path`` together with other readers, or ``None`` while a writer holds it."""
    return _acquire(path, fcntl.LOCK_SH | fcntl.LOCK_NB)


def try_exclusive(path: Path) -> HeldLock | None:
    """Lock ``path`` alone, or ``None`` while anybody else holds it."""
    return _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_claim(path: Path) -> HeldLock | None:
    """Lock alone a ``path`` that its holder removes in the end; ``None`` while anybody else holds it, or just did.

    A sweep may take a file for a dead process's between its creation and the lock on it, and a lock on a file that is
    gone guards nothing.
    """
    held = try_exclusive(path)
    if held is None:
        return None
    try:
        if path.stat().st_ino == os.fstat(held.descriptor).st_ino:
            return held
    except FileNotFoundError:
        pass
    held.release()
    return None


def wait_exclusive(path: Path) -> HeldLock:
    """Lock ``path`` alone, waiting for as long as others hold it."""
    held = _acquire(path, fcntl.LOCK_EX)
    assert held is not None
    return held


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold ``path`` alone for the length of a ``with`` block, waiting for others first."""
    held = wait_exclusive(path)
    try:
        yield
    finally:
        held.release()


@contextmanager
def exclusive_here(path: Path) -> Iterator[None]:
    """``exclusive`` in a folder that has to be there: one that was moved away is not made again by locking in it.

    Raises ``FileNotFoundError``.
    """
    held = _acquire_here(path, fcntl.LOCK_EX)
    assert held is not None  # a blocking flock returns holding or raises
    try:
        yield
    finally:
        held.release()
