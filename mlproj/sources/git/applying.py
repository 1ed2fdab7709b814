"""Putting the patch of a run's changes into a tree of its commit, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.git.process import GitFailed, ask_git, git_environment
from mlproj.text import one_line

# Above what a project's .gitattributes says: what a patch holds are the bytes as they were on disk.
_AS_THEY_ARE = "* -text -crlf -ident -working-tree-encoding\n"
_SETTINGS = {"core.autocrlf": "false", "apply.whitespace": "nowarn", "apply.ignoreWhitespace": "no"}


def apply_patch(patch: bytes, folder: Path) -> None:
    """Apply a patch of ``patches.with_patch`` to the files of its commit in ``folder``.

    Git refuses one that leads out of ``folder`` or into its ``.git``. Raises ``SourceError``.
    """
    environment = git_environment(settings=_SETTINGS) | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    own = folder / ".git" / "info" / "attributes"
    try:
        if own.parent.parent.is_dir():
            _put_as_committed(patch, folder, own, environment)
        ask_git(["apply", "-"], environment, folder, patch)
    except GitFailed as failure:
        raise SourceError(f"the patch of its changes cannot be applied: {one_line(failure.said)}") from None
    finally:
        own.unlink(missing_ok=True)


def _put_as_committed(patch: bytes, folder: Path, own: Path, environment: dict[str, str]) -> None:
    """Put the files that the patch changes there with the bytes of the commit, where attributes have had others."""
    tracked = _names(ask_git(["ls-files", "-z"], environment, folder))
    own.parent.mkdir(exist_ok=True)
    own.write_text(_AS_THEY_ARE)
    if not any(name.rpartition("/")[2] == ".gitattributes" for name in tracked):
        return
    told = _names(ask_git(["apply", "--numstat", "-z", "-"], environment, folder, patch))
    changed = {each.split("\t", 2)[-1] for each in told}.intersection(tracked)
    names = [name for name in _unfiltered(sorted(changed), folder, environment) if not (folder / name).is_dir()]
    for name in names:
        (folder / name).unlink(missing_ok=True)
    if names:
        ask_git(["checkout-index", "--force", "-z", "--stdin"], environment, folder, _listed(names))


def _unfiltered(names: Sequence[str], folder: Path, environment: dict[str, str]) -> list[str]:
    if not names:
        return []
    told = _names(ask_git(["check-attr", "-z", "--stdin", "filter"], environment, folder, _listed(names)))
    return [name for name, value in zip(told[::3], told[2::3]) if value in ("unspecified", "unset")]


def _names(told: bytes) -> list[str]:
    return told.decode("utf-8", "surrogateescape").split("\0")[:-1]


def _listed(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
