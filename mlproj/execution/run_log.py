"""The stored log of what a command writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO


@dataclass
class RunLog:
    """The log in ``stream``: a full disk stops it, and never the command; ``notices`` tell of that."""

    stream: BinaryIO
    notices: list[str]
    broken: bool = False

    def write(self, data: bytes) -> None:
        """Add to it."""
        if data and not self.broken:
            self._attempt(lambda: self.stream.write(data))

    def flush(self) -> None:
        """Have others see what was written."""
        if not self.broken:
            self._attempt(self.stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.broken = True
            message = f"the log of this run is cut off here: {error.strerror}; the run goes on"
            self.notices.append(message)
            with contextlib.suppress(OSError):
                os.write(2, f"mlproj: {message}\n".encode())
