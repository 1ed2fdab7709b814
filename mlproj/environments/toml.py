"""Reading TOML on every supported Python, and writing it in the one shape that locks have."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import date, time
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def parse_toml(text: str) -> dict[str, Any]:
    """The document that a TOML text holds. Raises ``ValueError`` with the place when it is none."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    document: dict[str, Any] = tomllib.loads(text)
    return document


def dump_toml(document: Mapping[str, Any]) -> str:
    """A TOML text of ``document``: its plain values, its lists of tables a block each, then its tables."""
    return "\n".join(_blocks(document, ())).strip("\n") + "\n"


def _blocks(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(key)} = {_value(item, 0)}" for key, item in table.items() if not _is_block(item, path)]
    for key, item in table.items():
        heading = ".".join(_key(part) for part in (*path, key))
        if isinstance(item, Mapping) and _is_block(item, path):
            inner = _blocks(item, (*path, key))
            # A table that only holds tables needs no heading of its own.
            if any(not _is_block(value, (*path, key)) for value in item.values()):
                inner = ["", f"[{heading}]", *inner]
            lines += inner
        elif _is_block(item, path):
            for entry in item:
                lines += ["", f"[[{heading}]]"]
                lines += [f"{_key(name)} = {_value(value, 0)}" for name, value in entry.items()]
    return lines


def _is_block(item: Any, path: tuple[str, ...]) -> bool:
    if isinstance(item, Mapping):
        return True
    return (
        not path
        and isinstance(item, list)
        and bool(item)
        and all(isinstance(entry, Mapping) for entry in item)
    )


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, depth: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (date, time)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item, depth + 1)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        items = [_value(item, depth + 1) for item in value]
        # One item a line at the outside, so that a lock's history reads line by line. Not within a table
        # written in one line, where TOML 1.0 allows no line break.
        if len(items) > 1 and depth == 0:
            return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
        return f"[{', '.join(items)}]"
    raise TypeError(f"no TOML form for {type(value).__name__}")
