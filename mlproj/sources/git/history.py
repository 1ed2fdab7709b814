"""Commits named by the beginning of their SHA, or by steps back from another: looked up in a history without files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from mlproj.errors import SourceError
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.mirror import REMOTE, Mirror, alone, begin_repository, fetch_into, inside
from mlproj.sources.git.process import GitFailed, ask_git, git_environment
from mlproj.sources.git.refs import Choice, ambiguous, commits_told

_GRAPH = "--filter=tree:0"


def commit_before(mirror: Mirror, base: Choice, steps: str, fetching: Fetching) -> str | None:
    """The commit that is ``steps`` (``~2``, ``^``) from ``base``; ``None`` when the history does not go back so far.

    Only as much of the history is fetched as the steps go back. Raises ``GitFailed``.
    """
    depth = 1 + sum(int(count or 1) if kind == "~" else 1 for kind, count in re.findall(r"([~^])(\d*)", steps))
    with alone(mirror, fetching):
        begin_repository(mirror.history, len(base.commit))
        found = _look_up(mirror, f"{base.commit}{steps}")
        if found is None:
            whole = not (mirror.history / "shallow").exists() and _look_up(mirror, base.commit) is not None
            source = base.ref if base.ref is not None else base.commit
            depths = [] if whole else [f"--depth={min(depth, 2**31 - 1)}"]
            fetch_into(
                mirror, mirror.history, [_GRAPH, *depths, "--", REMOTE, f"+{source}:refs/base/{base.commit}"], fetching
            )
            found = _look_up(mirror, f"{base.commit}{steps}")
        return found


def commit_named(mirror: Mirror, beginning: str, length: int, fetching: Fetching) -> str | None:
    """The one commit whose name begins with these digits; ``None`` when there is none.

    Raises ``GitFailed``, and ``SourceError`` when there are more.
    """
    with alone(mirror, fetching):
        begin_repository(mirror.history, length)
        shallow = ["--unshallow"] if (mirror.history / "shallow").exists() else []
        everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        fetch_into(mirror, mirror.history, [_GRAPH, *shallow, "--", REMOTE, *everything], fetching)
        environment = inside(mirror, mirror.history) | {"GIT_ALLOW_PROTOCOL": "none"}
        return _only_commit(beginning, environment, mirror.history)


def commit_on_this_machine(address: Address, revision: str) -> str | None:
    """What ``revision`` means in a repository on this machine, in which git can look without copying its history."""
    arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        return ask_git(arguments, _on_this_machine(address), Path("/")).decode().strip()
    except GitFailed:
        return None


def commit_named_on_this_machine(address: Address, beginning: str) -> str | None:
    """The one commit of a repository on this machine whose name begins with these digits, if there is one.

    Raises ``SourceError`` when there are more.
    """
    try:
        return _only_commit(beginning, _on_this_machine(address), Path("/"))
    except GitFailed:
        return None


def _on_this_machine(address: Address) -> dict[str, str]:
    top = Path(unquote(address.url.removeprefix("file://")))
    own = top / ".git" if (top / ".git").is_dir() else top
    return git_environment() | {"GIT_DIR": str(own)}


def _only_commit(beginning: str, environment: Mapping[str, str], cwd: Path) -> str | None:
    objects = ask_git(["rev-parse", f"--disambiguate={beginning}"], environment, cwd).decode().split()
    # Of a tag's own name, the commit that it stands for; files and folders fall out here.
    asked = "".join(f"{each}^{{commit}}\n" for each in objects).encode()
    commits = commits_told(ask_git(["cat-file", "--batch-check"], environment, cwd, asked))
    if len(commits) > 1:
        raise SourceError(ambiguous(beginning, commits), hint="More of its digits say which is meant.")
    return commits[0] if commits else None


def _look_up(mirror: Mirror, revision: str) -> str | None:
    # What is not there is not fetched for being asked for, as it would be from a repository with a promisor.
    environment = inside(mirror, mirror.history) | {"GIT_ALLOW_PROTOCOL": "none"}
    arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        return ask_git(arguments, environment, mirror.history).decode().strip()
    except GitFailed:
        return None
