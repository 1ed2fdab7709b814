"""What an earlier run found out, so that the same question costs a few file reads: the warm path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from mlproj.environments.environment import own_python
from mlproj.environments.settings import listing, settings_digest
from mlproj.files import dump_json, sha256_of_text, write_atomically

# A file changed within this time of having been looked at may change again without its time showing it.
RACY_NS = 2_000_000_000
_VERSION = 1


class Recollection(TypedDict):
    """The answer to a question asked before: the environment's key, and where its lock is to be read."""

    key: str
    lock: str
    lock_file: str
    notice: str | None
    fresh_lock: bool


class Witnesses(TypedDict):
    """What the answer depended on: files, local packages, folders of packages, the interpreter, variables."""

    files: Mapping[str, str | None]
    contents: Mapping[str, str]
    signatures: Mapping[str, str]
    editables: Mapping[str, Mapping[str, str | None]]
    settings: str
    find_links: tuple[str, ...]
    find_links_listing: str
    interpreter: tuple[str, int, int]
    own_interpreter: tuple[str, str] | None
    variables: Mapping[str, str | None]


def question(kind: str, specification: Mapping[str, Any], name: str | None, folder: Path, frozen: bool) -> str:
    """The digest of a question: which environment, of which project, asked how."""
    asked = json.dumps([_VERSION, kind, specification, name, str(folder), frozen], sort_keys=True)
    return hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _path(cache: Path, asked: str) -> Path:
    return cache / "recalled" / f"{asked}.json"


def recall(cache: Path, asked: str, folder: Path, environ: Mapping[str, str]) -> Recollection | None:
    """The answer given before, if nothing it depended on has changed since."""
    try:
        stored = json.loads(_path(cache, asked).read_bytes())
        answer: Recollection = stored["answer"]
        return answer if _still_so(stored["witnesses"], folder, environ) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _still_so(witnesses: Witnesses, folder: Path, environ: Mapping[str, str]) -> bool:
    if not all(file_digest(Path(path)) == digest for path, digest in witnesses["files"].items()):
        return False
    if interpreter_file(witnesses["interpreter"][0]) != tuple(witnesses["interpreter"]):
        return False
    if witnesses["own_interpreter"] is not None and own_python() != tuple(witnesses["own_interpreter"]):
        return False
    if any(environ.get(name) != value for name, value in witnesses["variables"].items()):
        return False
    if witnesses["settings"] != settings_digest(folder, environ):
        return False
    if witnesses["find_links_listing"] != listing_digest(folder, witnesses["find_links"]):
        return False
    for files in witnesses["editables"].values():
        if not all(file_digest(Path(path)) == digest for path, digest in files.items()):
            return False
    return all(_same_content(path, digest, witnesses) for path, digest in witnesses["contents"].items())


def _same_content(path: str, digest: str, witnesses: Witnesses) -> bool:
    from mlproj.environments import pyproject

    if pyproject.content_signature(Path(path))[0] == witnesses["signatures"].get(path):
        return True
    return pyproject.content_digest(Path(path)) == digest


def remember(cache: Path, asked: str, folder: Path, answer: Recollection, witnesses: Witnesses) -> None:
    """Keep an answer for the next time the question is asked."""
    stored = {"folder": str(folder), "answer": answer, "witnesses": witnesses}
    write_atomically(_path(cache, asked), dump_json(stored))


def file_digest(path: Path) -> str | None:
    """The digest of a file's content, or ``None`` when there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def build_files(folder: Path, editables: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """The digests of the files that say how each editable folder of a project is built."""
    return {
        path: {
            str(folder / path / file): file_digest(folder / path / file)
            for file in ("pyproject.toml", "setup.py", "setup.cfg")
        }
        for path in editables
    }


def listing_digest(folder: Path, places: Sequence[str]) -> str:
    """A digest of what is in the folders of packages among ``places``."""
    return sha256_of_text(json.dumps(listing(folder, places))) if places else ""


def interpreter_file(path: str) -> tuple[str, int, int]:
    """An interpreter's file as it is recognised again: path, size, time (ns). Size -1 when it is gone."""
    try:
        status = Path(path).stat()
    except OSError:
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns


def signatures_of(paths: Mapping[str, str]) -> dict[str, str]:
    """Signatures by which local packages are recognised unread, where those can be trusted."""
    import time

    from mlproj.environments import pyproject

    found = {}
    for path in paths:
        signature, newest = pyproject.content_signature(Path(path))
        if newest + RACY_NS < time.time_ns():
            found[path] = signature
    return found
