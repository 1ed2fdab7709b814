"""Folders outside any repository: identified by what is in them, and by nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlproj.errors import SourceError
from mlproj.sources import take_snapshot
from mlproj.sources.digest import read_folder, stamp_of_folder


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_same_files_have_the_same_identity_anywhere(tmp_path: Path) -> None:
    files = {"a.py": "1", "sub/b.py": "2"}
    one, other = write(tmp_path / "one", files), write(tmp_path / "other", files)
    assert take_snapshot(str(one)).digest == take_snapshot(str(other)).digest


@pytest.mark.parametrize("change", [{"a.py": "2"}, {"c.py": ""}, {"sub/b.py": "22"}])
def test_another_content_is_another_identity(tmp_path: Path, change: dict[str, str]) -> None:
    folder = write(tmp_path / "p", {"a.py": "1", "sub/b.py": "2"})
    before = read_folder(folder).digest
    write(folder, change)
    assert read_folder(folder).digest != before


def test_names_modes_and_links_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"a": "1"})
    digests = {read_folder(folder).digest}
    (folder / "a").chmod(0o755)
    digests.add(read_folder(folder).digest)
    (folder / "a").rename(folder / "b")
    digests.add(read_folder(folder).digest)
    (folder / "link").symlink_to("/etc/passwd")
    digests.add(read_folder(folder).digest)
    assert len(digests) == 4


def test_what_is_ignored_does_not_count(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "p", {"a.py": "1", ".gitignore": "*.log\n/data/\n!keep.log\n", "sub/.mlprojignore": "x.bin\n"}
    )
    before = read_folder(folder).digest
    write(
        folder,
        {
            "run.log": "x",
            "data/big": "x",
            "sub/x.bin": "x",
            "sub/deep/y.log": "y",
            "__pycache__/a.pyc": "",
            ".venv/x": "",
        },
    )
    assert read_folder(folder).digest == before
    write(folder, {"sub/keep.log": "kept"})
    assert read_folder(folder).digest != before


def test_what_runs_leave_does_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"a.py": "1"})
    outputs = ["model/", "plots/*.png", "metrics.json"]
    before = take_snapshot(str(folder), outputs).digest
    write(folder, {"model/deep/weights": "w", "plots/a.png": "p", "metrics.json": "{}"})
    assert take_snapshot(str(folder), outputs).digest == before
    write(folder, {"plots/notes.txt": "n"})
    assert take_snapshot(str(folder), outputs).digest != before


def test_a_stamp_tells_without_reading_that_nothing_has_changed(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"a": "1", "sub/b": "2", "out/x": "3"})
    stamp = read_folder(folder, ["out"]).stamp
    write(folder, {"out/x": "4", "__pycache__/a.pyc": ""})
    assert stamp_of_folder(folder, ["out"]) == stamp
    (folder / "sub" / "b").write_text("3")
    assert stamp_of_folder(folder, ["out"]) != stamp


def test_special_files_and_loops_are_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", {"a": "1"})
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to(folder)
    assert read_folder(folder).digest


def test_ten_thousand_files_take_no_more_than_a_moment(tmp_path: Path) -> None:
    for index in range(10_000):
        folder = tmp_path / f"{index % 100}"
        folder.mkdir(exist_ok=True)
        (folder / str(index)).write_text(str(index))
    started = time.process_time()
    read_folder(tmp_path)
    assert time.process_time() - started < 2.0  # a tenth of that here; the bound is against quadratic ways


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("/no/such/folder", "no folder `/no/such/folder`"),
        ("example-projects-that-are-not-here", "a folder, an archive, or a git repository"),
        ("../wine", "no folder `../wine`"),
        ("a\x00b", "no folder"),
        ("\x1b[31m", r"no folder `\x1b[31m`"),
    ],
)
def test_what_is_no_local_folder_is_told(uri: str, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        take_snapshot(uri)
    assert "\x1b" not in str(caught.value)
    assert told in str(caught.value)
