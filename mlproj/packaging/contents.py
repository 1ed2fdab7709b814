"""Which files of a project belong into its pack, and what its user should know about them."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj.errors import SourceError, UsageError
from mlproj.packaging.entries import Entry
from mlproj.private_keys import is_private_key
from mlproj.secret_names import looks_secret
from mlproj.sources.digest import source_files
from mlproj.sources.git.working_tree import changed_submodules, not_exported, tracked_files, untracked_files
from mlproj.sources.seal import ENDING, FOLDER
from mlproj.sources.snapshot import Snapshot
from mlproj.sources.unpack.entries import checked_parts, comparable
from mlproj.text import one_line, plural

# What runs leave, and packs made before: no part of a project that is in no repository.
PACKS = f"*{ENDING}*"
_MOST_TOLD = 5


@dataclass(frozen=True)
class Contents:
    """The files of a project, by name, and what its user should know about them.

    ``secrets`` are the names of those that are called as files with secrets are, or are private keys.
    """

    entries: tuple[Entry, ...]
    notices: tuple[str, ...]
    secrets: tuple[str, ...] = ()


def read_contents(snapshot: Snapshot, outputs: Iterable[str], needed: AbstractSet[str]) -> Contents:
    """The files of a project.

    Of a git working tree those that git tracks, as they are now, but for those that ``git archive`` leaves out; of a
    tree that was fetched all; of another folder all but what is ignored (``sources.digest``) and what runs leave in
    ``outputs``; of all of them those that are ``needed``.

    Raises ``UsageError`` for a name that no pack can hold, and for a link that leads out of the project.
    """
    folder, notices = snapshot.folder, list[str]()
    if snapshot.tree is not None:
        names = [name for name, _ in _everything(folder)]
    elif snapshot.kind == "git":
        names = _tracked(snapshot, needed, notices)
    else:
        names = sorted({name for name, _ in source_files(folder, [*outputs, PACKS])} | needed)
    names = [name for name in sorted(names) if name.partition("/")[0] != FOLDER]
    entries = list(_entries(folder, names, notices))
    _refuse_alike(entries)
    secrets = tuple(entry.name for entry in entries if _is_secret(entry))
    return Contents(tuple(entries), tuple(notices), secrets)


def _is_secret(entry: Entry) -> bool:
    if looks_secret(entry.name):
        return True
    try:
        return entry.path is not None and is_private_key(entry.path, entry.name)
    except OSError:
        return False  # whoever packs it tells of it


def with_submodules(snapshot: Snapshot) -> Snapshot:
    """A folder's snapshot that is dirty where a submodule is, since files of submodules are packed as well."""
    if snapshot.kind != "git" or snapshot.tree is not None or not (changed := changed_submodules(snapshot.folder)):
        return snapshot
    note = f"changes that are in no commit are in a submodule: {listed(changed)}"
    return replace(snapshot, dirty=True, notes=(*snapshot.notes, note))


def image_contents(contents: Contents, folder: Path, needed: AbstractSet[str]) -> Contents:
    """The files of a project that go into its image: neither what ``.dockerignore`` names nor what looks like secrets.

    Those that are ``needed`` go in whatever it names, as docker has it with its Dockerfile. ``secrets`` are then those
    that do not. What looks so and is none is taken in by a ``!`` pattern of ``.dockerignore``. Raises ``UsageError``.
    """
    from docker.utils.build import PatternMatcher

    from mlproj.environments.images.context import ignored_patterns

    matcher = PatternMatcher(ignored_patterns(folder, folder / "Dockerfile"))
    # The library takes in `.dockerignore` whatever that says, since it has the engine read it.
    matcher.patterns.pop()
    wanted = [pattern for pattern in matcher.patterns if pattern.exclusion]
    entries = [entry for entry in contents.entries if entry.name in needed or not matcher.matches(entry.name)]
    named = {entry.name for entry in entries}
    secrets = [
        name for name in contents.secrets if name in named and not any(pattern.match(name) for pattern in wanted)
    ]
    return Contents(tuple(entry for entry in entries if entry.name not in secrets), contents.notices, tuple(secrets))


def _tracked(snapshot: Snapshot, needed: AbstractSet[str], notices: list[str]) -> list[str]:
    folder, tracked = snapshot.folder, tracked_files(snapshot.folder)
    names = set(tracked) - not_exported(folder, tracked)
    untracked = [name for name in untracked_files(folder) if not fnmatch.fnmatchcase(name, PACKS)]
    if added := sorted(needed - set(tracked)):
        notices.append(f"not tracked by git, and packed all the same: {listed(added)}")
    if left := [name for name in untracked if name not in needed]:
        notices.append(f"not packed, since git does not track it: {listed(left)}")
    if snapshot.dirty:
        notices.append("the working tree has changes that are in no commit: it is packed as it is now")
    return sorted(names | needed)


def _everything(top: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    pending = [""]
    while pending:
        inside = pending.pop()
        with os.scandir(top / inside) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield name, entry
                elif entry.name != ".git":
                    pending.append(name)


def _entries(folder: Path, names: Iterable[str], notices: list[str]) -> Iterator[Entry]:
    real, gone, odd = os.path.realpath(folder), list[str](), list[str]()
    parents: dict[str, bool] = {"": True}
    for name in names:
        path, parent = folder / name, os.path.dirname(name)  # noqa: PTH120  Path would be made 100 000 times
        if parent not in parents:
            # Where a folder was replaced by a link, git's names lead somewhere else.
            parents[parent] = os.path.realpath(folder / parent) == os.path.join(real, parent)  # noqa: PTH118  texts
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status is None or not parents[parent]:
            gone.append(name)
            continue
        _check_name(name)
        if stat.S_ISLNK(status.st_mode):
            yield Entry(name, target=_target(path, name, real))
        elif stat.S_ISREG(status.st_mode):
            yield Entry(name, path, executable=bool(status.st_mode & stat.S_IXUSR), size=status.st_size)
        elif not stat.S_ISDIR(status.st_mode):  # git lists a submodule that is not there as a folder
            odd.append(name)
        else:
            gone.append(name)
    if gone:
        notices.append(f"tracked by git, and not there: {listed(gone)}")
    if odd:
        notices.append(f"not packed, being neither files nor links: {listed(odd)}")


def _check_name(name: str) -> None:
    try:
        checked_parts(name)
    except SourceError as error:
        raise UsageError(f"it cannot be packed: {error.message}", hint="Rename it, or have it ignored.") from None


def _target(path: Path, name: str, real: str) -> str:
    target = os.fspath(path.readlink())
    reached = os.path.realpath(path)
    if target.startswith("/") or (reached != real and not reached.startswith(real + os.sep)):
        shown = f"`{one_line(name)}` leads out of the project, to `{one_line(target)}`"
        hint = "Put what it leads to into the project, make it a relative link within it, or have it ignored."
        raise UsageError(f"it cannot be packed: the link {shown}", hint=hint)
    return target


def _refuse_alike(entries: Iterable[Entry]) -> None:
    """Refuse names that some file systems take for one: the pack could not be unpacked there."""
    known: dict[tuple[str, ...], str] = {}
    for entry in entries:
        key = tuple(comparable(part) for part in entry.name.split("/"))
        if key in known:
            names = f"`{one_line(known[key])}` and `{one_line(entry.name)}`"
            raise UsageError(f"it cannot be packed: {names} differ only in case", hint="Rename one of them.")
        known[key] = entry.name


def listed(names: Sequence[str]) -> str:
    """The first few of names, and how many more there are."""
    shown = ", ".join(one_line(name) for name in names[:_MOST_TOLD])
    return shown if len(names) <= _MOST_TOLD else f"{shown} and {plural(len(names) - _MOST_TOLD, 'other')}"
