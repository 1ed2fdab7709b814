"""Metrics in a file that the run wrote (an output of ``kind: metrics``): JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlproj.runs.metric_lines import LONGEST_NAME, MetricPoint
from mlproj.text import one_line, plural

LARGEST_FILE = 64 << 20
DEEPEST = 20
_STEPS = ("step", "global_step", "epoch", "iteration", "iter", "round")


def read_metrics_file(path: Path) -> tuple[list[MetricPoint], list[str]]:
    """The numbers in a metrics file, and what is to be said about it; never an exception.

    JSON: numbers and booleans, nested names joined by dots (``{"test": {"rmse": 1}}`` is ``test.rmse``).
    JSON lines and CSV: a row is a step; its column ``step`` (or ``epoch``, ``iteration``, …) says which,
    else its place.
    """
    shown = one_line(path.name)
    try:
        if path.stat().st_size > LARGEST_FILE:
            return [], [f"{shown}: a metrics file of more than {LARGEST_FILE >> 20} MB is not read"]
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        return [], [f"{shown} cannot be read: {one_line(error.strerror or error)}"]
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _from_rows(csv_rows(text, "\t" if suffix == ".tsv" else ","), shown)
    if suffix not in (".jsonl", ".ndjson"):
        try:
            return _from_json(json.loads(text), shown)
        except RecursionError:
            return [], [f"{shown} is nested too deeply"]
        except ValueError as error:
            rows, bad = _json_lines(text)
            if not rows:
                return [], [f"{shown} is not JSON: {one_line(error)}"]
            return _with_bad(_from_rows(rows, shown), bad, shown)
    rows, bad = _json_lines(text)
    return _with_bad(_from_rows(rows, shown), bad, shown)


def _with_bad(result: tuple[list[MetricPoint], list[str]], bad: int, shown: str) -> tuple[list[MetricPoint], list[str]]:
    points, notes = result
    return points, [*notes, f"{shown}: {plural(bad, 'line')} could not be read"] if bad else notes


def _from_json(value: Any, shown: str) -> tuple[list[MetricPoint], list[str]]:
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return _from_rows(value, shown)
    points = [MetricPoint(name, number) for name, number in _numbers(value, "", 0)]
    return points, [] if points else [f"{shown} holds no numbers"]


def _json_lines(text: str) -> tuple[list[dict[str, Any]], int]:
    rows, bad = [], 0
    for line in text.splitlines():
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            bad += not isinstance(row, dict)
            rows += [row] if isinstance(row, dict) else []
    return rows, bad


def csv_rows(text: str, delimiter: str) -> Iterator[dict[str, Any]]:
    """The rows of a CSV text by its header, empty fields left out."""
    try:
        for row in csv.DictReader(text.splitlines(), delimiter=delimiter):
            yield {
                name.strip(): value for name, value in row.items() if name and isinstance(value, str) and value.strip()
            }
    except csv.Error:
        return


def _from_rows(rows: Iterable[Mapping[str, Any]], shown: str) -> tuple[list[MetricPoint], list[str]]:
    points = []
    for index, row in enumerate(rows):
        if isinstance(row.get("name"), str) and as_number(row.get("value")) is not None:
            row = {row["name"]: row["value"], **{key: row[key] for key in _STEPS if key in row}}
        key = next((key for key in row if key.lower() in _STEPS and as_number(row[key]) is not None), None)
        step = as_number(row[key]) if key is not None else None
        place = index if step is None or not step.is_integer() else int(step)
        numbers = _numbers({name: value for name, value in row.items() if name != key}, "", 0)
        points += [MetricPoint(name, number, place) for name, number in numbers]
    return points, [] if points else [f"{shown} holds no numbers"]


def _numbers(value: Any, name: str, depth: int) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        if depth < DEEPEST:
            for key, item in value.items():
                yield from _numbers(item, f"{name}.{key}" if name else str(key), depth + 1)
        return
    number = as_number(value)
    if number is not None and 0 < len(name) <= LONGEST_NAME:
        yield name, number


def as_number(value: Any) -> float | None:
    """The number that a value of a metrics file is, or is the text of; ``None`` for what is none."""
    if not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
