"""The types that a parameter can have, and the grammar of their names: ``T``, ``list[T]`` and ``T?``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlproj.text import did_you_mean

BASE_TYPES = ("str", "int", "float", "bool", "path", "uri", "json", "date", "secret")
_GRAMMAR = re.compile(r"\s*(?:list\s*\[\s*(?P<item>\w+)\s*\]|(?P<plain>\w+))\s*(?P<optional>\?)?\s*")


@dataclass(frozen=True)
class ValueType:
    """A parameter's type: a base, whether there are several of it, and whether ``null`` is a value."""

    base: str
    is_list: bool = False
    optional: bool = False

    def __str__(self) -> str:
        text = f"list[{self.base}]" if self.is_list else self.base
        return text + "?" if self.optional else text


def parse_type(text: str) -> ValueType:
    """Parse the text of a manifest's ``type``.

    Raises ``ValueError`` with what was expected when it is none.
    """
    match = _GRAMMAR.fullmatch(text)
    expected = f"one of {', '.join(BASE_TYPES)}, a `list[…]` of one, or either with a `?`"
    if match is None:
        raise ValueError(f"{expected}; found `{text}`")
    base = match["item"] or match["plain"]
    if base not in BASE_TYPES:
        aliases = {"string": "str", "integer": "int", "number": "float", "double": "float", "boolean": "bool"}
        near = f" Did you mean `{aliases[base]}`?" if base in aliases else did_you_mean(base, BASE_TYPES)
        raise ValueError(f"{expected}; found `{base}`.{near}")
    if base == "secret" and match["item"]:
        raise ValueError("a plain `secret`: a list of secrets is not supported")
    return ValueType(base, match["item"] is not None, match["optional"] is not None)
