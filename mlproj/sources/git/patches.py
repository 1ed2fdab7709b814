"""The changes of a working tree as a patch: whatever the user has configured, with bytes as they are on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj.sources.git.here import ask_here
from mlproj.sources.snapshot import Snapshot

LARGEST_UNTRACKED_FILE = 10 << 20
LARGEST_PATCH = 50 << 20

# Each stands above a setting of the user's (`diff.noprefix`, `diff.context`, `core.abbrev` …).
_DIFF = (
    *("-c", "diff.suppressBlankEmpty=false", "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--no-renames", "--ignore-submodules=dirty", "--submodule=short", "--no-relative"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--inter-hunk-context=0", "--diff-algorithm=default"),
    *("--indent-heuristic", f"-O{os.devnull}"),
)
# By which git has other bytes on disk than in a commit (gitattributes(5)). Filters, of which git-lfs is one, are kept.
_CONVERTING = ("text", "eol", "crlf", "ident", "working-tree-encoding")


@dataclass(frozen=True)
class Changes:
    """What git says of a tree that is not clean: its lines on what is changed, the names that it does not track, and
    the pathspec of what is source.
    """

    changed: Sequence[str]
    untracked: Sequence[str]
    source: Sequence[str]


def with_patch(snapshot: Snapshot, call: Sequence[str], changes: Changes, *, autocrlf: bool, top: Path) -> Snapshot:
    """The snapshot with the patch of its tracked changes and its untracked files, up to the limits in size.

    ``call`` are options of git; ``autocrlf`` says that line ends are converted whatever the attributes. ``top`` is the
    repository's folder. Raises ``GitRefusal``.
    """
    kept, left_out = _within_limits(top, changes.untracked)
    base = snapshot.commit or ask_here(snapshot.folder, ["hash-object", "-t", "tree", "--stdin"]).decode().strip()
    with tempfile.TemporaryDirectory(prefix="mlproj-index-") as scratch:
        index = _Index(top, tuple(call), Path(scratch))
        modes = {**_changed_modes(changes.changed), **{name: _mode(top / name) for name in kept}}
        if autocrlf or index.converts(modes):
            environment, how = index.as_on_disk(modes), ["--cached"]
        else:
            environment, how = index.with_names(kept) if kept else {}, []
        patch = ask_here(snapshot.folder, [*call, *_DIFF, *how, base, "--", *changes.source], environment)
    notes = snapshot.notes
    if len(patch) > LARGEST_PATCH:
        notes = (*notes, f"the patch of the changes is larger than {LARGEST_PATCH >> 20} MiB: only its digest is kept")
    return replace(
        snapshot,
        patch=patch if len(patch) <= LARGEST_PATCH else b"",
        digest=hashlib.sha256(patch).hexdigest(),
        left_out=(*snapshot.left_out, *left_out),
        notes=notes,
    )


@dataclass(frozen=True)
class _Index:
    """A copy of a repository's index, by way of which files enter the patch: the repository's own stays as it is."""

    top: Path
    call: tuple[str, ...]
    scratch: Path

    def converts(self, names: Sequence[str] | dict[str, str]) -> bool:
        """Whether an attribute of one of the names has git convert it."""
        return any(value not in ("unspecified", "unset") for value in self._attributes(list(names), _CONVERTING))

    def with_names(self, names: Sequence[str]) -> dict[str, str]:
        """The variables by which git uses the copy, which knows that the names are there."""
        environment = self._copied()
        add = ["add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul"]
        ask_here(self.top, [*self.call, "--literal-pathspecs", *add], environment, _joined(names, "\0"))
        return environment

    def as_on_disk(self, modes: dict[str, str]) -> dict[str, str]:
        """The variables by which git uses the copy, which holds the names as they are on disk, byte for byte.

        Those with a filter are as the filter leaves them.
        """
        environment = self._copied()
        objects = self.scratch / "objects"
        objects.mkdir()
        environment["GIT_OBJECT_DIRECTORY"] = str(objects)
        environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _alternate(self._located("objects"))
        filters = dict(zip(modes, self._attributes(list(modes), ("filter",))))
        plain = [
            name
            for name in modes
            if filters[name] in ("unspecified", "unset")
            and (self.top / name).is_file()
            and not (self.top / name).is_symlink()
        ]
        others = [name for name in modes if name not in plain]
        if others:
            update = ["update-index", "--add", "--remove", "-z", "--stdin"]
            ask_here(self.top, [*self.call, *update], environment, _joined(others, "\0"))
        if plain:
            store = ["hash-object", "-w", "--no-filters", "--stdin-paths"]
            told = ask_here(self.top, [*self.call, *store], environment, _joined(map(_quoted, plain), "\n"))
            entries = [f"{modes[name]} {digest}\t{name}" for name, digest in zip(plain, told.decode().split())]
            update = ["update-index", "-z", "--index-info"]
            ask_here(self.top, [*self.call, *update], environment, _joined(entries, "\0"))
        return environment

    def _copied(self) -> dict[str, str]:
        copy, original = self.scratch / "index", self._located("index")
        if original.exists():
            # With its time: by that git tells which files may have changed in the very moment they were added.
            shutil.copy2(original, copy)
        return {"GIT_INDEX_FILE": str(copy)}

    def _located(self, name: str) -> Path:
        told = ask_here(self.top, ["rev-parse", "--git-path", name]).decode("utf-8", "surrogateescape")
        return (self.top / told.removesuffix("\n")).absolute()

    def _attributes(self, names: Sequence[str], attributes: Sequence[str]) -> list[str]:
        """The values of attributes, one name after the other."""
        if not names:
            return []
        asked = ["check-attr", "-z", "--stdin", *attributes]
        told = ask_here(self.top, [*self.call, *asked], stdin=_joined(names, "\0")).decode("utf-8", "surrogateescape")
        return told.split("\0")[2::3]


def _changed_modes(changed: Sequence[str]) -> dict[str, str]:
    """The names in lines of ``git status --porcelain=v2``, each with its mode on disk (git-status(1))."""
    modes = {}
    for line in changed:
        words = line.split(" ", 8 if line.startswith("1 ") else 10)
        modes[words[-1]] = words[5 if line.startswith("1 ") else 6]
    return modes


def _mode(path: Path) -> str:
    return "100755" if path.lstat().st_mode & 0o100 else "100644"


def _joined(texts: Sequence[str] | map[str], separator: str) -> bytes:
    return "".join(f"{text}{separator}" for text in texts).encode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    """A name as git reads it in a list of lines, whatever it holds."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _alternate(path: Path) -> str:
    """A path in a list of paths, where a colon would part it (git(1))."""
    return _quoted(str(path)) if os.pathsep in str(path) or str(path).startswith('"') else str(path)


def _within_limits(top: Path, untracked: Sequence[str]) -> tuple[list[str], list[str]]:
    kept, left_out, total = [], [], 0
    for name in sorted(untracked):
        status = (top / name).lstat() if os.path.lexists(top / name) else None
        if (
            status is None
            or name.endswith("/")
            or status.st_size > LARGEST_UNTRACKED_FILE
            or total + status.st_size > LARGEST_PATCH
        ):  # a nested repository is listed as a folder
            left_out.append(name)
        else:
            kept.append(name)
            total += status.st_size
    return kept, left_out
