"""Files kept by Git LFS: counted by what their pointers say, fetched from where a stranger may name, put in place."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlproj.errors import SourceError
from mlproj.sources.git.addresses import Address
from mlproj.sources.git.process import ask_git, watch_git
from mlproj.sources.git.survey import Survey, check_size
from mlproj.sources.shown import shown_address
from mlproj.text import one_line, plural

LONGEST_SILENCE = 120
_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024
_SIZE = re.compile(rb"^size (\d{1,18})$", re.MULTILINE)
# Where the objects of a repository from elsewhere may be: on a server, and never on this machine.
_SERVER = re.compile(
    r"(https?|ssh|git\+ssh|ssh\+git)://[^/-]|[^-@:/\\][^@:/\\]*@[^-@:/\\][^@:/\\]*:[^-]", re.IGNORECASE
)

# The filter as files are first written: the pointers as they are, whatever the user has installed or configured.
AS_POINTERS = {
    "filter.lfs.process": "",
    "filter.lfs.smudge": "",
    "filter.lfs.clean": "",
    "filter.lfs.required": "false",
}
WITH_CONTENT = {
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.required": "true",
    "remote.lfsDefault": "origin",  # which `.lfsconfig` could else name
    "lfs.activityTimeout": "30",
    "lfs.dialTimeout": "30",
    "lfs.tlsTimeout": "30",
    "lfs.transfer.maxRetries": "2",
    "lfs.transfer.maxRetryDelay": "2",
    "lfs.concurrentTransfers": "8",
}


class _Watch:
    """Passes on how far git-lfs is, and complains when nothing comes: one stalled server would hold it for hours."""

    def __init__(self, progress: Path, name: str, report: Callable[[str], None]) -> None:
        self.progress, self.name, self.report = progress, name, report
        self.size, self.since = 0, time.monotonic()

    def complaint(self) -> str | None:
        size = self.progress.stat().st_size if self.progress.exists() else 0
        if size != self.size:
            self.size, self.since = size, time.monotonic()
            # download 1/2 1048576/2097152 model.bin
            told = self.progress.read_bytes()[-4096:].decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
            found = re.match(r"download (\d+/\d+) (\d+)/([1-9]\d*) ", told)
            if found:
                self.report(f"fetching {self.name} by Git LFS: {found[1]}, {100 * int(found[2]) // int(found[3])}%")
        if time.monotonic() - self.since < LONGEST_SILENCE:
            return None
        return f"git-lfs filter-process was given nothing for {LONGEST_SILENCE} seconds"


@dataclass(frozen=True)
class _Pointers:
    names: list[str]
    size: int


def has_git_lfs() -> bool:
    """Whether there is a git-lfs to fetch content with."""
    return shutil.which("git-lfs") is not None


def put_content_in_place(
    survey: Survey,
    address: Address,
    folder: Path,
    environment: Callable[[Mapping[str, str]], dict[str, str]],
    limit: int | None,
    report: Callable[[str], None],
) -> tuple[str, ...]:
    """Replace the pointers in a tree that was just checked out by what they stand for; notes on those that stay.

    ``environment`` gives the variables for a git in the tree with some settings.

    Raises ``GitFailed``, and ``SourceError`` for content that is too large, or to be copied from this machine.
    """
    if not any(_names_lfs(folder / name) for name in survey.attributes):
        return ()
    pointers = _pointers_in(folder, environment(AS_POINTERS))
    if not pointers.names:
        return ()
    has_lfs = has_git_lfs()
    if not has_lfs or os.environ.get("GIT_LFS_SKIP_SMUDGE", "").casefold() not in ("", "0", "false", "no", "off"):
        return (
            _left_as_pointers(pointers, "GIT_LFS_SKIP_SMUDGE is set" if has_lfs else "install git-lfs and run again"),
        )
    check_size(survey.files, survey.size + pointers.size, limit)
    _check_servers(folder, address, environment(AS_POINTERS))
    report(f"fetching {plural(len(pointers.names), 'file')} of {address.name} by Git LFS")
    for name in pointers.names:
        (folder / name).unlink()
    names = "\0".join(pointers.names).encode("utf-8", "surrogateescape")
    arguments = ["--literal-pathspecs", "checkout", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"]
    with tempfile.TemporaryDirectory(prefix="mlproj-lfs-") as scratch:
        progress = Path(scratch) / "progress"
        variables = environment(WITH_CONTENT) | {"GIT_LFS_PROGRESS": str(progress)}
        watch_git(arguments, variables, folder, names, _Watch(progress, address.name, report).complaint)
    # A pointer may tell less than its content comes to.
    check_size(survey.files, survey.size + sum((folder / name).lstat().st_size for name in pointers.names), limit)
    left = [name for name in pointers.names if _size_told(folder / name) is not None]
    return (_left_as_pointers(_Pointers(left, 0), "`.lfsconfig` leaves them out"),) if left else ()


def _pointers_in(folder: Path, environment: Mapping[str, str]) -> _Pointers:
    listed = ask_git(["ls-files", "-z", "--", ":(attr:filter=lfs)"], environment, folder)
    found = {
        name: _size_told(folder / name)
        for name in listed.decode("utf-8", "surrogateescape").split("\0")
        if name and (folder / name).parent.resolve().is_relative_to(folder.resolve())
    }
    sizes = {name: size for name, size in found.items() if size is not None}
    return _Pointers([*sizes], sum(sizes.values()))


def _size_told(path: Path) -> int | None:
    """The size that a pointer tells of its content; ``None`` for a file that is no pointer."""
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_POINTER:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    size = _SIZE.search(content)
    return int(size[1]) if content.startswith(_POINTER) and size else None


def _check_servers(folder: Path, address: Address, environment: Mapping[str, str]) -> None:
    """Raise ``SourceError`` for a ``.lfsconfig`` that would have objects copied out of other repositories here."""
    file = folder / ".lfsconfig"
    if address.transport == "file" or not os.path.lexists(file):
        return
    if file.is_symlink() or not file.is_file():
        raise SourceError("`.lfsconfig` is a link, which no fetched source may have")
    listed = ask_git(["config", "--no-includes", "--file", str(file), "--null", "--list"], environment, folder)
    for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
        key, _, value = entry.partition("\n")
        names_server = key.endswith((".lfsurl", ".lfspushurl")) or key in ("lfs.url", "lfs.pushurl")
        if names_server and not _SERVER.match(value):
            shown = shown_address(value)
            raise SourceError(f"`.lfsconfig` has files fetched from `{shown}`, which is no https or ssh server")


def _left_as_pointers(pointers: _Pointers, why: str) -> str:
    names = pointers.names
    few = ", ".join(f"`{one_line(name)}`" for name in names[:3]) + (", …" if len(names) > 3 else "")
    return f"{plural(len(names), 'file')} kept by Git LFS came as the pointer only, without content ({few}): {why}"


def _names_lfs(attributes: Path) -> bool:
    try:
        return not attributes.is_symlink() and b"filter=lfs" in attributes.read_bytes()
    except OSError:
        return False
