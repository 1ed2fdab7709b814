"""Assertions on one run, in the language of filters: whether they hold, and what the run has instead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mlproj.errors import UsageError
from mlproj.runs.database import explained
from mlproj.runs.filter_sql import ATTRIBUTES, compile_filter, compile_node, resolve_key
from mlproj.runs.filter_text import Comparison, Group, Node, Not, comparisons, parse_filter
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store
from mlproj.text import did_you_mean, one_line


def check_assertion(text: str) -> None:
    """Raise ``UsageError``, with the column of what is wrong, for what is no assertion."""
    if parse_filter(text) is None:
        raise UsageError(
            "the assertion is empty", hint="It is a filter such as `metrics.rmse < 60 and status = finished`."
        )
    compile_filter(text)


def holds(store: Store, record: RunRecord, text: str) -> bool:
    """Whether a run that has ended is as the assertion says.

    Unlike a filter, an assertion is a gate: a comparison with what the run does not have, or with a metric that is NaN,
    is neither true nor false, and so is its negation (SQL's logic of three values). Such an assertion does not hold,
    unless another part of it decides. ``has(…)`` and ``= nan`` ask for just that, and are always answered.

    Raises ``UsageError``, StoreError.
    """
    node = parse_filter(text)
    return node is None or _judged(store, record, text, node) is True


def _judged(store: Store, record: RunRecord, text: str, node: Node) -> bool | None:
    if isinstance(node, Not):
        judged = _judged(store, record, text, node.operand)
        return None if judged is None else not judged
    if isinstance(node, Group):
        decisive = node.word == "or"
        all_judged = [_judged(store, record, text, each) for each in _without_presence(node)]
        return decisive if decisive in all_judged else None if None in all_judged else not decisive
    if not _is_answered(store, record, text, node):
        return None
    return _is_true(store, record, text, node)


def _without_presence(group: Group) -> tuple[Node, ...]:
    """The operands of a group; of ``key not in (…)``, which is read as ``has(key) and not …``, only the second."""
    first, last = group.operands[0], group.operands[-1]
    if isinstance(first, Comparison) and isinstance(last, Not) and isinstance(last.operand, Comparison):
        return (last,) if first.key is last.operand.key else group.operands
    return group.operands


def _is_answered(store: Store, record: RunRecord, text: str, node: Comparison) -> bool:
    if node.operator == "has":
        return True
    if not _is_true(store, record, text, Comparison(node.key, "has", ())):
        return False
    section, name = resolve_key(text, node.key)
    if section != "metrics" or not math.isnan(record.metrics.get(name, 0.0)):
        return True
    return node.operator in ("=", "!=") and all(token.value.lower() == "nan" for token in node.values)


def _is_true(store: Store, record: RunRecord, text: str, node: Node) -> bool:
    condition, values = compile_node(text, node)
    with explained(store.folder):
        statement = f"SELECT 1 FROM runs WHERE runs.id = ? AND {condition}"  # noqa: S608  of the filter's compiler
        return store.connection.execute(statement, [record.id, *values]).fetchone() is not None


def found_instead(store: Store, record: RunRecord, text: str) -> str:
    """What a run has of what an assertion is about: ``metrics.rmse is 61.2``. Raises StoreError."""
    return "; ".join(dict.fromkeys(_found(store, record, text)))


def _found(store: Store, record: RunRecord, text: str) -> Iterator[str]:
    sections: dict[str, Any] = {"metrics": record.metrics, "params": record.parameters, "tags": record.tags}
    for comparison in comparisons(parse_filter(text)):
        section, name = resolve_key(text, comparison.key)
        if section:
            there = sections[section]
            shown = f"{section}.{one_line(name)}"
            near = did_you_mean(name, there)
            yield (
                f"{shown} is {_shown(there[name])}" if name in there else f"the run has no {shown}{near and f'.{near}'}"
            )
        else:
            statement = f"SELECT {ATTRIBUTES[name].column} FROM runs WHERE id = ?"  # noqa: S608  one of our columns
            with explained(store.folder):
                value = store.connection.execute(statement, (record.id,)).fetchone()[0]
            yield f"{name} is {_shown(value)}" if value is not None else f"it has no {name}"


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else one_line(value)
