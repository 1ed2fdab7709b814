from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj.globs import glob_expression
from mlproj.runs.paths import expand

FILES = [
    "a.png",
    "b.txt",
    "plots/a.png",
    "plots/deep/c.png",
    "plots/.hidden.png",
    "x-y",
    "range/b1",
    "range/c1",
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("./*.png", ["a.png"]),
        ("plots/*.png", ["plots/.hidden.png", "plots/a.png"]),
        ("**/*.png", ["a.png", "plots/.hidden.png", "plots/a.png", "plots/deep/c.png"]),
        ("plots/**", ["plots/.hidden.png", "plots/a.png", "plots/deep/c.png"]),
        ("plots/*/c.png", ["plots/deep/c.png"]),
        ("?.txt", ["b.txt"]),
        ("range/[a-b]?", ["range/b1"]),
        ("range/[!b]1", ["range/c1"]),
        ("[", []),
        ("[z-a]", []),
        ("x[-]y", ["x-y"]),
        ("plots", ["plots/.hidden.png", "plots/a.png", "plots/deep/c.png"]),
        ("plots/deep/../a.png", ["plots/a.png"]),
    ],
)
def test_a_pattern_means_files(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expansion = expand(pattern, tmp_path, tmp_path)
    assert [found.path for found in expansion.files] == expected
    assert expansion.exists == bool(expected)


@given(st.text(alphabet="ab*?[]!^-\\/.&|~é\n", max_size=12), st.text(max_size=8))
def test_any_text_is_a_glob(pattern: str, path: str) -> None:
    re.compile(glob_expression(pattern), re.DOTALL).fullmatch(path)


@given(st.text(alphabet="ab[]\\^-!.", min_size=1, max_size=8))
def test_a_name_without_wildcards_matches_only_itself(name: str) -> None:
    escaped = "".join(f"[{character}]" if character == "[" else character for character in name)
    assert re.compile(glob_expression(escaped), re.DOTALL).fullmatch(name)


def test_links_that_multiply_end_somewhere(tmp_path: Path) -> None:
    for level in range(30):
        (tmp_path / f"{level:02}").mkdir()
        for side in "ab":
            (tmp_path / f"{level:02}" / side).symlink_to(f"../{level + 1:02}")
    (tmp_path / "30").mkdir()
    expansion = expand("00", tmp_path, tmp_path)
    assert any("1000 linked folders" in note for note in expansion.notes)
