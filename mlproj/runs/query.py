"""Searching the store: which runs a filter means, in which order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mlproj.errors import StoreError, UsageError
from mlproj.runs.database import explained
from mlproj.runs.filter_sql import compile_filter, compile_order, resolve_key
from mlproj.runs.filter_text import comparisons, parse_filter
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, load
from mlproj.text import did_you_mean, one_line, plural


@dataclass(frozen=True)
class Found:
    """The runs that a search found. ``unread`` says which had no readable record; ``hints``
    why there are none.
    """

    records: list[RunRecord]
    unread: list[str]
    hints: list[str]


def search_ids(
    store: Store,
    filter_text: str = "",
    order_by: str = "",
    limit: int | None = None,
    *,
    trashed: bool = False,
) -> list[str]:
    """The ids of the runs that a filter means, newest first unless ``order_by`` says otherwise.

    ``trashed`` searches the trash instead. Raises UsageError with the column of what is wrong, StoreError.
    """
    condition, values = compile_filter(filter_text)
    joins, terms, join_values = compile_order(order_by) if order_by.strip() else ("", "", [])
    where = "IS NOT NULL" if trashed else "IS NULL"
    order = f"{terms}, runs.id DESC" if terms else "runs.id DESC"
    statement = f"SELECT runs.id FROM runs {joins} WHERE runs.deleted_at {where} AND {condition} ORDER BY {order}"  # noqa: S608  what is put in is our own, and values are bound
    if limit is not None:
        statement += " LIMIT ?"
        values = [*values, max(0, min(limit, 1 << 60))]
    with explained(store.folder):
        return [str(row[0]) for row in store.connection.execute(statement, [*join_values, *values])]


def search(
    store: Store,
    filter_text: str = "",
    order_by: str = "",
    limit: int | None = None,
    *,
    trashed: bool = False,
) -> Found:
    """``search_ids`` with the records read; ``hints`` names keys of the filter that no run has."""
    records, unread = [], []
    for run_id in search_ids(store, filter_text, order_by, limit, trashed=trashed):
        try:
            records.append(load(store, run_id))
        except StoreError as error:
            unread.append(error.message)
    hints = [] if records else unknown_names(store, filter_text)
    return Found(records, unread, hints)


def children_of(store: Store, run_id: str) -> list[RunRecord]:
    """The runs that were begun within a run, oldest first. Raises StoreError."""
    statement = "SELECT id FROM runs WHERE parent = ? AND id != parent AND deleted_at IS NULL ORDER BY id"
    with explained(store.folder):
        ids = [str(row[0]) for row in store.connection.execute(statement, (run_id,))]
    return [load(store, each) for each in ids]


def nested_left_out(store: Store, record: RunRecord, taken: Collection[str] = ()) -> list[str]:
    """A sentence where runs that were begun within a run are not among the ids ``taken``. Raises StoreError."""
    left = [each for each in children_of(store, record.id) if each.id not in taken]
    if not left:
        return []
    return [
        f"{plural(len(left), 'nested run')} of {record.id[:12]} left out: each is a run of its own, named by its id"
    ]


def unknown_names(store: Store, filter_text: str) -> list[str]:
    """For each metric, parameter or tag in a filter that no run has: a sentence with the
    nearest that one has.
    """
    sentences = []
    for comparison in comparisons(parse_filter(filter_text)):
        section, name = resolve_key(filter_text, comparison.key)
        if section:
            known = known_names(store, section)
            if name not in known:
                near = did_you_mean(name, known)
                sentences.append(f"No run has `{section}.{one_line(name)}`.{near}")
    return list(dict.fromkeys(sentences))


def known_names(store: Store, section: str) -> list[str]:
    """All names of ``metrics``, ``params`` or ``tags`` in the store, in order."""
    if section not in ("metrics", "params", "tags"):
        raise UsageError(f"`{one_line(section)}` is none of metrics, params, tags")
    # From name to next name by the index: DISTINCT would read every row.
    statement = f"""WITH RECURSIVE names (name) AS (
        SELECT min(name) FROM {section} UNION ALL
        SELECT (SELECT min(name) FROM {section} WHERE name > names.name) FROM names
        WHERE names.name IS NOT NULL)
        SELECT name FROM names WHERE name IS NOT NULL"""  # noqa: S608  one of three constants
    with explained(store.folder):
        return [str(row[0]) for row in store.connection.execute(statement)]
