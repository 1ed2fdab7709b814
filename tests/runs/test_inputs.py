from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from mlproj.runs import inputs
from mlproj.runs.inputs import hash_inputs

BIG = b"0123456789abcdef" * 8192


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are really read."""
    read: list[str] = []
    real = inputs.sha256_of_file

    def spy(path: Path) -> str:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(inputs, "sha256_of_file", spy)
    return read


def settled(path: Path, content: bytes) -> Path:
    """A file last written to a while ago: the clock of the cache is put forward instead of waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(inputs.time, "time", lambda: now + 60)


def test_a_file_a_folder_and_a_glob_have_digests(tmp_path: Path) -> None:
    settled(tmp_path / "wine.csv", b"wine")
    settled(tmp_path / "data" / "a", b"a")
    settled(tmp_path / "data" / "b", b"bb")
    hashed = hash_inputs(["wine.csv", "data/", "data/*"], tmp_path, tmp_path / "cache")
    assert hashed.problems == []
    wine, folder, glob = hashed.inputs
    assert (wine.sha256, wine.size, wine.files) == (hashlib.sha256(b"wine").hexdigest(), 4, 1)
    a, b = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"bb").hexdigest()
    assert folder.sha256 == hashlib.sha256(f"{a}  data/a\n{b}  data/b\n".encode()).hexdigest()
    assert (folder.size, folder.files) == (3, 2)
    assert glob.sha256 == folder.sha256


def test_unchanged_data_is_read_once(tmp_path: Path, read_files: list[str], later: None) -> None:
    settled(tmp_path / "big.bin", BIG)
    first = hash_inputs(["big.bin"], tmp_path, tmp_path / "cache")
    second = hash_inputs(["big.bin"], tmp_path, tmp_path / "cache")
    assert first == second
    assert read_files == ["big.bin"]


def test_changed_data_is_read_again_even_with_its_times_put_back(
    tmp_path: Path, read_files: list[str], later: None
) -> None:
    path = settled(tmp_path / "big.bin", BIG)
    os.utime(path, (1_000_000, 1_000_000))
    first = hash_inputs(["big.bin"], tmp_path, tmp_path / "cache")
    path.write_bytes(BIG[::-1])
    os.utime(path, (1_000_000, 1_000_000))
    second = hash_inputs(["big.bin"], tmp_path, tmp_path / "cache")
    assert first.inputs[0].sha256 != second.inputs[0].sha256
    assert read_files == ["big.bin", "big.bin"]


def test_a_file_written_this_moment_is_not_trusted_to_stay(tmp_path: Path, read_files: list[str]) -> None:
    settled(tmp_path / "big.bin", BIG)
    for _ in range(2):
        hash_inputs(["big.bin"], tmp_path, tmp_path / "cache")
    assert read_files == ["big.bin", "big.bin"]


def test_what_is_not_there_or_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    hashed = hash_inputs(["gone.csv", "*.none", "pipe"], tmp_path, tmp_path / "cache")
    assert hashed.inputs == []
    assert hashed.problems == [
        "input gone.csv is not there",
        "input *.none is not there",
        "input pipe is no regular file and was not read",
    ]


def test_a_link_to_data_elsewhere_is_followed(tmp_path: Path) -> None:
    settled(tmp_path / "mnt" / "data.csv", b"data")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "data").symlink_to(tmp_path / "mnt")
    hashed = hash_inputs(["data/data.csv", str(tmp_path / "mnt" / "data.csv")], tmp_path / "project", tmp_path / "c")
    assert [each.sha256 for each in hashed.inputs] == [hashlib.sha256(b"data").hexdigest()] * 2


@pytest.mark.parametrize("target", ["/", "..", "../.."])
def test_a_link_to_a_folder_that_it_is_in_is_told_and_not_followed(tmp_path: Path, target: str) -> None:
    settled(tmp_path / "project" / "data" / "data.csv", b"data")
    settled(tmp_path / "project" / "other.csv", b"other")
    (tmp_path / "project" / "data" / "all").symlink_to(target)
    hashed = hash_inputs(["data"], tmp_path / "project", tmp_path / "cache")
    assert [each.files for each in hashed.inputs] == [1]
    assert hashed.notes == ["input data/all leads in a circle and was not followed"]


@pytest.mark.parametrize("break_it", [lambda cache: cache.write_text("in the way"), lambda cache: cache.mkdir()])
def test_a_cache_that_cannot_be_used_costs_time_only(tmp_path: Path, break_it) -> None:
    cache = tmp_path / "cache"
    break_it(cache)
    if cache.is_dir():
        (cache / "input-hashes.db").write_bytes(b"garbage" * 200)
    settled(tmp_path / "big.bin", BIG)
    hashed = hash_inputs(["big.bin"], tmp_path, cache)
    assert hashed.inputs[0].sha256 == hashlib.sha256(BIG).hexdigest()


def test_no_inputs_touch_nothing(tmp_path: Path) -> None:
    assert hash_inputs([], tmp_path, tmp_path / "cache").inputs == []
    assert not (tmp_path / "cache").exists()
