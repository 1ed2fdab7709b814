"""From an address with a revision to a commit: asked of the repository, or remembered where it cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlproj.errors import SourceError
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.addresses import Address, at_page
from mlproj.sources.git.failures import explained, is_unreachable, reason_of
from mlproj.sources.git.history import commit_before, commit_named, commit_named_on_this_machine, commit_on_this_machine
from mlproj.sources.git.memory import Memory, commit_of_tag, names_remembered, remember, remembered
from mlproj.sources.git.mirror import Mirror, commits_held, discard, first_clone, is_damaged, list_refs
from mlproj.sources.git.process import GitFailed
from mlproj.sources.git.refs import (
    Choice,
    Refs,
    ambiguous,
    choose,
    is_full_sha,
    listing_of,
    may_be_short_sha,
    revision_of_page,
    unknown,
    with_steps,
)
from mlproj.text import did_you_mean, one_line


@dataclass(frozen=True)
class Found:
    """The address, in which now nothing is open any more, the commit that it means, and whether that is from memory."""

    address: Address
    choice: Choice
    from_memory: bool = False


def find_commit(mirror: Mirror, fetching: Fetching) -> Found:
    """The commit that the mirror's address means now.

    A commit's SHA is not looked up; another revision is asked for, once. When the repository cannot be reached, it is
    the commit that the revision meant before, which the notes tell.

    Raises ``SourceError``.
    """
    address = mirror.address
    if address.page is not None and is_full_sha(address.page.partition("/")[0]):
        address = at_page(address, address.page.partition("/")[0])
    if address.revision is not None and is_full_sha(address.revision):
        known = remembered(mirror, address.revision.lower())  # of a tag's own SHA, the commit that it stands for
        by_tag = commit_of_tag(mirror, address.revision.lower()) if known is None else known.choice
        return Found(address, by_tag or Choice(address.revision.lower()))
    asked = address.page if address.page is not None else address.revision or ""
    known = remembered(mirror, asked)
    # A short name may have become a branch's by now; steps back from a commit's whole name stay where they lead.
    for_ever = known is not None and known.choice.ref is None and not may_be_short_sha(asked)
    if known is not None and for_ever and not fetching.refresh:
        return Found(address, known.choice, from_memory=True)
    if fetching.offline:
        held = commits_held(mirror, asked) if known is None and may_be_short_sha(asked) else []
        if len(held) > 1:
            raise SourceError(ambiguous(asked, held), hint="More of its digits say which is meant.")
        if held:
            return Found(address, Choice(held[0]), from_memory=True)
        return _from_memory(mirror, known, asked, "--offline was given")
    try:
        try:
            return _asked_of_repository(mirror, address, known, fetching)
        except GitFailed as failure:
            if not is_damaged(mirror, failure):
                raise
        discard(mirror, fetching)
        return _asked_of_repository(mirror, address, known, fetching)
    except GitFailed as failure:
        if known is not None and known.choice.ref is None and not fetching.refresh:
            return Found(address, known.choice, from_memory=True)
        if known is None or not is_unreachable(failure):
            raise explained(failure, address) from None
        return _from_memory(
            mirror, known, asked, f"{one_line(address.url)} cannot be reached: {reason_of(failure, address)}"
        )


def expected(mirror: Mirror) -> Found | None:
    """What the mirror's address is likely to mean, when that has to be asked: what it meant the last time."""
    address = mirror.address
    if address.page is not None or (address.revision is not None and is_full_sha(address.revision)):
        return None
    known = remembered(mirror, address.revision or "")
    lasting = known is None or (known.choice.ref is None and not may_be_short_sha(address.revision or ""))
    return Found(address, known.choice) if known is not None and not lasting else None


def remember_found(mirror: Mirror, found: Found, commit: str) -> None:
    """Keep what was found, once its commit is there to be used without a network."""
    original = mirror.address
    asked = original.page if original.page is not None else original.revision or ""
    if is_full_sha(asked):
        if commit != asked.lower():
            remember(mirror, asked.lower(), replace(found.choice, commit=commit), None)
        return
    if not found.from_memory:
        remember(mirror, asked, replace(found.choice, commit=commit), found.address.revision)


def _from_memory(mirror: Mirror, known: Memory | None, asked: str, why: str) -> Found:
    address = mirror.address
    if known is None:
        names = names_remembered(mirror)
        what = f"`{one_line(asked)}` of {one_line(address.url)}" if asked else one_line(address.url)
        near = did_you_mean(asked, names) if asked else ""
        raise SourceError(f"{what} was not fetched before, and {why}.{near}")
    if address.page is not None and known.revision is not None:
        address = at_page(address, known.revision)
    note = f"{why}: the commit {known.choice.commit[:12]}, fetched at {known.at}, is used"
    return Found(address, replace(known.choice, notes=(*known.choice.notes, note)), from_memory=True)


def _asked_of_repository(mirror: Mirror, address: Address, known: Memory | None, fetching: Fetching) -> Found:
    revision = address.revision
    if revision in (None, "HEAD", "@") and address.page is None and not mirror.folder.exists():
        cloned = first_clone(mirror, fetching)
        if cloned is not None:
            return Found(address, cloned)
    refs, revision = _listing(mirror, address)
    if address.page is not None:
        revision = revision_of_page(refs, address.page)
        address = at_page(address, revision)
        if revision == "HEAD" or is_full_sha(revision):
            refs, revision = _listing(mirror, address)
    choice = choose(refs, revision)
    if choice is None and known is not None and known.choice.ref is None and not fetching.refresh:
        choice = known.choice  # a commit's short name, which is still nothing else's
    if choice is None and revision is not None:
        choice = _by_history(mirror, refs, revision, fetching)
    if choice is None:
        raise _nothing_there(mirror, refs, revision)
    return Found(address, choice)


def _listing(mirror: Mirror, address: Address) -> tuple[Refs, str | None]:
    revision = address.revision
    stepped = with_steps(revision) if revision else None
    return list_refs(mirror, listing_of(stepped[0] if stepped else revision, page=address.page is not None)), revision


def _by_history(mirror: Mirror, refs: Refs, revision: str, fetching: Fetching) -> Choice | None:
    stepped = with_steps(revision)
    if stepped is not None:
        name, steps = stepped
        base = Choice(name.lower()) if is_full_sha(name) else choose(refs, name)
        if base is None and may_be_short_sha(name):
            base = _by_short_sha(mirror, refs, name, fetching)
        commit = None
        if base is not None and mirror.address.transport == "file":
            commit = commit_on_this_machine(mirror.address, base.commit + steps)
        if base is not None and commit is None:
            commit = commit_before(mirror, base, steps, fetching)
        if base is not None and commit is None:
            raise SourceError(f"`{one_line(revision)}`: the history of `{one_line(name)}` does not go back so far")
        # The ref is kept: what this means changes as that moves on.
        return Choice(commit, None if base.ref is None else "HEAD", None, base.notes) if base and commit else None
    return _by_short_sha(mirror, refs, revision, fetching) if may_be_short_sha(revision) else None


def _by_short_sha(mirror: Mirror, refs: Refs, revision: str, fetching: Fetching) -> Choice | None:
    tips = {commit for commit in refs.commits.values() if commit.startswith(revision.lower())}
    if len(tips) == 1 and len(revision) >= 7:
        return Choice(tips.pop())
    some = next(iter(refs.commits.values()), None)
    if some is None:
        return None
    commit = None
    if mirror.address.transport == "file":
        commit = commit_named_on_this_machine(mirror.address, revision.lower())
    commit = commit or commit_named(mirror, revision.lower(), len(some), fetching)
    held = commits_held(mirror, revision) if commit is None else []  # since then, the branch may have been forced
    return Choice(commit or held[0]) if commit or len(held) == 1 else None


def _nothing_there(mirror: Mirror, refs: Refs, revision: str | None) -> SourceError:
    shown = one_line(mirror.address.url)
    # For git, a page of any kind is a repository without refs.
    by_http = mirror.address.transport in ("https", "http")
    hint = "If it is not, then no git server answers there, but a login page or a proxy, say." if by_http else None
    if revision not in (None, "HEAD", "@") and revision is not None:
        if refs.commits or revision.startswith(("refs/", "pull/", "merge-requests/")):
            return unknown(refs, revision, mirror.address)
        return SourceError(f"`{shown}` is empty: it has no commit yet", hint=hint)
    branches = list_refs(mirror, ["--heads", "--tags"])
    if not branches.commits:
        return SourceError(f"`{shown}` is empty: it has no commit yet", hint=hint)
    names = ", ".join(f"`{one_line(name)}`" for name in branches.names[:8])
    return SourceError(f"`{shown}` has no default branch", hint=f"`--rev` names one of its branches: {names}")
