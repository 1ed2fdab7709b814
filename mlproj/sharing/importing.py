"""Bringing the runs of a crate into the store: one of mlproj's own whole, one of another tool as far as it is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mlproj.errors import SourceError, UsageError
from mlproj.files import copy_file
from mlproj.runs.database import explained
from mlproj.runs.layout import RunFiles
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.store import Store
from mlproj.runs.times import now_text, seconds_of
from mlproj.sharing.arriving import (
    Arrived,
    check_against_record,
    checked_record,
    import_record,
    is_of_run,
    move_into,
    new_place,
    settle_in,
)
from mlproj.sharing.contents import RECORD_NAME
from mlproj.sharing.crate_metadata import METADATA_NAME
from mlproj.sharing.crate_reading import ReadCrate, read_crate
from mlproj.text import one_line, plural


def import_crate(store: Store, path: Path, unpack_limit: int | None = None) -> list[Arrived]:
    """Bring in the runs of a crate, an archive or a folder.

    Whatever kills this, the store holds a run whole or not at all. Raises UsageError for what is no crate, is damaged,
    could do harm, or is another run than the one here; StoreError.
    """
    try:
        with new_place(store) as place, explained(store.folder):
            if place.folder.resolve().is_relative_to(path.resolve()):
                raise UsageError(f"{one_line(path)} is no crate: it holds the store that runs are imported into")
            crate = read_crate(path, place.folder / "crate", unpack_limit)
            if crate.is_own:
                return [_own(store, crate, place, path)]
            return list(_foreign(store, crate, path))
    except SourceError as error:
        raise UsageError(f"{one_line(path)} cannot be imported: {error.message}", hint=error.hint) from None


def _own(store: Store, crate: ReadCrate, place: RunFiles, path: Path) -> Arrived:
    if RECORD_NAME not in crate.files:
        raise SourceError(f"it is damaged: `{RECORD_NAME}` is missing")
    record = checked_record((crate.folder / RECORD_NAME).read_bytes())
    if not crate.describes(record.id):
        raise SourceError(f"it is damaged: its {RECORD_NAME} is of another run than its {METADATA_NAME}")
    if crate.missing:
        raise SourceError(f"`{one_line(crate.missing[0])}` is missing")
    check_against_record(record, crate.files)
    names = [name for name in crate.files if is_of_run(name, record)]
    move_into(crate.folder, names, place)
    known = {*names, RECORD_NAME, METADATA_NAME}
    passed_over = [*crate.unlisted, *(each for each in crate.files if each not in known)]
    shutil.rmtree(crate.folder)
    arrived = settle_in(store, place, record, import_record(str(path.absolute()), now_text()))
    return replace(arrived, notices=(*arrived.notices, *_passed_over(passed_over)))


def _passed_over(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(map(one_line, names[:3])) + (", …" if len(names) > 3 else "")
    return (f"{plural(len(names), 'file')} of the crate that are no part of the run were left out: {shown}",)


def _foreign(store: Store, crate: ReadCrate, path: Path) -> Iterator[Arrived]:
    from mlproj.sharing.foreign import foreign_runs

    for run in foreign_runs(crate):
        with new_place(store) as place:
            for name, of_crate in run.files.items():
                target = place.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                copy_file(crate.folder / of_crate, target)
            told = run.record.ended_at or run.record.started_at
            at = {"timestamp": seconds_of(told)} if told else {}
            lines = [{"name": name, "value": value, "step": 0, **at} for name, value in run.record.metrics.items()]
            if lines:
                append_lines(place.metrics, lines)
            arrived = settle_in(store, place, run.record, import_record(str(path.absolute()), now_text()))
            yield replace(arrived, notices=tuple(run.record.notices))
