"""Values parsed strictly to their type and held to their constraints."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproj.manifest.models import Parameter
from mlproj.manifest.types import BASE_TYPES
from mlproj.parameters.values import InvalidValueError, text_of, value_from_data, value_from_texts


def from_text(type_: str, *texts: str, **constraints: object) -> object:
    return value_from_texts(Parameter(type=type_, **constraints), texts)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("int", "10", 10), ("int", "-3", -3), ("int", "1_000", 1000), ("int", "+7", 7),
        ("float", "0.1", 0.1), ("float", "1e-3", 0.001), ("float", "3", 3.0), ("float", ".5", 0.5), ("float", "-inf", -math.inf),
        ("bool", "true", True), ("bool", "YES", True), ("bool", "1", True), ("bool", "No", False), ("bool", "0", False),
        ("str", "", ""), ("str", "null", "null"), ("str", " x ", " x "),
        ("json", '{"a": [1]}', {"a": [1]}), ("json", "null", None),
        ("date", "2026-01-31", "2026-01-31"), ("date", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
        ("date", "2026-01-31 12:00", "2026-01-31T12:00:00"),
        ("int?", "null", None), ("float?", "2", 2.0), ("str?", "null", None),
        ("list[int]", "1,2", [1, 2]), ("list[int]", "[1, 2]", [1, 2]), ("list[str]", "", []), ("list[str]", "a", ["a"]),
    ],
)  # fmt: skip
def test_texts_that_fit(type_: str, text: str, value: object) -> None:
    found = from_text(type_, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("int", "1.0"), ("int", ""), ("int", " 1"), ("int", "1__0"), ("int", "_1"), ("int", "0x10"), ("int", "١"), ("int", "null"),
        ("int", "9" * 5000), ("float", "abc"), ("float", ""), ("float", "1e"), ("float", "0x1p3"), ("float", "1,5"),
        ("bool", "on"), ("bool", "2"), ("bool", ""), ("date", "31.1.2026"), ("date", "2026-02-30"), ("date", "2026"),
        ("json", "{a: 1}"), ("json", ""), ("json", "[" * 100_000), ("path", ""), ("uri", ""), ("str", "a\x00b"),
        ("list[int]", "1,a"), ("list[int]", "[1,"), ("list[int]", "[1.5]"), ("list[int]", '["1"]'),
    ],
)  # fmt: skip
def test_texts_that_do_not_fit(type_: str, text: str) -> None:
    with pytest.raises(InvalidValueError, match="expected"):
        from_text(type_, text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_character_is_no_text(text: str) -> None:
    with pytest.raises(InvalidValueError, match="half a character"):
        from_text("str", text)
    with pytest.raises(InvalidValueError, match="half a character"):
        value_from_data(Parameter(type="json"), {"a": [text]})


def test_a_pattern_that_would_take_for_ever_is_told() -> None:
    with pytest.raises(InvalidValueError, match="takes too long"):
        from_text("str", "a" * 60 + "b", pattern="(a+)+$")


def test_several_texts_are_the_items_as_they_are() -> None:
    assert from_text("list[str]", "a,b", "[c]") == ["a,b", "[c]"]


def test_of_several_texts_for_one_value_the_last_counts() -> None:
    assert from_text("int", "1", "2") == 2


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("int", 1.0), ("int", True), ("int", "1"), ("int", None), ("float", "0.1"), ("float", False), ("bool", 1),
        ("bool", "true"), ("str", 1), ("str", None), ("list[int]", 1), ("list[int]", [1, None]), ("float", 10**400),
        ("path", 3), ("date", 2026), ("str", ["a"]), ("list[str]", "a"),
    ],
)  # fmt: skip
def test_data_is_not_coerced(type_: str, data: object) -> None:
    with pytest.raises(InvalidValueError, match="expected"):
        value_from_data(Parameter(type=type_), data)


@pytest.mark.parametrize(
    ("type_", "constraints", "good", "bad", "told"),
    [
        ("int", {"min": 1, "max": 3}, "2", "4", "at most 3"),
        ("float", {"min": 0}, "0", "-0.1", "at least 0"),
        ("float", {"max": 1}, "1", "nan", "at most 1"),
        ("str", {"choices": ["a", "b"]}, "a", "c", "one of a, b"),
        ("int", {"choices": [1, 2]}, "1", "3", "one of 1, 2"),
        ("str", {"pattern": "[a-z]+"}, "abc", "abc1", "matches"),
        ("str", {"min_length": 2, "max_length": 3}, "ab", "abcd", "at most 3"),
        ("list[int]", {"min_length": 2}, "1,2", "1", "at least 2 item"),
        ("list[int]", {"min": 2}, "2,3", "1,2", "at least 2"),
        (
            "date",
            {"min": "2026-01-01", "max": "2026-12-31"},
            "2026-06-01",
            "2025-12-31",
            "at least 2026-01-01",
        ),
        (
            "date",
            {"min": "2026-01-01T12:00:00+02:00"},
            "2026-01-01T10:00:00Z",
            "2026-01-01T09:59:59Z",
            "at least",
        ),
    ],
)
def test_constraints(type_: str, constraints: dict, good: str, bad: str, told: str) -> None:
    from_text(type_, good, **constraints)
    with pytest.raises(InvalidValueError, match=told):
        from_text(type_, bad, **constraints)


def test_a_secret_is_not_in_the_message_about_it() -> None:
    with pytest.raises(InvalidValueError) as caught:
        value_from_texts(Parameter(type="secret", min_length=20), ["hunter2-hunter2"])
    assert "hunter2" not in str(caught.value)


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_every_int_comes_back(value: int) -> None:
    assert from_text("int", text_of(value)) == value


@given(st.floats(allow_nan=False))
def test_every_float_comes_back(value: float) -> None:
    assert from_text("float", text_of(value)) == value


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))))
def test_every_list_of_texts_comes_back(value: list[str]) -> None:
    assert from_text("list[str]", text_of(value)) == value


@given(st.dates() | st.datetimes() | st.datetimes(timezones=st.timezones()))
def test_every_date_is_taken_as_data(value: object) -> None:
    try:
        text = value_from_data(Parameter(type="date"), value)
    except InvalidValueError:
        return  # an offset in seconds has no ISO 8601 form
    assert isinstance(text, str)


_types = st.sampled_from([*BASE_TYPES, "list[int]", "list[str]", "list[json]", "int?", "list[date]?"])


@given(_types, st.lists(st.text(), min_size=1, max_size=3))
@settings(max_examples=500)
def test_any_text_is_a_value_or_an_explained_error(type_: str, texts: list[str]) -> None:
    try:
        value = from_text(type_, *texts)
    except InvalidValueError as error:
        assert str(error).startswith("expected")
    else:
        json.dumps(value)


@given(_types, st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_data_is_a_value_or_an_explained_error(type_: str, data: object) -> None:
    try:
        value_from_data(Parameter(type=type_), data)
    except InvalidValueError as error:
        assert str(error).startswith("expected")
