"""A parameter's value: text and data parsed strictly to the declared type, and held to the constraints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any

from mlproj.manifest.models import Parameter
from mlproj.text import one_line

_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
_INT = re.compile(r"[+-]?\d+(_\d+)*", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+)?|[+-]?(inf|infinity)|nan", re.IGNORECASE | re.ASCII
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_LONGEST_INT = 4000

_EXPECTED = {
    "str": "a text",
    "int": "a whole number such as `10`, `-3` or `1_000`",
    "float": "a number such as `0.1` or `1e-3`",
    "bool": "true or false (also yes, no, 1, 0)",
    "path": "a path, or a URL to fetch",
    "uri": "a URI or a path",
    "json": "JSON",
    "date": "an ISO 8601 date or time such as `2026-01-31` or `2026-01-31T12:00:00Z`",
    "secret": "a text",
}


class InvalidValueError(ValueError):
    """A value that does not fit its parameter; the message says what was expected, and never holds a secret."""


def value_from_texts(parameter: Parameter, texts: Sequence[str]) -> Any:
    """The value of one or several texts, as ``-P name=text`` gives them.

    For a list, several texts are its items as they are; a single one that starts with ``[`` is a JSON array; any
    other single one is split at its commas (and the empty text is the empty list). For any other type the last
    text counts. ``null`` is the null of an optional type.

    Raises ``InvalidValueError``.
    """
    kind = parameter.value_type
    if kind.optional and len(texts) == 1 and texts[0] == "null":
        return None
    if not kind.is_list:
        value = _item_from_text(kind.base, texts[-1])
    elif len(texts) > 1:
        value = [_item_from_text(kind.base, text) for text in texts]
    elif texts[0].lstrip().startswith("["):
        try:
            items = json.loads(texts[0])
        except ValueError as error:
            raise InvalidValueError(f"expected a JSON array, since it starts with `[`: {error}") from None
        value = [_item_from_data(kind.base, item) for item in items]
    else:
        value = [_item_from_text(kind.base, text) for text in texts[0].split(",")] if texts[0] else []
    hold_to_constraints(parameter, value)
    return value


def value_from_data(parameter: Parameter, data: Any) -> Any:
    """The value of a default, of an entry in a parameters file, or of a Python object.

    Raises ``InvalidValueError``.
    """
    kind = parameter.value_type
    if data is None:
        if kind.optional:
            return None
        if kind.base != "json" or kind.is_list:
            raise InvalidValueError(f"expected {_expected(kind.base)}; found null (a type `{kind}?` would allow it)")
    if kind.is_list:
        if not isinstance(data, (list, tuple)):
            raise InvalidValueError(f"expected a list; found {_shown(kind.base, data)}")
        value: Any = [_item_from_data(kind.base, item) for item in data]
    else:
        value = _item_from_data(kind.base, data)
    hold_to_constraints(parameter, value)
    return value


def hold_to_constraints(parameter: Parameter, value: Any) -> None:
    """Raise ``InvalidValueError`` when a typed value breaks one of its parameter's constraints."""
    kind = parameter.value_type
    if value is None:
        return
    try:
        os.fsencode(text_of(value))
    except UnicodeEncodeError:
        raise InvalidValueError("expected a text that a command can take: this one holds half a character") from None
    measured = value if kind.is_list else str(value)
    noun = "item" if kind.is_list else "character"
    found = "another number" if kind.base == "secret" else len(measured)
    if parameter.min_length is not None and len(measured) < parameter.min_length:
        raise InvalidValueError(f"expected at least {parameter.min_length} {noun}(s); found {found}")
    if parameter.max_length is not None and len(measured) > parameter.max_length:
        raise InvalidValueError(f"expected at most {parameter.max_length} {noun}(s); found {found}")
    for item in value if kind.is_list else [value]:
        _hold_item(parameter, item)


def _hold_item(parameter: Parameter, item: Any) -> None:
    base = parameter.value_type.base
    shown = _shown(base, item)
    if parameter.choices is not None:
        allowed = [_item_from_data(base, choice) for choice in parameter.choices if choice is not None]
        if not any(type(item) is type(choice) and item == choice for choice in allowed):
            listed = ", ".join(one_line(text_of(choice)) for choice in allowed)
            raise InvalidValueError(f"expected one of {listed}; found {shown}")
    for bound, name in ((parameter.min, "at least"), (parameter.max, "at most")):
        if bound is None:
            continue
        limit, measured = _comparable(base, _item_from_data(base, bound)), _comparable(base, item)
        fits = measured >= limit if name == "at least" else measured <= limit
        if not fits:
            raise InvalidValueError(f"expected {name} {one_line(bound)}; found {shown}")
    if parameter.pattern is not None and not _matches(parameter.pattern, str(item)):
        raise InvalidValueError(f"expected a text that matches `{one_line(parameter.pattern)}`; found {shown}")


def _matches(pattern: str, text: str) -> bool:
    from mlproj.regexes import TooSlowError, matches

    try:
        return matches(pattern, text)
    except TooSlowError:
        shown = one_line(pattern)
        raise InvalidValueError(f"expected a text that `{shown}` can be told to match: it takes too long") from None


def _comparable(base: str, item: Any) -> Any:
    if base != "date":
        return item
    moment = datetime.fromisoformat(item)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _item_from_text(base: str, text: str) -> Any:
    if "\x00" in text:
        raise InvalidValueError("expected a text without a NUL character")
    if base in ("str", "secret"):
        return text
    if base in ("path", "uri"):
        if not text:
            raise InvalidValueError(f"expected {_expected(base)}; found an empty text")
        return text
    if base == "int" and _INT.fullmatch(text):
        if len(text) >= _LONGEST_INT:
            raise InvalidValueError(f"expected a whole number of fewer than {_LONGEST_INT} digits")
        return int(text)
    if base == "float" and _FLOAT.fullmatch(text):
        return float(text)
    if base == "bool" and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if base == "date" and (moment := _date(text)) is not None:
        return moment
    if base == "json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidValueError(f"expected JSON: {error}; found {_shown(base, text)}") from None
    raise InvalidValueError(f"expected {_expected(base)}; found {_shown(base, text)}")


def _item_from_data(base: str, data: Any) -> Any:
    if base == "json":
        return data
    if base in ("int", "float") and isinstance(data, int) and not isinstance(data, bool):
        try:
            return data if base == "int" else float(data)
        except OverflowError:
            raise InvalidValueError("expected a number that fits a float") from None
    if base == "float" and isinstance(data, float):
        return data
    if base == "bool" and isinstance(data, bool):
        return data
    if base == "date" and isinstance(data, (date, datetime)):
        return data.isoformat()
    if isinstance(data, str) and base not in ("int", "float", "bool"):
        return _item_from_text(base, data)
    if isinstance(data, str) and base in ("int", "float") and _INT.fullmatch(data) and "_" in data:
        plain = data.replace("_", "")
        raise InvalidValueError(f"expected {_expected(base)}; `{data}` is a text in YAML 1.2: write {plain}")
    raise InvalidValueError(f"expected {_expected(base)}; found {_shown(base, data)}")


def _date(text: str) -> str | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text).isoformat()
        return datetime.fromisoformat(_padded_fraction(text.replace("Z", "+00:00"))).isoformat()
    except ValueError:
        return None


def _padded_fraction(text: str) -> str:
    """Python 3.10 reads fractions of a second of three or six digits only."""
    return re.sub(r"\.(\d+)", lambda match: "." + match[1].ljust(6, "0"), text)


def _expected(base: str) -> str:
    return _EXPECTED[base]


def _shown(base: str, value: Any) -> str:
    if base == "secret":
        return "another one (a secret is not shown)"
    if isinstance(value, str):
        text = one_line(value)
        return f"`{text if len(text) <= 80 else text[:77] + '…'}`" if text else "an empty text"
    if isinstance(value, (dict, list, tuple)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f"`{text_of(value)}`"


def text_of(value: Any) -> str:
    """A typed value as the text that a command gets: ``true``, ``0.1``, compact JSON for lists and mappings.

    Null is the empty text.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def is_url(text: str) -> bool:
    """Whether a text starts with a URI's scheme (of two letters or more: one letter is a Windows drive)."""
    return _URL.match(text) is not None
