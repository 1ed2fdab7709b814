"""Whether files differ by the time or the folder of their runs alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlproj.reproduction.likeness import FileOfRun, same_but_for_folders, same_but_for_times
from mlproj.runs.record import CommandRecord, RunRecord

ONE = RunRecord(
    id="1" * 32,
    started_at="2026-11-25T10:00:00.000Z",
    ended_at="2026-11-25T10:05:00.000Z",
    command=CommandRecord(cwd="/a"),
)
OTHER = RunRecord(
    id="2" * 32,
    started_at="2026-11-26T10:00:00.000Z",
    ended_at="2026-11-26T10:05:00.000Z",
    command=CommandRecord(cwd="/b/c"),
)


def files(folder: Path, one: str, other: str) -> tuple[FileOfRun, FileOfRun]:
    for name, text in (("one", one), ("other", other)):
        (folder / name).write_text(text)
    return FileOfRun(folder / "one", ONE), FileOfRun(folder / "other", OTHER)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 2026-11-25T10:01:02Z", "at 2026-11-26T10:01:03.5Z"),
        ("2026-11-25", "2026-11-26"),
        ("t=1795600862", "t=1795687263.25"),
        ('{"ms": 1795600862123}', '{"ms": 1795687263123}'),
        ("10:01:02", "10:01:03"),
        ("Wed Nov 25 10:01:02 2026", "Thu Nov 26 10:01:03 2026"),
    ],
)
def test_moments_of_the_runs_are_times(tmp_path: Path, one: str, other: str) -> None:
    assert same_but_for_times(*files(tmp_path, one, other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.1534567890", "0.1634567891"),
        ("0.1795600862", "0.1795687263"),
        ("1534567890", "1634567891"),
        ("1795600862.5.1", "1795687263.5.2"),
        ("born 1998-01-02", "born 2001-03-04"),
        ("51795600862", "61795687263"),
    ],
)
def test_other_numbers_and_dates_are_not(tmp_path: Path, one: str, other: str) -> None:
    assert not same_but_for_times(*files(tmp_path, one, other))


def test_the_folder_of_a_run_is_told_from_what_else_differs(tmp_path: Path) -> None:
    assert same_but_for_folders(*files(tmp_path, "in /a/x.csv at 2026-11-25", "in /b/c/x.csv at 2026-11-26"))
    assert not same_but_for_folders(*files(tmp_path, "in /a/x.csv", "in /b/c/y.csv"))
