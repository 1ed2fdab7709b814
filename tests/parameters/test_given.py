"""Values from the command line and from files, and which of them win."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlproj.errors import UsageError
from mlproj.parameters.given import gather, read_parameters_file


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_files_win_over_earlier_files_and_the_command_line_over_all(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", "alpha: 1\nbeta: 2\ngamma: 3\n")
    second = write(tmp_path / "b.toml", "beta = 20\n")
    third = write(tmp_path / "c.json", '{"gamma": 30}')
    found = gather(["gamma=300", f"@{third}"], [first, second])
    assert (found["alpha"].data, found["beta"].data, found["gamma"].texts) == (1, 20, ("300",))


def test_a_name_given_several_times_keeps_all_texts() -> None:
    assert gather(["x=1", "x=2", "y=a=b"], [])["x"].texts == ("1", "2")
    assert gather(["y=a=b"], [])["y"].texts == ("a=b",)


def test_an_empty_value_is_a_value() -> None:
    assert gather(["x="], [])["x"].texts == ("",)


@pytest.mark.parametrize("assignment", ["alpha", "=1", ""])
def test_what_is_no_assignment(assignment: str) -> None:
    with pytest.raises(UsageError, match="-P takes name=value or @file"):
        gather([assignment], [])


def test_yaml_values_know_where_they_stand(tmp_path: Path) -> None:
    path = write(tmp_path / "p.yaml", "alpha: 1\n\nbeta: 2\n")
    assert gather([], [path])["beta"].origin == f"{path}:3:1"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.txt", "a: 1", "ends in .yaml, .yml, .json or .toml"),
        ("p.yaml", "- a", "expected a mapping"),
        ("p.json", "[1]", "expected a mapping"),
        ("p.json", "{", "not JSON"),
        ("p.toml", "a = ", "not TOML"),
        ("p.json", '{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ("p.yaml", "a: 1\na: 2\n", "is there twice"),
    ],
)
def test_files_that_are_no_parameters(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_parameters_file(write(tmp_path / name, text))
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nope\.yaml: the parameters file cannot be read|nope\.yaml"):
        gather(["@" + str(tmp_path / "nope.yaml")], [])


def test_a_file_that_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.yaml")
    with pytest.raises(UsageError, match="no regular file"):
        read_parameters_file(tmp_path / "p.yaml")
