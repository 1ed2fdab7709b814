"""What revisions meant when their repository was last asked, for when it cannot be asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mlproj.files import write_atomically
from mlproj.sources.git.mirror import Mirror
from mlproj.sources.git.refs import Choice


@dataclass(frozen=True)
class Memory:
    """What a revision meant when the repository was last asked."""

    choice: Choice
    revision: str | None
    at: str


def remembered(mirror: Mirror, asked: str) -> Memory | None:
    """What ``asked`` meant when it was last looked up."""
    told = _memories(mirror).get(asked)
    if not isinstance(told, dict):
        return None
    try:
        choice = Choice(str(told["commit"]), told["ref"], told["branch"], tuple(told["notes"]))
        return Memory(choice, told["revision"], str(told["at"]))
    except (KeyError, TypeError):
        return None


def remember(mirror: Mirror, asked: str, choice: Choice, revision: str | None) -> None:
    """Keep what ``asked`` means now, for when the repository cannot be asked."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    told = {"commit": choice.commit, "ref": choice.ref, "branch": choice.branch, "notes": choice.notes}
    new = {**told, "revision": revision, "at": now}
    memories = _memories(mirror)
    if memories.get(asked) != json.loads(json.dumps(new)):
        # Two runs at once may each write: one's memory is lost then, and made again by the next run.
        write_atomically(mirror.folder / "remembered.json", json.dumps({**memories, asked: new}))


def names_remembered(mirror: Mirror) -> list[str]:
    """The revisions that were looked up before."""
    return [name for name in _memories(mirror) if name]


def _memories(mirror: Mirror) -> dict[str, Any]:
    try:
        told = json.loads((mirror.folder / "remembered.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
