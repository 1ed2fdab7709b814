"""The form of a run's ``metrics.jsonl``: what a line of it may say."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproj.runs.record import DatasetRecord, ModelRecord
from mlproj.runs.times import seconds_of

LONGEST_NAME = 250
LONGEST_TEXT = 100_000
LARGEST_STEP = (1 << 63) - 1
Mask = Callable[[str], str]
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric. Without a step it is the one after the metric's last;
    without a time it is now.
    """

    name: str
    value: float
    step: int | None = None
    at_ms: int | None = None


@dataclass(frozen=True)
class Logged:
    """What one line says. A tag of ``None`` is taken away.

    ``datasets`` and ``models`` are by what tells one from another.
    """

    points: list[MetricPoint] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    datasets: dict[str, DatasetRecord] = field(default_factory=dict)
    models: dict[str, ModelRecord] = field(default_factory=dict)


def append_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append JSON lines to a metrics file, in one write, so that writers at once do not
    mix. Raises OSError.
    """
    # Bare NaN and Infinity are Python's own form, and `parse_line` takes them.
    data = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines).encode()
    if not data:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data  # the last write was cut short by a full disk, or by the death of its writer
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def parse_line(line: bytes, mask: Mask | None = None) -> Logged:
    """What a line logs, the texts in it masked. Raises ValueError saying why it is not one of the forms below.

    ``{"name": n, "value": v, "step": s, "timestamp": t}``, ``{"metrics": {n: v, …}, "step": s}``,
    ``{"param": n, "value": v}``, ``{"params": {…}}``, ``{"tag": n, "value": v}``, ``{"tags": {…}}``. From MLflow
    clients also ``{"points": [[n, v, s, t], …]}`` with times in milliseconds, ``{"dataset": {…}}``, ``{"model": {…}}``.
    Step and timestamp (seconds or milliseconds since the epoch, or ISO 8601) may be left out. NaN and the infinities
    are taken bare, as Python writes them, and as strings.
    """
    try:
        mapping = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(mapping, dict):
        raise ValueError("not a JSON object")
    if b"\\ud" in line or b"\\uD" in line:
        # JSON can say half of a UTF-16 pair, which no other program can be told.
        mapping = masked_texts(mapping, lambda text: _HALVES.sub("\ufffd", text))
    if mask is not None:
        mapping = masked_line(mapping, mask)
    if "name" in mapping and "value" in mapping:
        step, at_ms = _step(mapping.get("step")), _milliseconds(mapping.get("timestamp"))
        return Logged(points=[MetricPoint(_name(mapping["name"]), _number(mapping["value"]), step, at_ms)])
    if "param" in mapping and "value" in mapping:
        return Logged(params={_name(mapping["param"]): _param(mapping["value"])})
    if "tag" in mapping and "value" in mapping:
        return Logged(tags={_name(mapping["tag"]): _tag(mapping["value"])})
    if isinstance(mapping.get("dataset"), dict):
        dataset = _dataset(mapping["dataset"])
        return Logged(datasets={f"{dataset.name}@{dataset.digest}": dataset})
    if isinstance(mapping.get("model"), dict):
        model = _model(mapping["model"])
        return Logged(models={model.id: model})
    if isinstance(mapping.get("points"), list):
        return Logged(points=[_point(each) for each in mapping["points"]])
    if not any(isinstance(mapping.get(key), dict) for key in ("metrics", "params", "tags")):
        raise ValueError("neither `name` and `value` nor `metrics`, `param`, `params`, `tag` or `tags`")
    metrics, params, tags = (mapping.get(key) or {} for key in ("metrics", "params", "tags"))
    step, at_ms = _step(mapping.get("step")), _milliseconds(mapping.get("timestamp"))
    return Logged(
        points=[MetricPoint(_name(name), _number(value), step, at_ms) for name, value in metrics.items()],
        params={_name(name): _param(value) for name, value in params.items()},
        tags={_name(name): _tag(value) for name, value in tags.items()},
    )


def masked_line(mapping: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """A line's mapping with its texts masked: what the line says by its keys, and its numbers, stay as they are."""
    # A metric's value is a number, also where it is written as text.
    kept = {"value"} if "name" in mapping else set()
    return {key: value if key in kept else masked_texts(value, mask) for key, value in mapping.items()}


def masked_texts(value: Any, mask: Mask) -> Any:
    """JSON with all texts in it masked, names of mappings too."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [masked_texts(item, mask) for item in value]
    if isinstance(value, dict):
        return {mask(key): masked_texts(item, mask) for key, item in value.items()}
    return value


def _point(items: Any) -> MetricPoint:
    if not isinstance(items, list) or len(items) != 4:
        raise ValueError("a point that is not a list of name, value, step and time")
    name, value, step, at_ms = items
    if at_ms is not None and (not isinstance(at_ms, int) or abs(at_ms) > LARGEST_STEP):
        raise ValueError("a timestamp that is no point in time")
    return MetricPoint(_name(name), _number(value), _step(step), at_ms)


def _dataset(mapping: Mapping[str, Any]) -> DatasetRecord:
    tags = mapping.get("tags")
    return DatasetRecord(
        name=_name(mapping.get("name")),
        tags={str(name): str(value) for name, value in tags.items()} if isinstance(tags, dict) else {},
        **{
            key: str(mapping.get(key) or "")
            for key in ("digest", "context", "source_type", "source", "schema", "profile")
        },
    )


def _model(mapping: Mapping[str, Any]) -> ModelRecord:
    version, flavors = mapping.get("version"), mapping.get("flavors")
    return ModelRecord(
        id=_name(mapping.get("id")),
        name=str(mapping.get("name") or ""),
        path=str(mapping.get("path") or ""),
        version=None if version is None else str(version),
        step=_step(mapping.get("step")) or 0,
        flavors=[str(each) for each in flavors] if isinstance(flavors, list) else [],
    )


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError("a name that is not text")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a name of more than {LONGEST_NAME} characters")
    return name


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError) as error:
        raise ValueError("a value that is not a number") from error


def _step(step: Any) -> int | None:
    if step is None:
        return None
    if isinstance(step, float) and step.is_integer():
        step = int(step)
    if not isinstance(step, int) or abs(step) > LARGEST_STEP:
        raise ValueError("a step that is not a whole number")
    return int(step)


def _milliseconds(moment: Any) -> int | None:
    if moment is None:
        return None
    try:
        seconds = seconds_of(moment) if isinstance(moment, str) else float(moment)
        # Until the year 5138 a number of seconds is below 1e11, and a number of
        # milliseconds was above it in 1973.
        milliseconds = int(seconds if seconds > 1e11 else seconds * 1000)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("a timestamp that is no point in time") from error
    if abs(milliseconds) > LARGEST_STEP:
        raise ValueError("a timestamp that is no point in time")
    return milliseconds


def _param(value: Any) -> Any:
    if len(value if isinstance(value, str) else json.dumps(value)) > LONGEST_TEXT:
        raise ValueError(f"a value of more than {LONGEST_TEXT} characters")
    return value


def _tag(value: Any) -> str | None:
    if value is None:
        return None
    return str(_param(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
