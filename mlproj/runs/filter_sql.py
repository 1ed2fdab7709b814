"""What a filter's keys and values mean, and its tree as SQL with every name and value as a
bound parameter.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import Literal

from mlproj.runs.filter_text import (
    Comparison,
    Group,
    Key,
    Node,
    Not,
    Token,
    parse_filter,
    parse_order,
    refuse,
)
from mlproj.runs.index import number_in
from mlproj.runs.record import STATUSES
from mlproj.runs.times import seconds_of, time_text
from mlproj.text import did_you_mean, one_line

Sql = tuple[str, list[object]]
_Kind = Literal["text", "number", "time", "seconds", "status", "flag"]


@dataclass(frozen=True)
class Attribute:
    """A column of the database that a filter and an order can name."""

    column: str
    kind: _Kind


ATTRIBUTES: dict[str, Attribute] = {
    "id": Attribute("id", "text"),
    "name": Attribute("name", "text"),
    "project": Attribute("project", "text"),
    "experiment": Attribute("experiment", "text"),
    "entry_point": Attribute("entry_point", "text"),
    "status": Attribute("status", "status"),
    "exit_status": Attribute("exit_status", "number"),
    "user": Attribute("user", "text"),
    "host": Attribute("host", "text"),
    "parent": Attribute("parent", "text"),
    "started_at": Attribute("started_at", "time"),
    "ended_at": Attribute("ended_at", "time"),
    "duration_s": Attribute("duration_s", "seconds"),
    "source.kind": Attribute("source_kind", "text"),
    "source.commit": Attribute("source_commit", "text"),
    "source.branch": Attribute("source_branch", "text"),
    "source.digest": Attribute("source_digest", "text"),
    "source.dirty": Attribute("source_dirty", "flag"),
    "environment.kind": Attribute("environment_kind", "text"),
    "environment.key": Attribute("environment_key", "text"),
    "resources.max_memory_bytes": Attribute("max_memory_bytes", "number"),
}
# MLflow's names for the same, and the short forms that people write.
_ALIASES = {
    "run_id": "id",
    "run_name": "name",
    "experiment_name": "experiment",
    "user_id": "user",
    "start_time": "started_at",
    "started": "started_at",
    "created": "started_at",
    "end_time": "ended_at",
    "ended": "ended_at",
    "duration": "duration_s",
    "commit": "source.commit",
    "branch": "source.branch",
}
_SECTIONS = {
    "metric": "metrics", "metrics": "metrics", "param": "params", "params": "params", "parameter": "params",
    "parameters": "params", "tag": "tags", "tags": "tags", "attribute": "", "attributes": "", "attr": "",
    "run": "",
}  # fmt: skip
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"([0-9.]+) ?(s|m|h|d|w|(?:sec|second|min|minute|hour|day|week)s?) ago", re.IGNORECASE)
_DURATION = re.compile(r"([0-9.]+) ?(s|m|h|d|w)", re.IGNORECASE)


def resolve_key(text: str, key: Key) -> tuple[str, str]:
    """The section (``metrics``, ``params``, ``tags`` or the empty one of attributes) and
    name that a key means.
    """
    section, name = key.section.lower(), key.name
    if _SECTIONS.get(section):
        return _SECTIONS[section], name
    whole = name if section in _SECTIONS or not section else f"{section}.{name}"
    whole = _ALIASES.get(whole.lower(), whole.lower())
    if whole in ATTRIBUTES:
        return "", whole
    if section and section not in _SECTIONS and not any(each.startswith(f"{section}.") for each in ATTRIBUTES):
        near = did_you_mean(section, ["metrics", "params", "tags", "attributes"])
        refuse(text, key.token, f"there is no `{one_line(key.section)}` of a run.{near}", _KEYS_HINT)
    shown, near = one_line(name), did_you_mean(whole, [*ATTRIBUTES, *_ALIASES]).strip()
    hint = near or f"For a metric write `metrics.{shown}`, for a parameter `params.{shown}`."
    return refuse(text, key.token, f"a run has no attribute `{one_line(whole)}`", hint)


_KEYS_HINT = "Keys are metrics.NAME, params.NAME, tags.NAME, and attributes such as status, name, started_at."


def compile_filter(text: str, now: float | None = None) -> Sql:
    """The SQL condition on the table ``runs`` that a filter means, with its parameters.

    ``now`` (seconds since the epoch) is what ages count from. Raises UsageError that names the column.
    """
    node = parse_filter(text)
    return ("1", []) if node is None else compile_node(text, node, now)


def compile_node(text: str, node: Node, now: float | None = None) -> Sql:
    """As ``compile_filter``, for a part of the tree of the filter ``text``."""
    return _condition(text, node, time.time() if now is None else now)


def _condition(text: str, node: Node, now: float) -> Sql:
    if isinstance(node, Not):
        condition, values = _condition(text, node.operand, now)
        return f"NOT coalesce({condition}, 0)", values
    if isinstance(node, Group):
        parts = [_condition(text, operand, now) for operand in node.operands]
        joined = f" {node.word.upper()} ".join(condition for condition, _ in parts)
        return f"({joined})", [value for _, values in parts for value in values]
    section, name = resolve_key(text, node.key)
    if section == "":
        return _on_attribute(text, node, ATTRIBUTES[name], now)
    name = _encodable(text, node.key.token, name)
    if section == "metrics":
        condition, values = _on_metric(text, node)
    else:
        condition, values = _on_text(text, node, "each.number" if section == "params" else None)
    # By the index of names and values: to look each run up would take twice as long.
    return f"runs.number IN (SELECT each.run FROM {section} AS each WHERE each.name = ? AND {condition})", [  # noqa: S608  what is put in is our own, and values are bound
        name,
        *values,
    ]


def _on_metric(text: str, node: Comparison) -> Sql:
    if node.operator == "has":
        return "1", []
    if node.operator in ("like", "ilike"):
        refuse(text, node.key.token, "a metric is a number, and `like` compares text")
    numbers = [_number(text, token) for token in node.values]
    if node.operator == "in":
        return f"each.value IN ({_marks(numbers)})", list(numbers)
    if math.isnan(numbers[0]) and node.operator in ("=", "!="):
        return f"each.value IS {'' if node.operator == '=' else 'NOT '}NULL", []
    return f"each.value {node.operator} ?", list(numbers)


def _on_text(text: str, node: Comparison, number_column: str | None) -> Sql:
    """A parameter or a tag: by number where both sides are one, else by text."""
    if node.operator == "has":
        return "1", []
    if node.operator in ("like", "ilike"):
        return _like("each.value", node.operator, _encodable(text, node.values[0], node.values[0].value))
    texts = [_encodable(text, token, token.value) for token in node.values]
    numbers = [number_in(value) for value in texts]
    if node.operator in ("<", "<=", ">", ">="):
        if numbers[0] is None:
            return f"each.value {node.operator} ?", [texts[0]]
        return f"{number_column or _TAG_NUMBER} {node.operator} ?", [numbers[0]]
    # Python writes True and None, the record true and null.
    texts += [value.lower() for value in texts if value in ("True", "False")]
    texts += ["null" for value in texts if value == "None"]
    texts += [other for value in texts if value.lower() == "nan" for other in ("NaN", "nan")]
    condition, values = f"each.value IN ({_marks(texts)})", list[object](texts)
    known = [number for number in numbers if number is not None]
    if known and number_column is not None:
        condition, values = f"({condition} OR {number_column} IN ({_marks(known)}))", [*values, *known]
        condition = f"coalesce({condition}, 0)"
    return (f"NOT {condition}", values) if node.operator == "!=" else (condition, values)


_TAG_NUMBER = (
    "CASE WHEN each.value GLOB '*[0-9]*' AND NOT each.value GLOB '*[^-+0-9.eE]*' THEN CAST(each.value AS REAL) END"
)


def _on_attribute(text: str, node: Comparison, attribute: Attribute, now: float) -> Sql:
    column = f"runs.{attribute.column}"
    if node.operator == "has":
        return f"({column} IS NOT NULL AND {column} != '')", []
    if node.operator in ("like", "ilike"):
        if attribute.kind not in ("text", "status"):
            refuse(text, node.key.token, "`like` compares text, and this is none")
        return _like(column, node.operator, _encodable(text, node.values[0], node.values[0].value))
    values = [_attribute_value(text, token, attribute.kind, now) for token in node.values]
    if node.operator == "in":
        return f"{column} IN ({_marks(values)})", values
    return f"{column} {node.operator} ?", values


def _attribute_value(text: str, token: Token, kind: _Kind, now: float) -> object:
    value = _encodable(text, token, token.value)
    if kind == "text":
        return value
    if kind == "status":
        if value.lower() not in STATUSES:
            near = did_you_mean(value, STATUSES).strip()
            refuse(text, token, f"`{one_line(value)}` is no status", near or f"One of {', '.join(STATUSES)}.")
        return value.lower()
    if kind == "flag":
        if value.lower() not in ("true", "false", "1", "0"):
            refuse(text, token, "true or false is expected here")
        return int(value.lower() in ("true", "1"))
    if kind == "time":
        return _moment(text, token, now)
    if kind == "seconds" and (match := _DURATION.fullmatch(value)):
        return _number(text, Token("word", match[1], token.column, token.end)) * _UNITS[match[2].lower()]
    return _number(text, token)


def _moment(text: str, token: Token, now: float) -> str:
    value = token.value.strip()
    try:
        if match := _AGE.fullmatch(value):
            return time_text(now - float(match[1]) * _UNITS[match[2][0].lower()])
        if value.lower() in ("today", "yesterday"):
            day = time.localtime(now)
            days = day.tm_mday - (value.lower() == "yesterday")
            return time_text(time.mktime((day.tm_year, day.tm_mon, days, 0, 0, 0, 0, 0, -1)))
        number = number_in(value)
        # MLflow's times are milliseconds since the epoch.
        return time_text(seconds_of(value) if number is None else number / 1000 if number > 1e11 else number)
    except (ValueError, OverflowError, OSError):
        hint = "Write 2026-11-21, 2026-11-21T10:30, `2h ago`, today or yesterday."
        refuse(text, token, f"`{one_line(value)}` is no point in time", hint)


def _number(text: str, token: Token) -> float:
    try:
        return float(token.value)
    except ValueError:
        refuse(text, token, f"a number is expected, not `{one_line(token.value)}`")


def _like(column: str, operator: str, pattern: str) -> Sql:
    # SQLite's own LIKE takes a for A; its GLOB does not, so a pattern that tells them
    # apart is written as one.
    if operator == "ilike":
        return f"{column} LIKE ?", [pattern]
    glob = re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", pattern)
    return f"{column} GLOB ?", [glob.replace("%", "*").replace("_", "?")]


def _marks(values: list[object] | list[str] | list[float]) -> str:
    return ", ".join("?" * len(values))


def _encodable(text: str, token: Token, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(text, token, "this is not text in UTF-8")
    return value


def compile_order(text: str) -> tuple[str, str, list[object]]:
    """An order such as ``metrics.rmse, params.alpha desc`` as SQL: joins, terms, and the joins' parameters.

    ``-metrics.rmse`` is ``metrics.rmse desc``. A run without the value comes last either way. Raises
    UsageError.
    """
    joins, terms, values = [], [], list[object]()
    for index, (key, descending) in enumerate(parse_order(text)):
        section, name = resolve_key(text, key)
        direction = "DESC" if descending else "ASC"
        if section == "":
            columns = [f"runs.{ATTRIBUTES[name].column}"]
        else:
            alias = f"ordered_{index}"
            joins.append(f"LEFT JOIN {section} AS {alias} ON {alias}.run = runs.number AND {alias}.name = ?")
            values.append(_encodable(text, key.token, name))
            columns = [f"{alias}.number"] if section == "params" else []
            columns.append(f"{alias}.value")
        terms += [f"{column} IS NULL, {column} {direction}" for column in columns]
    return " ".join(joins), ", ".join(terms), values
