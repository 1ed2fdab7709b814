"""Whether two files would be the same if it were not for the time, or the folder, that their runs ran in."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mlproj.runs.record import RunRecord
from mlproj.runs.times import seconds_of

_LARGEST = 8 << 20
_DAY = 86_400
# Dates and times as programs write them, and seconds, milliseconds or finer since 1970. What follows a digit or a
# decimal point is a part of another number.
_MOMENT = re.compile(
    rb"(?<![\d.])(?P<date>\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)?(Z|[+-]\d\d:?\d\d)?"
    rb"|(?<![\d.])\d\d:\d\d:\d\d([.,]\d+)?(?![\d:])"
    rb"|(?<![\d.])(?P<seconds>[12]\d{9})(\.\d+|\d{3}|\d{6}|\d{9})?(?![\d.])"
    rb"|(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (\w{3} +\d+|\d+ \w{3})[^\n\"<]{0,30}"
)


@dataclass(frozen=True)
class FileOfRun:
    """A file that a run left, and the run's record."""

    path: Path
    record: RunRecord


def same_but_for_times(one: FileOfRun, other: FileOfRun) -> bool:
    """Whether nothing differs between two files but dates and times of about when their runs were."""
    if zipfile.is_zipfile(one.path) and zipfile.is_zipfile(other.path):
        return _members(one.path) == _members(other.path)
    if _are_too_large(one, other):
        return False
    contents = [each.path.read_bytes() for each in (one, other)]
    if all(content[:2] == b"\x1f\x8b" for content in contents):  # gzip: the time is in its header
        return contents[0][8:] == contents[1][8:]
    return _without_times(contents[0], one.record) == _without_times(contents[1], other.record)


def same_but_for_folders(one: FileOfRun, other: FileOfRun) -> bool:
    """Whether nothing differs between two files but the folder that their runs ran in, and times."""
    if _are_too_large(one, other):
        return False
    first, second = (
        _without_times(without_folder(each.path.read_bytes(), each.record), each.record) for each in (one, other)
    )
    return first == second


def without_folder(content: bytes, record: RunRecord) -> bytes:
    """Bytes with the folder that a run ran in taken out of them."""
    folders = [each for each in (record.command.cwd, record.source.path) if Path(each).parent != Path(each)]
    for folder in sorted((each for each in folders if Path(each).is_absolute()), key=len, reverse=True):
        content = content.replace(folder.encode("utf-8", "surrogateescape"), b"")
    return content


def _are_too_large(one: FileOfRun, other: FileOfRun) -> bool:
    return max(one.path.stat().st_size, other.path.stat().st_size) > _LARGEST


def _without_times(content: bytes, record: RunRecord) -> bytes:
    """Bytes without the moments in them that are near to the run's own; another number or date may be anything."""
    try:
        begun = seconds_of(record.started_at)
        ended = seconds_of(record.ended_at or record.started_at)
    except ValueError:
        return content

    def kept(found: re.Match[bytes]) -> bytes:
        near = True
        if found["seconds"]:
            near = begun - _DAY <= int(found["seconds"]) <= ended + _DAY
        elif found["date"]:
            near = _is_date_within(found["date"], begun - _DAY, ended + _DAY)
        return b"" if near else found[0]

    return _MOMENT.sub(kept, content)


def _is_date_within(date: bytes, first: float, last: float) -> bool:
    days = [datetime.fromtimestamp(each, timezone.utc).strftime("%Y-%m-%d").encode() for each in (first, last)]
    return days[0] <= date <= days[1]


def _members(path: Path) -> Iterable[tuple[str, int]]:
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted((each.filename, each.CRC) for each in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return [(str(path), 0)]
