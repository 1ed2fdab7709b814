"""YAML as manifests mean it: YAML 1.2's core scalars, positions kept, hostile files answered."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproj.manifest.diagnostics import ManifestError
from mlproj.manifest.document import parse_document

PATH = Path("mlproj.yaml")


def data(text: str | bytes) -> object:
    return parse_document(PATH, text.encode() if isinstance(text, str) else text).data


def message(text: str | bytes) -> str:
    try:
        document = parse_document(PATH, text.encode() if isinstance(text, str) else text)
    except ManifestError as error:
        return str(error)
    assert document.findings
    return "\n".join(map(str, document.findings))


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("true", True), ("False", False), ("TRUE", True), ("tRue", "tRue"),
        ("1e3", 1000.0), ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("-2.5E+3", -2500.0),
        ("010", 10), ("0o10", 8), ("0x1F", 31), ("0b11", "0b11"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("+7", 7), ("-0", 0), ("2026-01-31", "2026-01-31"), ("", None), ("~", None), ("null", None), ("nil", "nil"),
        (".inf", math.inf), ("-.INF", -math.inf), ("inf", "inf"), ("'1'", "1"), ('"no"', "no"), ("1.2.3", "1.2.3"),
        ("!!str 12", "12"), ("!!float 3", 3.0), ("!!int 3", 3), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2(scalar: str, value: object) -> None:
    found = data(f"a: {scalar}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_float() -> None:
    assert math.isnan(data("a: .nan")["a"])


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    text = """
base: &base {type: float, min: 0}
alpha: {<<: *base, default: 1}
beta: {<<: [*base, {max: 9, min: 5}], min: 3}
copy: *base
"""
    found = data(text)
    assert found["alpha"] == {"type": "float", "min": 0, "default": 1}
    assert found["beta"] == {"type": "float", "min": 3, "max": 9}
    assert found["copy"] == found["base"]


def test_every_value_has_its_position() -> None:
    document = parse_document(PATH, b"a:\n  - x\n  - {key: value}\n")
    assert (document.values["a", 1, "key"].line, document.values["a", 1, "key"].column) == (3, 11)
    assert (document.keys["a", 1, "key"].line, document.keys["a", 1, "key"].column) == (3, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "mlproj.yaml:2:1: error: the key `a` is there twice: first on line 1"),
        ("1: a\n", 'mlproj.yaml:1:1: error: a key that is not a text: write it in quotes, "1"'),
        ("true: a\n", "a key that is not a text"),
        ("[a, b]: c\n", "a key that is not a text"),
        ("a:\n\tb: 1\n", "mlproj.yaml:2:1: error: a tab in the indentation"),
        ("a: [1, 2\n", "not YAML"),
        ("a: 'x\n", "not YAML"),
        ("a: 1\n---\nb: 2\n", "mlproj.yaml:2:1: error: a second document"),
        ("a: *x\n", "not YAML"),
        ("a: &a [*a]\n", "alias `*a` without an anchor before it"),
        ("a: !!python/object:os.system x\n", "no tags"),
        ("a: !!int x\n", "`x` is no int"),
        ("a: {<<: 3}\n", "`<<` takes a mapping"),
        ("a: " + "9" * 5000, "a number of 5000 digits"),
    ],
)
def test_what_is_no_manifest_is_told_with_its_place(text: str, expected: str) -> None:
    if text == "a: *x\n":
        expected = "alias `*x` without an anchor before it"
    assert expected in message(text)


def test_all_findings_are_told_at_once() -> None:
    assert message("a: 1\na: 2\n1: x\n").count("error:") == 2


def test_a_caret_points_at_the_place() -> None:
    assert "    2 |   b: !!set x\n      |      ^" in message("a:\n  b: !!set x\n")


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert data(b"\xef\xbb\xbfname: x") == {"name": "x"}


def test_latin_1_is_told_where_it_is() -> None:
    assert "mlproj.yaml:2:7: error: byte 0xe9 is not UTF-8" in message("a: 1\nb: caf\xe9".encode("latin-1"))


def test_ten_megabytes_of_nesting_are_refused_at_once() -> None:
    assert "larger than 1 MiB" in message(b"[" * 10_000_000)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    assert "nested more than 50 levels deep" in message(opening * 5_000)


def test_a_billion_laughs_are_not_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "aliases expand to more than" in message("\n".join(lines))


def test_a_chain_of_merges_is_bounded() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 12)]
    assert "aliases expand to more than" in message("\n".join(lines))


@pytest.mark.parametrize("link", ["[*a{}]", "{{x: *a{}}}", "{{<<: *a{}}}"])
def test_a_long_chain_of_aliases_is_refused(link: str) -> None:
    lines = ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {link.format(i - 1)}" for i in range(1, 3000))]
    assert "aliases nested more than 50 levels deep" in message("\n".join(lines))


def test_escape_codes_of_a_manifest_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in message('"\\e[31mred": 1\n"\\e[31mred": 2\n')


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_data_or_a_located_error(raw: bytes) -> None:
    try:
        parse_document(PATH, raw)
    except ManifestError as error:
        assert error.diagnostics


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@, \n\t<~01.", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_yaml_looking_text_is_data_or_a_located_error(text: str) -> None:
    try:
        data(text)
    except ManifestError as error:
        assert all(diagnostic.message for diagnostic in error.diagnostics)
