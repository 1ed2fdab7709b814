"""A tree of one commit: its files, and a small `.git` by which git works in it without writing into the mirror."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.lfs import AS_POINTERS, has_git_lfs, put_content_in_place
from mlproj.sources.git.process import ask_git, git_environment
from mlproj.sources.git.survey import Survey
from mlproj.text import one_line

# The names that git accepts for a branch or a tag.
_REF = re.compile(
    r"(?!.*(\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$))refs/(heads|tags)/[^-.\x00-\x20\x7f~^:?*\[\\][^\x00-\x20\x7f~^:?*\[\\]*"
)
_MANIFESTS = frozenset(("mlproj.yaml", "mlproj.yml", "mlproject"))


@dataclass(frozen=True)
class Objects:
    """Where the objects of a commit are: a folder of objects, the list of commits that its history is cut off at."""

    folder: Path
    shallow: Path
    lfs: Path


@dataclass(frozen=True)
class Names:
    """What a tree's own git calls its commit: the branch that it is on, and refs with the objects they name."""

    branch: str | None = None
    refs: Mapping[str, str] = field(default_factory=dict)


def check_out(
    objects: Objects, commit: str, names: Names, survey: Survey, address: Address, folder: Path, fetching: Fetching
) -> tuple[str, ...]:
    """Put the files of ``commit`` into ``folder`` with a ``.git`` of their own, and give what there is to tell.

    Raises ``GitFailed``, and ``SourceError`` for files that cannot be as they should.
    """
    _begin_work_tree(objects, commit, names, address, folder)

    def environment(settings: Mapping[str, str]) -> dict[str, str]:
        # The tree's own repository is found by being there, and none above it: variables that name it would lead
        # astray a git-lfs that works on a remote of this machine too.
        return git_environment(address, settings) | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}

    ask_git(["read-tree", "--reset", "-u", commit], environment(AS_POINTERS), folder)
    return put_content_in_place(survey, address, folder, environment, fetching.unpack_limit, fetching.report)


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


def _begin_work_tree(objects: Objects, commit: str, names: Names, address: Address, folder: Path) -> None:
    """The repository of a work tree, with the objects of another: a ``git init`` that costs no process."""
    own = folder / ".git"
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (own / name).mkdir(parents=True)
    (own / "objects/info/alternates").write_bytes(_quoted(objects.folder) + b"\n")
    branch = f"refs/heads/{names.branch}"
    refs = {ref: target for ref, target in names.refs.items() if _REF.fullmatch(ref)}
    on_branch = names.branch is not None and _REF.fullmatch(branch) is not None
    refs |= {branch: commit} if on_branch else {}
    (own / "HEAD").write_bytes(os.fsencode(f"ref: {branch}\n" if on_branch else f"{commit}\n"))
    # In one file: no name that a server gives becomes a path.
    (own / "packed-refs").write_bytes(os.fsencode("".join(f"{refs[ref]} {ref}\n" for ref in sorted(refs))))
    url, storage = _escaped(address.url), _escaped(str(objects.lfs))
    version, extensions = (1, "[extensions]\n\tobjectFormat = sha256\n") if len(commit) == 64 else (0, "")
    core = f"repositoryFormatVersion = {version}\n\tbare = false\n\tautocrlf = false\n\thooksPath = /dev/null\n"
    quiet = "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    if not has_git_lfs():  # nor does a git of the project's then fail on the user's configuration of it
        quiet += '[filter "lfs"]\n\tprocess =\n\tsmudge =\n\tclean =\n\trequired = false\n'
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
