"""What revisions meant when their repository was last asked, for when it cannot be asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mlproj.files import write_atomically
from mlproj.sources.git.mirror import Mirror
from mlproj.sources.git.refs import Choice, is_full_sha


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
        choice = Choice(str(told["commit"]), told["ref"], told["branch"], tuple(told["notes"]), told.get("tag"))
        return Memory(choice, told["revision"], str(told["at"]))
    except (KeyError, TypeError):
        return None


def commit_of_tag(mirror: Mirror, tag: str) -> Choice | None:
    """The commit that the object of an annotated tag stood for, when that tag was looked up by its name."""
    told = (each for each in _memories(mirror).values() if isinstance(each, dict) and each.get("tag") == tag)
    return next((Choice(str(each["commit"])) for each in told if is_full_sha(each.get("commit"))), None)


def remember(mirror: Mirror, asked: str, choice: Choice, revision: str | None) -> None:
    """Keep what ``asked`` means now, for when the repository cannot be asked."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    told = {"commit": choice.commit, "ref": choice.ref, "branch": choice.branch, "notes": choice.notes}
    told |= {"tag": choice.tag} if choice.tag is not None else {}
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
