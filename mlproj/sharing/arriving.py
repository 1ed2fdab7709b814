"""A run from elsewhere on its way into the store: made where nobody sees it, checked, and live by one rename."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlproj import locks
from mlproj.errors import SourceError, StoreError, UsageError
from mlproj.runs.database import explained
from mlproj.runs.identifiers import is_run_id, milliseconds_of_id
from mlproj.runs.index import check_indexable
from mlproj.runs.layout import CRATE_PREFIX, RunFiles, live_files
from mlproj.runs.record import SCHEMA_VERSION, ImportRecord, RunRecord, from_json, recorded_files
from mlproj.runs.record_files import read_record, write_record
from mlproj.runs.store import Store, files_of
from mlproj.runs.times import seconds_of
from mlproj.runs.upkeep import index_anew, sweep_crates
from mlproj.sharing.contents import record_bytes, shared_record
from mlproj.sources.unpack.entries import checked_parts, comparable
from mlproj.text import one_line, printable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# Later ones than these no calendar has, and the next run's id follows the largest of the store.
_YEAR_10000_MS = 253_402_300_800_000
OWN_FOLDERS = ("artifacts", "source", "inputs")
_OWN_FILES = ("output.log", "metrics.jsonl", "resources.jsonl")
# What a run's folder has beside, or may have, and what a lock must not pass for.
_NO_LOCKS = frozenset(
    (*OWN_FOLDERS, *_OWN_FILES, "run.json", "params.json", "source.patch", "tracking", "models", "uploads")
    + ("alive.lock", "change.lock", "reserve")
)


@dataclasses.dataclass(frozen=True)
class Arrived:
    """A run that came: its id, and whether it is new here, was here as it is, or was completed by files it lacked."""

    id: str
    what: Literal["new", "same", "completed"]
    notices: tuple[str, ...] = ()


@contextmanager
def new_place(store: Store) -> Iterator[RunFiles]:
    """A folder that a run is made in; what is left in it in the end is removed. Those of dead processes go first."""
    held = None
    with explained(store.folder):
        sweep_crates(store)
        while held is None:  # what has no lock for a moment may be taken for a dead process's
            files = RunFiles(store.folder / "runs" / f"{CRATE_PREFIX}{os.urandom(6).hex()}")
            held = locks.try_claim(files.alive_lock)
    try:
        yield files
    finally:
        shutil.rmtree(files.folder, ignore_errors=True)
        held.release()


def checked_record(content: bytes) -> RunRecord:
    """The record in a stranger's ``run.json``. Raises SourceError for what is none, or what could do harm here."""
    from pydantic import ValidationError

    try:
        record = from_json(json.loads(content))
        _form_of_records().validate_python(_in_unicode(dataclasses.asdict(record)))
    except (ValueError, RecursionError) as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else ""
        raise SourceError(f"its run.json is damaged{f': {one_line(where)}' if where else ''}") from None
    except StoreError as error:
        raise SourceError(f"its run.json is no record: {error.message}") from None
    if not is_run_id(record.id) or (record.parent is not None and not is_run_id(record.parent)):
        raise SourceError("its run.json is no record: its id, or its parent's, is none")
    if record.parent == record.id:
        raise SourceError("its run.json is no record: the run is its own parent")
    if milliseconds_of_id(record.id) >= _YEAR_10000_MS:
        raise SourceError("its run.json is no record: the time in its id is none")
    if record.status == "running":
        raise SourceError("its run has not ended")
    _check_times(record)
    try:
        check_indexable(record)
    except StoreError as error:
        raise SourceError(f"its run.json is no record: {one_line(error.message)}") from None
    _check_name(record.environment.lock, "lock")
    if record.source.patch not in (None, "source.patch"):
        _check_name(record.source.patch, "patch")
        raise SourceError(f"the patch of its run has no possible name: `{one_line(record.source.patch)}`")
    for output in record.outputs:
        for each in output.files:
            _check_output(each.path)
    return shared_record(record)


@cache
def _form_of_records() -> TypeAdapter[RunRecord]:
    # It takes ten milliseconds to make, and a remote may have thousands of runs.
    from pydantic import TypeAdapter

    return TypeAdapter(RunRecord)


def _in_unicode(mapping: dict[str, Any]) -> Any:
    """The mapping without the lone surrogates that stand for a name's bytes which are no UTF-8: pydantic takes none."""
    return json.loads(json.dumps(mapping, ensure_ascii=False).encode("utf-8", "replace"))


def _check_output(path: str) -> None:
    """Refuse the name of an output that would lead out of the run's folder, or that no file could have.

    One that another machine could not keep, such as one with a line break, is only a name: no file came under it.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise SourceError(f"an output's file has no possible name: `{one_line(path)}`") from None
    shown = "".join(each if each.isprintable() else "_" * len(each.encode("utf-8", "surrogateescape")) for each in path)
    if not checked_parts(shown.replace("\\", "/")) or path.endswith("/") or "\0" in path:
        raise SourceError(f"an output's file has no possible name: `{one_line(path)}`")


def _check_times(record: RunRecord) -> None:
    """Refuse times that are none: a run's age, and its curves, are reckoned from them."""
    for name, said in (("started_at", record.started_at), ("ended_at", record.ended_at)):
        try:
            if said:
                seconds_of(said)
        except (ValueError, OverflowError):
            raise SourceError(f"its run.json is damaged: {name} is no time of ISO 8601: `{one_line(said)}`") from None
    duration = record.duration_s
    if duration is not None and not (isinstance(duration, (int, float)) and 0 <= duration < float("inf")):
        raise SourceError(f"its run.json is damaged: duration_s is no length of time: {one_line(duration)}")


def _check_name(name: str | None, what: str) -> None:
    """Refuse a name that would lead out of the run's folder, or pass for a file that has another meaning there."""
    if name is None:
        return
    parts = checked_parts(name)
    if len(parts) != 1 or parts[0] != name or name.startswith(".") or name in _NO_LOCKS:
        raise SourceError(f"the {what} of its run has no possible name: `{one_line(name)}`")


def is_of_run(name: str, record: RunRecord) -> bool:
    """Whether a file of this name belongs into the folder of a run: nothing that git would take orders from does."""
    parts = name.split("/")
    if len(parts) == 1:
        return name in (*_OWN_FILES, record.source.patch, record.environment.lock)
    return parts[0] in OWN_FOLDERS and not any(comparable(each) == ".git" for each in parts)


def check_against_record(record: RunRecord, digests: Mapping[str, str]) -> None:
    """Check files, by their names and digests, against the record. Raises SourceError for one that is another."""
    recorded = recorded_files(record)
    for name, digest in digests.items():
        if (recorded.get(name) or digest) != digest:
            raise SourceError(f"`{one_line(name)}` is damaged: its SHA-256 is not the one in the run's record")


def settle_in(store: Store, new: RunFiles, record: RunRecord, origin: ImportRecord) -> Arrived:
    """Make the run in ``new`` live, whose files are all checked.

    Raises UsageError when another run of its id is here, StoreError.
    """
    with explained(store.folder), locks.exclusive(store.folder / "import.lock"):
        is_here = same_run_here(store, record) is not None
        if not is_here:
            _make_live(store, new, record, origin)
    if is_here:
        return complete(store, new, record)
    files = live_files(store.folder, record.id)
    index_anew(store, files, read_record(files))
    return Arrived(record.id, "new", _newer(record))


def _newer(record: RunRecord) -> tuple[str, ...]:
    """What to say of a record of a later form than this mlproj knows."""
    if record.schema_version <= SCHEMA_VERSION:
        return ()
    forms = f"its form is {record.schema_version}, and this mlproj knows those up to {SCHEMA_VERSION}"
    return (f"a newer mlproj recorded it ({forms}): what is new in it is kept, and not shown",)


def _make_live(store: Store, new: RunFiles, record: RunRecord, origin: ImportRecord) -> None:
    new.artifacts.mkdir(exist_ok=True)
    origin = dataclasses.replace(origin, without=_absent(new, record))
    write_record(new, dataclasses.replace(record, imported=origin))
    new.folder.rename(live_files(store.folder, record.id).folder)


def _absent(files: RunFiles, record: RunRecord) -> list[str]:
    return sorted(name for name in recorded_files(record) if not os.path.lexists(files.folder / name))


def same_run_here(store: Store, record: RunRecord) -> tuple[RunFiles, RunRecord] | None:
    """The run of the record's id, where the store has it. Raises UsageError when it is another, or in the trash."""
    known = files_of(store, record.id)
    if not known.record.exists():
        return None
    here = read_record(known)
    shown = record.id[:12]
    if here.deleted_at is not None:
        raise UsageError(f"run {shown} is in the trash", hint=f"`mlproj restore {shown}` takes it out.")
    if record_bytes(shared_record(here)) != record_bytes(record):
        hint = f"`mlproj show {shown}` shows the one that is here; `mlproj delete {shown}` and `mlproj gc` remove it."
        raise UsageError(f"run {shown} is here already, and is not the same", hint=hint)
    return known, here


def lacks(known: RunFiles, here: RunRecord, name: str) -> bool:
    """Whether a file that belongs to a run here is one that it lacks, and may be given."""
    first = name.partition("/")[0]
    if first in ("source", "inputs"):
        # One's own runs have their source elsewhere; of an imported one it came whole or not at all.
        return here.imported is not None and not (known.folder / first).exists()
    if first == "artifacts" or name in (here.source.patch, here.environment.lock):
        return not os.path.lexists(known.folder / name)
    return False


def complete(store: Store, new: RunFiles, record: RunRecord) -> Arrived:
    """Give a run that is here the files in ``new``, which are all checked, as far as it lacks them.

    Raises UsageError when the one here is another, or is not here any more; StoreError.
    """
    with explained(store.folder), locks.exclusive(store.folder / "import.lock"):
        found = same_run_here(store, record)
        if found is None:
            raise UsageError(f"run {record.id[:12]} was removed meanwhile", hint="The same command brings it in anew.")
        known, here = found
        came = _give(known, new, here)
        if here.imported is not None:
            with locks.exclusive_here(known.change_lock):
                here = read_record(known)
                assert here.imported is not None
                # What was lost here stays lost: only what did not come with it was never here.
                without = [name for name in here.imported.without if not os.path.lexists(known.folder / name)]
                if without != here.imported.without:
                    imported = dataclasses.replace(here.imported, without=without)
                    write_record(known, dataclasses.replace(here, imported=imported))
        return Arrived(record.id, "completed" if came else "same")


def _give(known: RunFiles, new: RunFiles, here: RunRecord) -> int:
    """Add the files that a run lacks here, as when it came without its artifacts before; gives how many."""
    from mlproj.sharing.contents import names_below

    artifacts = names_below(new.artifacts) if new.artifacts.is_dir() else ()
    names = [here.source.patch, here.environment.lock, *(f"artifacts/{each}" for each in artifacts), "source", "inputs"]
    came = 0
    for name in names:
        if name and os.path.lexists(new.folder / name) and lacks(known, here, name):
            target = known.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (new.folder / name).rename(target)
            came += 1
    return came


def import_record(origin: str, at: str) -> ImportRecord:
    """Where a run came from, as its record says it."""
    return ImportRecord(printable(origin), at)


def move_into(folder: Path, names: Iterator[str] | list[str], new: RunFiles) -> None:
    """Move files of a run, which are below ``folder``, to their places in the new run's folder."""
    origin, target, made = os.fspath(folder), os.fspath(new.folder), {""}
    for name in names:
        parent = name.rpartition("/")[0]
        if parent not in made:
            (new.folder / parent).mkdir(parents=True, exist_ok=True)
            made.add(parent)
        os.rename(f"{origin}/{name}", f"{target}/{name}")  # noqa: PTH104  Path would be made 100 000 times
