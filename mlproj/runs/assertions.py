"""Assertions on one run, in the language of filters: whether they hold, and what the run has instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlproj.errors import UsageError
from mlproj.runs.database import explained
from mlproj.runs.filter_sql import ATTRIBUTES, compile_filter, resolve_key
from mlproj.runs.filter_text import comparisons, parse_filter
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


def holds(store: Store, run_id: str, text: str) -> bool:
    """Whether a run that has ended is one that the filter ``text`` means. Raises ``UsageError``, StoreError."""
    condition, values = compile_filter(text)
    with explained(store.folder):
        statement = f"SELECT 1 FROM runs WHERE runs.id = ? AND {condition}"  # noqa: S608  of the filter's compiler
        return store.connection.execute(statement, [run_id, *values]).fetchone() is not None


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
            yield f"{shown} is {_shown(there[name])}" if name in there else f"the run has no {shown}.{near}"
        else:
            statement = f"SELECT {ATTRIBUTES[name].column} FROM runs WHERE id = ?"  # noqa: S608  one of our columns
            with explained(store.folder):
                value = store.connection.execute(statement, (record.id,)).fetchone()[0]
            yield f"{name} is {_shown(value)}" if value is not None else f"it has no {name}"


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else one_line(value)
