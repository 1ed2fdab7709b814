"""What is to be executed, resolved to the last word, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Status = Literal["finished", "failed", "killed"]


@dataclass(frozen=True)
class Plan:
    """A command with everything around it. ``secrets`` are texts that the stored log must not hold.

    ``margin_s`` is the time that it may take beyond the grace period to see to what it stands for. ``message`` is for a
    command that waits for one (``supervise.start_ahead``), such as the client of a container.
    """

    argv: Sequence[str] = field(repr=False)
    cwd: Path
    variables: Mapping[str, str] = field(repr=False)
    grace_s: float = 10.0
    timeout_s: float | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
    margin_s: float = 0.0
    message: bytes | None = field(default=None, repr=False)

    @property
    def patience_s(self) -> float:
        """The time between asking the command to end and killing it."""
        return self.grace_s + self.margin_s


@dataclass(frozen=True)
class Usage:
    """What a command and everything it started took: seconds, and the bytes of the largest process at its peak."""

    wall_s: float
    user_s: float | None = None
    system_s: float | None = None
    max_memory_bytes: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    ``exit_status`` is its own, 128 + n when signal n ended it. A command that was ended from outside (a signal to
    mlproj, the timeout) and still says 0 was cut short all the same: then it is 128 + that signal. ``signal`` is one
    that came to mlproj, and was passed on.
    """

    status: Status
    exit_status: int
    usage: Usage
    reason: str | None = None
    notices: tuple[str, ...] = ()
    signal: int | None = None
