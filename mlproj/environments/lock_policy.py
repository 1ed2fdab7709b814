"""What ``--locked`` and ``--frozen`` make of a lock that is missing, unreadable or stale: the same for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlproj.environments.environment import Policy
from mlproj.errors import LockError, UsageError
from mlproj.text import one_line


def refuse_both(policy: Policy) -> None:
    """Raise ``UsageError`` for a policy that would have the lock checked and not checked."""
    if policy.locked and policy.frozen:
        raise UsageError("`--locked` and `--frozen` exclude each other: the first checks the lock, the second does not")


def without_lock(path: Path, problem: str | None, policy: Policy) -> str | None:
    """What to tell of a lock that is not there (``None``), or of which ``problem`` says why it cannot be read.

    Raises ``LockError`` when the policy insists on it.
    """
    insisted = "--locked" if policy.locked else "--frozen" if policy.frozen else None
    if insisted and problem is not None:
        raise LockError(f"`{insisted}`: the lock `{one_line(path)}` cannot be read: {problem}")
    if insisted:
        raise LockError(f"`{insisted}`: there is no lock `{one_line(path)}`", hint="`mlproj lock` writes it")
    return None if problem is None else f"{path.name} cannot be read ({problem}): resolving without it"


def with_stale_lock(path: Path, reasons: Sequence[str], policy: Policy) -> str:
    """What to tell of a lock that is stale for some ``reasons``. Raises ``LockError`` when the policy insists on it."""
    if policy.locked:
        listed = "\n".join(f"  {reason}" for reason in reasons)
        raise LockError(
            f"`--locked`: the lock `{one_line(path)}` is stale:\n{listed}",
            hint="`mlproj lock` brings it up to date",
        )
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{path.name} is stale ({reasons[0]}{more}): resolving anew; `mlproj lock` brings it up to date"
