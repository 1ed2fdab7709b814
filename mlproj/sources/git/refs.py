"""Which commit a revision means: chosen among the branches and tags that a repository says it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address
from mlproj.text import did_you_mean, one_line

_FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_SHORT_SHA = re.compile(r"[0-9a-f]{4,63}", re.IGNORECASE)
_STEPS = re.compile(r"(?P<base>[^~^]+|@)(?P<steps>(?:[~^]\d*)+)")
_OUTSIDE = re.compile(r"refs/.+|(pull|merge-requests|pull-requests)/\d+/.+")


@dataclass(frozen=True)
class Refs:
    """What a repository says of itself: its refs with the commits they come to, and the branch that is its default.

    ``annotated`` are the tags that are objects of their own, by name.
    """

    commits: dict[str, str]
    default: str | None = None
    annotated: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of its branches and tags."""
        named = (ref for ref in self.commits if ref.startswith(("refs/heads/", "refs/tags/")))
        return list(dict.fromkeys(ref.split("/", 2)[2] for ref in named))


@dataclass(frozen=True)
class Choice:
    """The commit that a revision means, the ref that led to it, the branch when that is one, and what to tell.

    ``tag`` is the object that an annotated tag is.
    """

    commit: str
    ref: str | None = None
    branch: str | None = None
    notes: tuple[str, ...] = ()
    tag: str | None = None


def is_full_sha(revision: str | None) -> bool:
    """Whether a revision is a commit's whole name, which means the same in every state of the repository."""
    return revision is not None and _FULL_SHA.fullmatch(revision) is not None


def may_be_short_sha(revision: str) -> bool:
    """Whether a revision may be the beginning of a commit's name."""
    return _SHORT_SHA.fullmatch(revision) is not None


def with_steps(revision: str) -> tuple[str, str] | None:
    """``HEAD~2`` as ``HEAD`` and ``~2``; ``None`` for a revision without such steps."""
    found = _STEPS.fullmatch(revision)
    return ("HEAD" if found["base"] == "@" else found["base"], found["steps"]) if found else None


def listing_of(revision: str | None, *, page: bool) -> list[str]:
    """The arguments of ``git ls-remote`` that ask for what is needed to choose, before and after the address."""
    if page:
        return ["--heads", "--tags"]
    if revision is None or revision in ("HEAD", "@"):
        return ["HEAD"]
    if _OUTSIDE.fullmatch(revision):
        name = revision if revision.startswith("refs/") else f"refs/{revision}"
        return [name, name + "^{}"]
    return ["--heads", "--tags"]


def parse_listing(text: str) -> Refs:
    """The refs in what ``git ls-remote --symref`` writes."""
    commits: dict[str, str] = {}
    default: str | None = None
    annotated: dict[str, str] = {}
    for line in text.splitlines():
        value, _, ref = line.partition("\t")
        if value.startswith("ref: "):
            default = value[5:] if ref == "HEAD" else default
        elif ref.endswith("^{}"):
            name = ref.removesuffix("^{}")
            if name.startswith("refs/tags/") and is_full_sha(commits.get(name)):
                annotated[name] = commits[name]
            commits[name] = value
        else:
            commits.setdefault(ref, value)
    return Refs(commits, default, annotated)


def choose(refs: Refs, revision: str | None) -> Choice | None:
    """What ``revision`` means by its name; ``None`` when it is the name of nothing in ``refs``."""
    if revision is None or revision in ("HEAD", "@"):
        if "HEAD" not in refs.commits:
            return None
        branch = (refs.default or "").removeprefix("refs/heads/") or None
        return Choice(refs.commits["HEAD"], refs.default or "HEAD", branch)
    for ref in (revision, f"refs/{revision}"):
        if ref.startswith("refs/") and ref in refs.commits:
            branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
            return Choice(refs.commits[ref], ref, branch, (), refs.annotated.get(ref))
    tag, branch_ref = f"refs/tags/{revision}", f"refs/heads/{revision}"
    if tag in refs.commits:
        both = branch_ref in refs.commits and refs.commits[branch_ref] != refs.commits[tag]
        shown = one_line(revision)
        note = f"`{shown}` is a tag and a branch: the tag was taken (--rev refs/heads/{shown} takes the branch)"
        return Choice(refs.commits[tag], tag, None, (note,) if both else (), refs.annotated.get(tag))
    if branch_ref in refs.commits:
        return Choice(refs.commits[branch_ref], branch_ref, revision)
    return None


def revision_of_page(refs: Refs, page: str) -> str:
    """How much of a pasted address's ``REV/dir`` is the revision: the longest branch or tag that it begins with."""
    parts = page.split("/")
    names = set(refs.names)
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in names:
            return "/".join(parts[:count])
    if parts[0] == "refs" and len(parts) > 2:
        for count in range(len(parts), 2, -1):
            if "/".join(parts[:count]) in refs.commits:
                return "/".join(parts[:count])
    return parts[0]


def unknown(refs: Refs, revision: str, address: Address) -> SourceError:
    """The error for a revision that is nothing in the repository, naming what is near."""
    said = f"`{one_line(revision)}` is no branch, tag or commit of {one_line(address.url)}."
    names = refs.names
    remote, _, rest = revision.partition("/")
    near = f" Did you mean `{one_line(rest)}`?" if rest in names and remote else did_you_mean(revision, names)
    if near or not names:
        return SourceError(said + near)
    return SourceError(said, hint=f"It has {some_names(names)}.")


def ambiguous(beginning: str, commits: Sequence[str]) -> str:
    """The words for a commit's name that is too short to be the name of one."""
    shown = ", ".join(f"`{commit[:12]}`" for commit in commits[:8]) + (", …" if len(commits) > 8 else "")
    return f"`{one_line(beginning)}` is the beginning of {len(commits)} commits: {shown}"


def commits_told(told: bytes) -> list[str]:
    """The commits in what ``git cat-file --batch-check`` writes."""
    found = (line.split() for line in told.decode("utf-8", "replace").splitlines())
    return list(dict.fromkeys(words[0] for words in found if words[1:2] == ["commit"]))


def some_names(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(f"`{one_line(name)}`" for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
