"""Submodules as a repository declares them: read and judged here, since strangers write what git would follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address, related_address
from mlproj.sources.git.process import GitFailed, ask_git, git_environment
from mlproj.text import one_line


@dataclass(frozen=True)
class Submodule:
    """A repository within a repository: the folder for it, its address, and the commit that is wanted."""

    path: str
    address: Address
    commit: str


def declared_submodules(
    tree: Path, links: tuple[tuple[str, str], ...], parent: Address
) -> tuple[list[Submodule], list[str]]:
    """The submodules to fetch into ``tree``, and notes on those that are left empty.

    ``links`` are the paths and commits that the commit itself holds.

    Raises ``SourceError`` for one whose name, path or address could do harm.
    """
    settings = _settings(tree)
    by_path = {told["path"]: told for told in settings.values() if "path" in told}
    found, notes = [], []
    for path, commit in links:
        shown = one_line(path)
        told = by_path.get(path)
        if told is None or "url" not in told:
            notes.append(f"the submodule `{shown}` has no address in .gitmodules: its folder is empty")
            continue
        if told.get("update") == "none":
            notes.append(f"the submodule `{shown}` is declared not to be fetched: its folder is empty")
            continue
        if told.get("update", "checkout").startswith("!"):
            raise SourceError(f"the submodule `{shown}` would run a command, which no fetched source may")
        check_place(tree, path)
        try:
            address = related_address(parent, told["url"])
        except SourceError as error:
            raise SourceError(f"the submodule `{shown}`: {error.message}", hint=error.hint) from None
        found.append(Submodule(path, address, commit))
    return found, notes


def _settings(tree: Path) -> dict[str, dict[str, str]]:
    """What ``.gitmodules`` says, by the names of the submodules."""
    file = tree / ".gitmodules"
    if file.is_symlink() or not file.is_file():
        return {}
    try:
        arguments = ["config", "--no-includes", "--file", str(file), "--null", "--list"]
        listed = ask_git(arguments, git_environment(), tree)
    except GitFailed as failure:
        raise SourceError(f".gitmodules cannot be read: {one_line(failure.said.strip())}") from None
    settings: dict[str, dict[str, str]] = {}
    for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
        key, _, value = entry.partition("\n")
        section, _, setting = key.rpartition(".")
        if not section.startswith("submodule."):
            continue
        name = section.removeprefix("submodule.")
        if not name or ".." in name.replace("\\", "/").split("/") or name.startswith("-"):
            raise SourceError(f"the submodule named `{one_line(name)}` could be put outside of its repository")
        # The first counts, so that no later line takes back what an earlier one was judged by.
        settings.setdefault(name, {}).setdefault(setting, value)
    return settings


def check_place(tree: Path, path: str) -> None:
    """Raise ``SourceError`` unless a submodule's folder is below the tree, empty, and no link is on the way to it."""
    parts = path.split("/")
    if path.startswith(("/", "-")) or any(part in ("", ".", "..") or part.casefold() == ".git" for part in parts):
        raise SourceError(f"the submodule `{one_line(path)}` has a path that is not to be trusted")
    folder = tree
    for part in parts:
        folder = folder / part
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise SourceError(f"the submodule `{one_line(path)}` lies behind a link, or where a file is")
    if folder.is_dir() and any(folder.iterdir()):
        raise SourceError(f"the submodule `{one_line(path)}` lies where there are files already")
