"""Filters over what is not in the database: experiments, models, traces. The language is that of runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mlproj.errors import UsageError
from mlproj.runs.filter_text import Comparison, Group, Node, Not, parse_filter
from mlproj.tracking.gateway.errors import invalid

Sortable = TypeVar("Sortable", str, float)


@dataclass(frozen=True)
class Subject:
    """What a filter is asked of: attributes by their names, and names with a section before them."""

    attributes: Mapping[str, object]
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def matches(text: str, subject: Subject) -> bool:
    """Whether a filter means the subject. Raises ``MlflowError`` with the column of what is wrong."""
    try:
        node = parse_filter(text)
        return node is None or _holds(node, subject)
    except UsageError as error:
        raise invalid(f"Invalid filter: {error.message}") from None


def _holds(node: Node, subject: Subject) -> bool:
    if isinstance(node, Not):
        return not _holds(node.operand, subject)
    if isinstance(node, Group):
        results = (_holds(each, subject) for each in node.operands)
        return all(results) if node.word == "and" else any(results)
    return _compared(node, subject)


def _compared(node: Comparison, subject: Subject) -> bool:
    section = node.key.section.rstrip("s").lower()
    known: Mapping[str, object]
    if section == "tag":
        known = subject.tags
    elif section in ("param", "parameter"):
        known = subject.params
    elif section == "metric":
        known = subject.metrics
    else:
        known = subject.attributes
        if node.key.name not in known:
            names = ", ".join(sorted(known))
            raise UsageError(f"`{node.key.name}` cannot be compared here; there are {names}, and tags")
    if node.key.name not in known:
        return False
    if node.operator == "has":
        return True
    value, wanted = known[node.key.name], [each.value for each in node.values]
    return _is(node.operator, value, wanted)


def _is(operator: str, value: object, wanted: list[str]) -> bool:
    text = str(value)
    if operator in ("in", "not in"):
        return (text in wanted) == (operator == "in")
    if operator.endswith("like"):
        flags = re.IGNORECASE if "ilike" in operator else 0
        pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in wanted[0])
        return bool(re.fullmatch(pattern, text, flags | re.DOTALL)) != operator.startswith("not")
    try:
        left, right = float(text), float(wanted[0])
    except ValueError:
        return _ordered(operator, text, wanted[0])
    return _ordered(operator, left, right)


def _ordered(operator: str, left: Sortable, right: Sortable) -> bool:
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]
