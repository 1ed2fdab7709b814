"""What of a run is shared: its record, the files it left, the project's files and its inputs, each with its digest."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlproj.errors import SourceError, StoreError, UsageError
from mlproj.files import dump_json, human_size, sha256_of_file, sha256_of_text
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RunRecord, not_brought, recorded_files, to_json
from mlproj.sharing.secret_files import secret_in, secret_in_patch
from mlproj.sources.unpack.entries import checked_parts, comparable
from mlproj.text import one_line, plural

RECORD_NAME = "run.json"
_NAMED = 3
_LOST = "`mlproj verify` tells of all that is; where it is kept elsewhere, put it back there."
_DAMAGED = "`mlproj verify` tells of all that is; `mlproj export --no-artifacts` leaves artifacts out."


@dataclass(frozen=True)
class SharedFile:
    """One file of a shared run: its path there, the digest of its bytes, and the file of this machine that has them.

    Of a symbolic link the bytes are those of ``target``, what it points at.
    """

    path: str
    size: int
    sha256: str
    origin: Path
    executable: bool = False
    target: str = ""


@dataclass(frozen=True)
class ProjectFiles:
    """The project's files as the run had them: a folder of this machine, and the names of those that are meant."""

    folder: Path
    names: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What to share of a run. ``largest_artifact`` and ``most_inputs`` are in bytes, the latter of all together.

    ``secrets`` are texts that no file which goes out may hold.
    """

    artifacts: bool = True
    largest_artifact: int | None = None
    inputs: bool = True
    most_inputs: int = 1_000_000_000
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Contents:
    """A run as it is shared: ``files`` are in the order of their paths, ``notices`` say what was left out, and why.

    ``secret`` are the paths of those left out because they hold secrets.
    """

    record: RunRecord
    files: tuple[SharedFile, ...]
    notices: tuple[str, ...] = ()
    secret: frozenset[str] = frozenset()

    @property
    def record_bytes(self) -> bytes:
        """The content of ``run.json``."""
        return record_bytes(self.record)


def record_bytes(record: RunRecord) -> bytes:
    """The content of a record's ``run.json``, as stores write it."""
    return dump_json(to_json(record)).encode("utf-8", "backslashreplace")


def shared_record(record: RunRecord) -> RunRecord:
    """The record without what is of one store alone: the way it came there, and its place in the trash."""
    return replace(record, imported=None, deleted_at=None)


def contents_of(
    record: RunRecord, files: RunFiles, project: ProjectFiles | None, inputs: ProjectFiles | None, choice: Choice
) -> Contents:
    """What is shared of a run: every file is read for its digest.

    Raises StoreError for a kept file that is lost or no longer the recorded one, and UsageError for a run that goes on.
    """
    if record.status == "running":
        raise UsageError(f"run {record.id[:12]} is still running", hint=f"`mlproj stop {record.id[:12]}` stops it.")
    gathering = _Gathering(choice)
    try:
        _refuse_lost(record, files, choice)
        record = shared_record(record)
        recorded = recorded_files(record)
        for prefix, found in (("source", project), ("inputs", inputs if choice.inputs else None)):
            _add_project_files(gathering, prefix, found)
        for name in _own_files(record):
            if name == record.source.patch and _is_secret_patch(gathering, files.folder / name, project):
                continue
            if (files.folder / name).is_file():
                _check_digest(gathering.add(name, files.folder / name), recorded.get(name))
        if choice.artifacts:
            _add_artifacts(gathering, record, files.artifacts)
    except OSError as error:
        raise StoreError(f"{one_line(error.filename or files.folder)} cannot be read: {error.strerror}") from None
    shared = tuple(sorted(gathering.found, key=lambda each: each.path))
    return Contents(record, shared, tuple(gathering.told()), frozenset(gathering.secret))


def _refuse_lost(record: RunRecord, files: RunFiles, choice: Choice) -> None:
    """Refuse a run of which something is lost: whoever gets it could not tell that from what was left out."""
    sizes = {f"artifacts/{each.path}": each.size for output in record.outputs for each in output.files}
    for name in recorded_files(record).keys() - not_brought(record):
        is_wanted = name not in sizes or (
            choice.artifacts and (choice.largest_artifact is None or sizes[name] <= choice.largest_artifact)
        )
        if is_wanted and not os.path.lexists(files.folder / name):
            hint = _DAMAGED if name in sizes else _LOST
            raise StoreError(f"{one_line(files.folder / name)} is lost", hint=hint)


def _is_secret_patch(gathering: _Gathering, patch: Path, project: ProjectFiles | None) -> bool:
    """Whether the patch would tell what is left out; then it is left out itself."""
    left_out = [each.removeprefix("source/") for each in gathering.secret if each.startswith("source/")]
    if not patch.is_file() or not secret_in_patch(patch, gathering.choice.secrets, left_out):
        return False
    gathering.secret.append(patch.name)
    rest = "the project's files go along as they ran" if project is not None else "the run cannot be had again there"
    gathering.notices.append(f"{patch.name} is left out, as it holds secrets; {rest}")
    return True


def _own_files(record: RunRecord) -> list[str]:
    names = ["output.log", "metrics.jsonl", "resources.jsonl"]
    return [*names, *(name for name in (record.source.patch, record.environment.lock) if name)]


def _check_digest(found: SharedFile | None, recorded: str | None) -> None:
    """Refuse a file that is not the recorded one: whoever gets it would be refused it there."""
    if found is not None and recorded is not None and found.sha256 != recorded:
        shown = one_line(found.origin)
        raise StoreError(f"{shown} is damaged: its SHA-256 is not the recorded one", hint=_DAMAGED)


def _add_artifacts(gathering: _Gathering, record: RunRecord, folder: Path) -> None:
    recorded = {each.path: each.sha256 for output in record.outputs for each in output.files}
    too_large, secret = [], []
    for name in sorted(names_below(folder)):
        path = folder / name
        largest = gathering.choice.largest_artifact
        if largest is not None and path.lstat().st_size > largest:
            too_large.append(name)
            continue
        if secret_in(path, name, gathering.choice.secrets):
            secret.append(f"artifacts/{name}")
            continue
        added = gathering.add(f"artifacts/{name}", path)
        if not path.is_symlink():
            _check_digest(added, recorded.get(name))
    if too_large and (largest := gathering.choice.largest_artifact) is not None:
        gathering.notices.append(f"left out, larger than {human_size(largest)}: {_some(too_large)}")
    gathering.keep_back(secret)


def _add_project_files(gathering: _Gathering, prefix: str, found: ProjectFiles | None) -> None:
    secret, total = [], 0
    for name in sorted(found.names) if found is not None else ():
        assert found is not None
        path = found.folder / name
        if prefix == "inputs":
            total += path.stat().st_size
            if total > gathering.choice.most_inputs:
                gathering.notices.append(
                    f"inputs left out: they are larger than {human_size(gathering.choice.most_inputs)}"
                )
                gathering.found = [each for each in gathering.found if not each.path.startswith("inputs/")]
                return
        if secret_in(path, name, gathering.choice.secrets):
            secret.append(f"{prefix}/{name}")
            continue
        gathering.add(f"{prefix}/{name}", path if prefix == "source" else path.resolve())
    gathering.keep_back(secret)


@dataclass
class _Gathering:
    choice: Choice
    found: list[SharedFile] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    secret: list[str] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)

    def keep_back(self, secret: Sequence[str]) -> None:
        """Note files that are left out for the secrets in them."""
        self.secret += secret
        if secret:
            self.notices.append(f"left out, as they hold secrets: {_some(secret)}")

    def add(self, name: str, path: Path) -> SharedFile | None:
        """Add a file, unless whoever gets it could not put it where it belongs."""
        status = path.lstat()
        target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115  Path changes what it says
        if not self._possible(name, target) or not (target or stat.S_ISREG(status.st_mode)):
            self.odd.append(name)
            return None
        if target:
            added = SharedFile(name, len(target.encode()), sha256_of_text(target), path, target=target)
        else:
            executable = bool(status.st_mode & stat.S_IXUSR)
            added = SharedFile(name, status.st_size, sha256_of_file(path), path, executable)
        self.found.append(added)
        return added

    def _possible(self, name: str, target: str) -> bool:
        """Whether a name is one that every machine takes, and a link one that stays in the run."""
        try:
            name.encode(), target.encode()
            parts = checked_parts(name)
        except (SourceError, UnicodeEncodeError):
            return False
        if target and not _stays(parts, target):
            return False
        for number in range(1, len(parts) + 1):
            key, part = "/".join(map(comparable, parts[:number])), "/".join(parts[:number])
            if self.taken.setdefault(key, part) != part:
                return False
        return True

    def told(self) -> Iterable[str]:
        """What to tell of what was left out."""
        if self.odd:
            yield f"left out, as other machines could not keep them under their names: {_some(self.odd)}"
        yield from self.notices


def _stays(parts: Sequence[str], target: str) -> bool:
    """Whether a link stays below the first folder of its path."""
    place = os.path.normpath(os.path.join(*parts[:-1], target))  # noqa: PTH118  no file is meant yet
    return not target.startswith("/") and place.startswith(parts[0] + "/")


def names_below(folder: Path) -> Iterator[str]:
    """The names of all files and links below a folder, relative to it; links are not followed."""
    top = os.fspath(folder)
    for root, folders, names in os.walk(top):
        links = [each for each in folders if (Path(root) / each).is_symlink()]
        prefix = root[len(top) + 1 :] + "/" if root != top else ""
        yield from (f"{prefix}{name}" for name in [*names, *links])


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(one_line, names[:_NAMED]))
    rest = len(names) - _NAMED
    return f"{shown} and {plural(rest, 'other file')}" if rest > 0 else shown
