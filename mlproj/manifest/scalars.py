"""What a plain YAML scalar stands for, by YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

PyYAML resolves by YAML 1.1, where `no` is false, `1e3` a text, `010` eight and `12:30` seven hundred and fifty.
"""

from __future__ import annotations

import re
from typing import Any

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MOST_DIGITS = 4000  # below the length at which Python refuses to read an int (sys.get_int_max_str_digits)

_CORE = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


def resolve_scalar(text: str, tag: str | None, *, plain: bool) -> Any:
    """The value of a scalar: ``plain`` when it stands without quotes and without a tag.

    Raises ``ValueError`` with what was expected for tags outside the core schema and for absurd numbers.
    """
    if tag in (None, "!") and not plain:
        return text
    if tag is None:
        return _core_value(text)
    if tag == _CORE + "str":
        return text
    value: Any = _core_value(text)
    expected = _TAGGED.get(tag.removeprefix(_CORE))
    if expected is None:
        raise ValueError(f"the tag `{tag}`: only plain values belong in a manifest, no tags")
    if not any(type(value) is kind for kind in expected):
        raise ValueError(f"`{text}` is no {tag.removeprefix(_CORE)}")
    return float(value) if tag == _CORE + "float" else value


def _core_value(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) or _BASED.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"a number of {len(text)} digits")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    if special:
        return float("nan") if special[3] else float(special[1] + "inf")
    return text
