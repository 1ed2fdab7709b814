"""The likely reason for a difference: a cause that is recorded, a time that stands in an output, or chance."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlproj.reproduction.causes import causes
from mlproj.reproduction.verdict import Verdict
from mlproj.runs.record import OF_CALLER, FileRecord, RunRecord
from mlproj.runs.store import Store, files_of
from mlproj.text import one_line

_LARGEST = 8 << 20
# Dates and times as programs write them, and seconds or milliseconds since 1970 in this half of the century.
_MOMENT = re.compile(
    rb"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)?(Z|[+-]\d\d:?\d\d)?|\d\d:\d\d:\d\d([.,]\d+)?"
    rb"|\b1[5-9]\d{8}(\.\d+|\d{3}|\d{6}|\d{9})?\b|\b2[0-9]\d{8}(\.\d+|\d{3})?\b"
    rb"|(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (\w{3} +\d+|\d+ \w{3})[^\n\"<]{0,30}"
)


def likely_reasons(store: Store, verdict: Verdict, recorded: RunRecord, again: RunRecord) -> list[str]:
    """Why a verdict is not ``identical``, the likeliest first. Raises StoreError."""
    if not verdict.differences:
        return []
    kept = (files_of(store, recorded.id).source, files_of(store, again.id).source)
    found = [*_endings(recorded, again), *(str(cause) for cause in causes(recorded, again, kept))]
    if recorded.source.changed:
        names = ", ".join(one_line(each) for each in recorded.source.changed[:3])
        found.insert(0, f"its files changed while the recorded run ran: {names}")
    dated = sorted(_dated(store, recorded, again))
    if dated:
        told = ", ".join(one_line(each) for each in dated[:3]) + (", …" if len(dated) > 3 else "")
        found.insert(0, f"timestamps in the output: {told}")
    unexplained = [each for each in verdict.differences if not any(path in each.what for path in dated)]
    if not found or (unexplained and all(each.startswith("timestamps") for each in found)):
        found.append(
            "nothing that is recorded differs: randomness without a seed, or work whose order changes from run to run "
            "(threads, GPU kernels); `--repeat` tells it from a machine that differs"
        )
    if recorded.request is not None and (taken := recorded.request.decided_by.get(OF_CALLER)):
        found.append(f"variables of the caller's, whose values no record holds, may be others: {one_line(taken)}")
    if recorded.request is not None and recorded.request.secrets:
        names = ", ".join(one_line(each) for each in recorded.request.secrets)
        found.append(f"a secret, whose value no record holds, may be another one: {names}")
    return found


def _endings(recorded: RunRecord, again: RunRecord) -> Iterator[str]:
    if again.status != recorded.status and again.error:
        yield f"the new run did not come to its end: {again.error}"
    if recorded.status == "lost":
        yield "the recorded run did not come to its end: its mlproj died without a word"
    elif again.status != recorded.status and recorded.error:
        yield f"the recorded run did not come to its end: {recorded.error}"


def _dated(store: Store, recorded: RunRecord, again: RunRecord) -> Iterator[str]:
    """The outputs that would be the same if it were not for the times in them."""
    folders = [files_of(store, record.id).artifacts for record in (recorded, again)]
    first, second = (_files(record) for record in (recorded, again))
    for path in first.keys() & second.keys():
        if first[path].sha256 == second[path].sha256:
            continue
        one, other = (folder / path for folder in folders)
        if one.is_file() and other.is_file() and _same_but_for_times(one, other):
            yield path


def _files(record: RunRecord) -> dict[str, FileRecord]:
    return {file.path: file for output in record.outputs for file in output.files}


def _same_but_for_times(one: Path, other: Path) -> bool:
    if zipfile.is_zipfile(one) and zipfile.is_zipfile(other):
        return _members(one) == _members(other)
    if max(one.stat().st_size, other.stat().st_size) > _LARGEST:
        return False
    contents = [path.read_bytes() for path in (one, other)]
    if all(content[:2] == b"\x1f\x8b" for content in contents):  # gzip: the time is in its header
        return contents[0][8:] == contents[1][8:]
    return _MOMENT.sub(b"", contents[0]) == _MOMENT.sub(b"", contents[1])


def _members(path: Path) -> Iterable[tuple[str, int]]:
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted((each.filename, each.CRC) for each in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return [(str(path), 0)]
