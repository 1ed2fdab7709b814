"""Handing data on in a thread beside the one that makes it, so that reading, hashing and compressing overlap."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any


class Behind:
    """A file to write to, which hands what is written to ``take`` in a thread: in order, one piece at a time.

    While a piece is being taken the next one can be made; the one after that waits. What ``take`` raises is raised by
    the next ``write``, or by ``wait``. Leaving its ``with`` block without an error waits as well.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._pool = ThreadPoolExecutor(1)  # which starts its thread when it is first used
        self._taken: Future[Any] | None = None

    def write(self, data: bytes) -> int:
        """Hand on ``data`` when what was written before it has been taken."""
        self.wait()
        self._taken = self._pool.submit(self._take, data)
        return len(data)

    def wait(self) -> None:
        """Return when all that was written has been taken."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._pool:
            if error is None:
                self.wait()
