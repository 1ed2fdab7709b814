"""The values in two files compared, each form of file with a tolerance for its numbers; JSON and CSV are read here."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.errors import UsageError
from mlproj.reproduction.arrays import arrays_differ
from mlproj.reproduction.differences import Step, UnreadableError, by_how_much
from mlproj.reproduction.images import images_differ
from mlproj.reproduction.rules import OutputRule, Tolerance, same_number
from mlproj.text import one_line, plural

_LARGEST_TEXT = 256 << 20
_MOST_TOLD = 3
_MOST_DIGITS = 4000  # more of them Python does not read (`sys.set_int_max_str_digits`)
_INTEGER = re.compile(r"[+-]?[1-9][0-9]*|0", re.ASCII)
_DECIMAL = re.compile(
    r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII
)
Values = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What differs between two files in words; ``allowed``: all of it is within the tolerance."""

    how: str
    allowed: bool


def needs_extra(how: str) -> str | None:
    """The package that a comparison needs and that is not installed beside mlproj, if there is one."""
    from importlib.util import find_spec

    wanted = {"numpy": ["numpy"], "image": ["numpy", "PIL"]}.get(how, [])
    return next((each for each in wanted if find_spec(each) is None), None)


def refuse_without_extra(how: str) -> None:
    """Raise ``UsageError`` when the package that a comparison needs is not installed."""
    if (missing := needs_extra(how)) is not None:
        raise UsageError(
            f"an output is compared as `{how}`, which needs the package {missing} where mlproj is installed",
            hint="`pip install 'mlproj[compare]'`",
        )


def differ(recorded: Path, again: Path, rule: OutputRule) -> Found | None:
    """What differs between two files that are not the same bytes; ``None`` when their values are the same.

    Raises ``UnreadableError`` when one of them is not of the form that ``rule`` names.
    """
    compared: dict[str, Callable[[Path, Path, OutputRule], Iterator[Step]]] = {
        "json": _json,
        "csv": _csv,
        "numpy": arrays_differ,
        "image": images_differ,
    }
    if rule.how not in compared:
        return Found("other bytes", allowed=False)
    steps = list(compared[rule.how](recorded, again, rule))
    if not steps:
        return None
    beyond = [each for each in steps if not each.allowed]
    told = beyond or steps
    shown = "; ".join(each.told for each in told[:_MOST_TOLD])
    more = f"; and {plural(len(told) - _MOST_TOLD, 'more place')}" if len(told) > _MOST_TOLD else ""
    return Found(f"{shown}{more}", not beyond)


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_TEXT:
        raise UnreadableError(f"it is larger than {_LARGEST_TEXT >> 20} MiB, too large to be compared by its values")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("it is not UTF-8") from None


def _json(recorded: Path, again: Path, rule: OutputRule) -> Iterator[Step]:
    values = [_json_values(path, rule.ignored) for path in (recorded, again)]
    yield from _by_name(values[0], values[1], rule.tolerance)


def _json_values(path: Path, ignored: tuple[str, ...]) -> Values:
    text = _text(path)
    if path.suffix.lower() in (".yaml", ".yml") or path.name == "MLmodel":
        return _yaml_values(text, ignored)
    try:
        return dict(_leaves(json.loads(text), "", ignored))
    except RecursionError:
        raise UnreadableError("it is nested too deeply") from None
    except ValueError as error:
        try:  # JSON lines
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise UnreadableError(f"it is not JSON: {one_line(error)}") from None
        return dict(_leaves(lines, "", ignored))


def _yaml_values(text: str, ignored: tuple[str, ...]) -> Values:
    import yaml

    try:
        return dict(_leaves(yaml.safe_load(text), "", ignored))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it is not YAML: {one_line(error)}") from None


def _leaves(value: Any, at: str, ignored: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            name = f"{at}.{key}" if at else str(key)
            if key not in ignored and name not in ignored:
                yield from _leaves(item, name, ignored)
        if not value:
            yield at, "{}"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{at}[{index}]", ignored)
        if not value:
            yield at, "[]"
    else:
        yield at, value


def _csv(recorded: Path, again: Path, rule: OutputRule) -> Iterator[Step]:
    tables = [_csv_values(path, rule.ignored) for path in (recorded, again)]
    yield from _by_name(tables[0], tables[1], rule.tolerance)


def _csv_values(path: Path, ignored: tuple[str, ...]) -> Values:
    text = _text(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UnreadableError(f"it is not CSV: {one_line(error)}") from None
    if not rows:
        return {}
    names = [name.strip() for name in rows[0]]
    values: Values = {f"column {index + 1}": name for index, name in enumerate(names) if name not in ignored}
    for number, row in enumerate(rows[1:], start=2):
        for index, cell in enumerate(row):
            name = names[index] if index < len(names) else str(index + 1)
            if name not in ignored:
                values[f"line {number}, {name}"] = _number_in(cell)
    return values


def _number_in(cell: str) -> float | int | str:
    """The number that a cell is; what only looks like one (`007`, `1_000`) is text, an integer as exact as it is."""
    text = cell.strip()
    if _INTEGER.fullmatch(text) and len(text) < _MOST_DIGITS:
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else cell


def _by_name(recorded: Values, again: Values, tolerance: Tolerance) -> Iterator[Step]:
    for name in {**recorded, **again}:
        shown = one_line(name or "the value")
        if name not in again:
            yield Step(f"{shown} is missing", allowed=False)
        elif name not in recorded:
            yield Step(f"{shown} is new", allowed=False)
        elif (told := _difference(recorded[name], again[name])) is not None:
            numbers = _is_number(recorded[name]) and _is_number(again[name])
            yield Step(f"{shown}: {told}", numbers and tolerance.allows(recorded[name], again[name]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _difference(recorded: Any, again: Any) -> str | None:
    if _is_number(recorded) and _is_number(again):
        try:
            return None if same_number(recorded, again) else by_how_much(recorded, again)
        except OverflowError:  # an integer beyond what a float holds
            return None if recorded == again else f"{_short(recorded)} → {_short(again)}"
    if type(recorded) is type(again) and recorded == again:
        return None
    return f"{_short(recorded)} → {_short(again)}"


def _short(value: Any) -> str:
    text = one_line(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 40 else text[:39] + "…"
