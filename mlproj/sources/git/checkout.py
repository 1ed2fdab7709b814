"""A tree of one commit: its files, and a small `.git` by which git works in it without writing into the mirror."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.process import ask_git, git_environment
from mlproj.sources.git.survey import Survey
from mlproj.text import one_line, plural

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024
_MANIFESTS = frozenset(("mlproj.yaml", "mlproj.yml", "mlproject"))


@dataclass(frozen=True)
class Objects:
    """Where the objects of a commit are: a folder of objects, the list of commits that its history is cut off at."""

    folder: Path
    shallow: Path
    lfs: Path


def check_out(objects: Objects, commit: str, survey: Survey, address: Address, folder: Path) -> tuple[str, ...]:
    """Put the files of ``commit`` into ``folder`` with a ``.git`` of their own, and give what there is to tell.

    Raises ``GitFailed``, and ``SourceError`` for files that cannot be as they should.
    """
    _begin_work_tree(objects, commit, address, folder)
    has_lfs = shutil.which("git-lfs") is not None
    environment = git_environment(address, _lfs_settings() if has_lfs else None)
    # The tree's own repository is found by being there, and none above it: variables that name it would lead astray
    # a git-lfs that works on a remote of this machine too.
    environment |= {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    ask_git(["read-tree", "--reset", "-u", commit], environment, folder)
    return _lfs_notes(survey, environment, folder, has_lfs=has_lfs)


def project_folder_in(tree: Path, subdirectory: str) -> Path:
    """The project's folder in a tree: ``subdirectory``, or the folder that the file of this name lies in.

    Raises ``SourceError`` when there is none, or when a link on the way to it, or its manifest, leads out of the tree.
    """
    top = tree.resolve()
    folder = tree / subdirectory if subdirectory else tree
    shown = one_line(subdirectory)
    if not _within(folder, top):
        raise SourceError(f"`#{shown}` is a link that leads out of the repository")
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        from mlproj.text import did_you_mean

        parent = next((each for each in folder.parents if each.is_dir()), tree)
        near = [f"{each.relative_to(tree).as_posix()}" for each in parent.iterdir() if each.is_dir()]
        names = [name for name in near if name != ".git"]
        raise SourceError(
            f"the repository has no folder `{shown}` at this revision.{did_you_mean(subdirectory, names)}"
        )
    for entry in os.scandir(folder):
        if entry.is_symlink() and entry.name.casefold() in _MANIFESTS and not _within(Path(entry.path), top):
            raise SourceError(f"`{one_line(entry.name)}` is a link that leads out of the repository")
    return folder


def _within(path: Path, top: Path) -> bool:
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return False
    own_git = top / ".git"
    return resolved.is_relative_to(top) and not resolved.is_relative_to(own_git)


def _begin_work_tree(objects: Objects, commit: str, address: Address, folder: Path) -> None:
    """The repository of a work tree, with the objects of another: a ``git init`` that costs no process."""
    own = folder / ".git"
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (own / name).mkdir(parents=True)
    (own / "objects/info/alternates").write_bytes(_quoted(objects.folder) + b"\n")
    (own / "HEAD").write_text(f"{commit}\n")
    url, storage = _escaped(address.url), _escaped(str(objects.lfs))
    version, extensions = (1, "[extensions]\n\tobjectFormat = sha256\n") if len(commit) == 64 else (0, "")
    core = f"repositoryFormatVersion = {version}\n\tbare = false\n\tautocrlf = false\n\thooksPath = /dev/null\n"
    quiet = "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    (own / "config").write_text(
        f'[core]\n\t{core}{extensions}[remote "origin"]\n\turl = "{url}"\n[lfs]\n\tstorage = "{storage}"\n{quiet}',
        encoding="utf-8",
        errors="surrogateescape",
    )
    if objects.shallow.exists():
        shutil.copyfile(objects.shallow, own / "shallow")


def _escaped(value: str) -> str:
    """A value as it stands between quotes in a file of git's configuration."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _quoted(path: Path) -> bytes:
    """A path as a line of ``objects/info/alternates``, where quotes, and a # at the beginning, have a meaning."""
    raw = os.fsencode(path)
    if not raw.startswith(b'"') and b"\n" not in raw:
        return raw
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _lfs_settings() -> dict[str, str]:
    return {
        "filter.lfs.process": "git-lfs filter-process",
        "filter.lfs.smudge": "git-lfs smudge -- %f",
        "filter.lfs.clean": "git-lfs clean -- %f",
        "filter.lfs.required": "true",
    }


def _lfs_notes(survey: Survey, environment: Mapping[str, str], folder: Path, *, has_lfs: bool) -> tuple[str, ...]:
    if not any(_names_lfs(folder / name) for name in survey.attributes):
        return ()
    listed = ask_git(["ls-files", "-z", "--", ":(attr:filter=lfs)"], environment, folder)
    names = [name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name]
    pointers = [name for name in names if _is_pointer(folder / name)]
    if not pointers:
        return ()
    few = ", ".join(f"`{one_line(name)}`" for name in pointers[:3]) + (", …" if len(pointers) > 3 else "")
    why = "GIT_LFS_SKIP_SMUDGE is set" if has_lfs else "install git-lfs and run again"
    return (
        f"{plural(len(pointers), 'file')} kept by Git LFS came as the pointer only, without content ({few}): {why}",
    )


def _names_lfs(attributes: Path) -> bool:
    try:
        return not attributes.is_symlink() and b"filter=lfs" in attributes.read_bytes()
    except OSError:
        return False


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_POINTER:
            return False
        return path.read_bytes().startswith(_LFS_POINTER)
    except OSError:
        return False
