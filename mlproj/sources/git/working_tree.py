"""What git knows of a working tree, asked so that nothing the tree's own configuration names is ever executed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlproj.sources.digest import ALWAYS_IGNORED
from mlproj.sources.git.here import SAFE, GitRefusal, ask_here
from mlproj.sources.git.patches import Changes, with_patch
from mlproj.sources.git.remotes import remote_without_credentials
from mlproj.sources.snapshot import Snapshot
from mlproj.text import did_you_mean, listed, one_line

_NOT_CONVERTING = ("", "false", "no", "off", "0")


@dataclass(frozen=True)
class _Settings:
    remote: str | None
    neutralised: tuple[str, ...]
    autocrlf: bool


def repository_above(folder: Path) -> Path | None:
    """The nearest folder at or above ``folder`` that holds a ``.git``, without asking git."""
    for candidate in (folder.absolute(), *folder.absolute().parents):
        if (candidate / ".git").exists():
            return candidate
    return None


def describe_worktree(folder: Path, outputs: Sequence[str] = ()) -> Snapshot:
    """The identity of a folder in a git working tree: two git calls when it is clean, some more when it is not.

    What a run leaves in ``outputs`` does not make the tree dirty.

    Raises ``GitRefusal``.
    """
    settings = _settings(folder)
    source = [".", *(f":(exclude,glob){path.rstrip('/')}" for path in outputs)]
    source += [f":(exclude,glob){path.rstrip('/')}/**" for path in outputs]
    call = ("--no-optional-locks", *SAFE, *settings.neutralised)
    status = ask_here(
        folder,
        [
            *call,
            "status",
            "--porcelain=v2",
            "--branch",
            "-z",
            "--untracked-files=all",
            "--ignore-submodules=dirty",
        ]
        + ["--no-renames", "--", *source],
    )
    commit: str | None = None
    branch: str | None = None
    changed: list[str] = []
    untracked: list[str] = []
    for entry in status.decode("utf-8", "surrogateescape").split("\0"):
        if entry.startswith("# branch.oid ") and entry[13:] != "(initial)":
            commit = entry[13:]
        elif entry.startswith("# branch.head ") and entry[14:] != "(detached)":
            branch = entry[14:]
        elif entry.startswith(("1 ", "u ")):
            changed.append(entry)
        elif entry.startswith("? ") and ALWAYS_IGNORED.isdisjoint(entry[2:].split("/")):
            untracked.append(entry[2:])
    subdirectory = _subdirectory(folder)
    dirty = bool(changed or untracked)
    notes: tuple[str, ...] = () if commit else ("the repository has no commit yet",)
    inner, outer = _changes_below(folder), _changes_beside(folder, call) if commit and subdirectory else ()
    if settings.autocrlf:
        notes += ("core.autocrlf is set: what is unchanged comes back with the line ends that the commit has",)
    notes += tuple(f"the changes in the submodule `{one_line(name)}` are not recorded" for name in inner)
    if outer:
        notes += (f"changes outside of the project's folder are not recorded: {listed(outer, 1)}",)
    snapshot = Snapshot(
        folder, "git", commit, branch, settings.remote, subdirectory, dirty, left_out=(*inner, *outer), notes=notes
    )
    if not dirty:
        return snapshot
    top = repository_above(folder) or folder
    return with_patch(snapshot, call, Changes(changed, untracked, source), autocrlf=settings.autocrlf, top=top)


@dataclass(frozen=True)
class CommitFacts:
    """A commit's tree, its author, ``Name <address>``, and when it was committed, in seconds since 1970."""

    author: str | None = None
    committed_at: int | None = None
    tree: str | None = None


def commit_facts(folder: Path) -> CommitFacts:
    """What is known of the commit that ``folder`` is at; nothing where git does not tell."""
    try:
        told = ask_here(folder, [*SAFE, "log", "-1", "--format=%T %ct %an <%ae>"]).decode("utf-8", "replace").strip()
    except GitRefusal:
        return CommitFacts()
    tree, time, author = (*told.split(" ", 2), "", "", "")[:3]
    return CommitFacts(author or None, int(time) if time.isdigit() else None, tree or None)


def tracked_files(folder: Path) -> list[str]:
    """The names, within ``folder``, of the files that git tracks there, those of submodules included.

    Raises ``GitRefusal``.
    """
    return _listed(folder, ["--cached", "--recurse-submodules"])


def untracked_files(folder: Path) -> list[str]:
    """The names, within ``folder``, of the files that git neither tracks nor ignores. Raises ``GitRefusal``."""
    return _listed(folder, ["--others", "--exclude-standard"])


def _changes_below(folder: Path) -> tuple[str, ...]:
    """The submodules with changes; a repository without any costs one look for a file."""
    top = repository_above(folder)
    return tuple(changed_submodules(folder)) if top is not None and (top / ".gitmodules").is_file() else ()


def _changes_beside(folder: Path, call: Sequence[str]) -> tuple[str, ...]:
    """The tracked files of the repository that have changes and are not in ``folder``, one of its subdirectories."""
    asked = ["status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=all", "--no-renames"]
    status = ask_here(folder, [*call, *asked, "--", ":(top)", ":(exclude)."]).decode("utf-8", "surrogateescape")
    return tuple(f"/{entry[3:]}" for entry in status.split("\0") if entry)


def unwatched_files(folder: Path) -> list[str]:
    """The tracked files that are there and whose changes git was told not to see (``git update-index``).

    Raises ``GitRefusal``.
    """
    listed = ask_here(folder, [*SAFE, "ls-files", "-z", "-v", "--full-name", "--", ":(top)"]).decode(
        "utf-8", "surrogateescape"
    )
    entries = [entry for entry in listed.split("\0") if entry[:1].islower() or entry[:1] == "S"]
    top = repository_above(folder) or folder
    return [entry[2:] for entry in entries if os.path.lexists(top / entry[2:])]


def changed_submodules(folder: Path) -> list[str]:
    """The submodules within ``folder``, those of submodules too, whose files differ from the commit they are at.

    git asked for the state of ``folder`` would run the filters that a submodule configures: each is asked by itself.
    One on which git does not want to work counts as changed.

    Raises ``GitRefusal``.
    """
    changed = []
    listed = ask_here(folder, [*SAFE, "ls-files", "-z", "--stage", "--", "."]).decode("utf-8", "surrogateescape")
    for entry in listed.split("\0"):
        mode, _, name = entry.partition("\t")
        place = folder / name
        if not mode.startswith("160000 ") or not (place / ".git").exists() or place.is_symlink():
            continue
        try:
            changed += [name] if describe_worktree(place).dirty else []
            changed += [f"{name}/{each}" for each in changed_submodules(place)]
        except GitRefusal:
            changed.append(name)
    return changed


def not_exported(folder: Path, names: Sequence[str]) -> set[str]:
    """Those of ``names`` within ``folder`` that ``git archive`` leaves out: ``export-ignore`` in ``.gitattributes``.

    Raises ``GitRefusal``.
    """
    above = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents[:-1]}
    asked = "\0".join([*names, *sorted(above)]).encode("utf-8", "surrogateescape")
    call = [*SAFE, "check-attr", "-z", "--stdin", "export-ignore"]
    told = ask_here(folder, call, stdin=asked + b"\0").decode("utf-8", "surrogateescape").split("\0")
    # Three words each: the name, the attribute, and `set` where it has it.
    left = {name for name, value in zip(told[::3], told[2::3]) if value == "set"}
    return {
        name for name in names if name in left or any(each.as_posix() in left for each in PurePosixPath(name).parents)
    }


def _listed(folder: Path, which: Sequence[str]) -> list[str]:
    call = [*SAFE, *_settings(folder).neutralised, "ls-files", "-z", *which, "--", "."]
    names = ask_here(folder, call).decode("utf-8", "surrogateescape").split("\0")
    return sorted({name for name in names if name})


@dataclass(frozen=True)
class LocalCommit:
    """A commit of a repository on this machine: which it is, where its objects are, and what is known of it."""

    commit: str
    git_folder: Path
    branch: str | None = None
    remote: str | None = None
    notes: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


def local_commit(top: Path, revision: str) -> LocalCommit:
    """What ``revision`` means, in git's own terms, in the repository of the work tree ``top``.

    Raises ``GitRefusal``.
    """
    if revision.startswith("-") or "\x00" in revision or "\n" in revision:
        raise GitRefusal("a revision does not begin with a dash, nor go over lines")
    verify = ["rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        commit = ask_here(top, [*SAFE, *verify]).decode().strip()
    except GitRefusal as refusal:
        if not re.search("single revision|unknown revision|ambiguous|bad revision", str(refusal)):
            raise
        raise GitRefusal(_no_such_revision(top, revision)) from None
    exact = (f"refs/heads/{revision}", f"refs/tags/{revision}")
    refs = (
        ask_here(top, [*SAFE, "for-each-ref", "--format=%(refname)", "--", *exact]).decode("utf-8", "replace").split()
    )
    named = [ref for ref in exact if ref in refs]
    common = (
        ask_here(top, [*SAFE, "rev-parse", "--git-common-dir"]).decode("utf-8", "surrogateescape").removesuffix("\n")
    )
    shown = one_line(revision)
    note = f"`{shown}` is a tag and a branch: the tag was taken (--rev refs/heads/{shown} takes the branch)"
    return LocalCommit(
        commit,
        (top / common).resolve(),
        revision if named == [exact[0]] else None,
        _settings(top).remote,
        (note,) if len(named) == 2 else (),
        _tags(top),
    )


def _no_such_revision(top: Path, revision: str) -> str:
    from mlproj.sources.git.refs import ambiguous, commits_told, may_be_short_sha, some_names

    base = re.split("[~^]", revision)[0]
    if may_be_short_sha(base):
        objects = ask_here(top, [*SAFE, "rev-parse", f"--disambiguate={base}"]).decode().split()
        asked = "".join(f"{each}^{{commit}}\n" for each in objects).encode()
        commits = commits_told(ask_here(top, [*SAFE, "cat-file", "--batch-check"], stdin=asked))
        if len(commits) > 1:
            return ambiguous(base, commits)
    listed = ask_here(top, [*SAFE, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags"])
    names = list(dict.fromkeys(listed.decode("utf-8", "replace").split()))
    near = did_you_mean(revision, names)
    said = (
        f"it has no such revision.{near}" if near or not names else f"it has no such revision, but {some_names(names)}"
    )
    common = (
        ask_here(top, [*SAFE, "rev-parse", "--git-common-dir"]).decode("utf-8", "surrogateescape").removesuffix("\n")
    )
    return f"{said} (its history is cut off: it is a shallow clone)" if (top / common / "shallow").exists() else said


def _tags(top: Path) -> dict[str, str]:
    """The repository's tags with the objects that they name."""
    listed = ask_here(top, [*SAFE, "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags"])
    told = (line.rpartition(" ") for line in listed.decode("utf-8", "surrogateescape").splitlines())
    return {ref: target for ref, _, target in told}


def _settings(folder: Path) -> _Settings:
    """The remote's URL, and options that switch off the filters that the repository itself configures.

    Filters of the user's and the system's own configuration stay: git-lfs is one, and they trust it.
    """
    listed = ask_here(folder, ["config", "--list", "-z", "--show-scope"]).decode("utf-8", "surrogateescape").split("\0")
    remotes: dict[str, str] = {}
    neutralised: list[str] = []
    autocrlf = ""
    for scope, entry in zip(listed[::2], listed[1::2]):
        key, _, value = entry.partition("\n")
        if key.startswith("remote.") and key.endswith(".url"):
            remotes.setdefault(key[len("remote.") : -len(".url")], value)
        autocrlf = value.lower() if key == "core.autocrlf" else autocrlf
        if key.startswith("filter.") and scope in ("local", "worktree"):
            name = key[len("filter.") :].rpartition(".")[0]
            for setting, off in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")):
                neutralised += ["-c", f"filter.{name}.{setting}={off}"]
    remote = remotes.get("origin") or next(iter(remotes.values()), None)
    return _Settings(
        remote_without_credentials(remote) if remote else None, tuple(neutralised), autocrlf not in _NOT_CONVERTING
    )


def _subdirectory(folder: Path) -> str:
    above = repository_above(folder)
    inside = folder.absolute().relative_to(above).as_posix() if above is not None else "."
    return "" if inside == "." else inside
