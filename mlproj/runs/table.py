"""The runs as a table: a page of those that a filter means, and what stands in its columns, from the database alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlproj.runs.database import explained
from mlproj.runs.filter_sql import ATTRIBUTES, Sql, compile_filter, compile_order, resolve_key
from mlproj.runs.filter_text import parse_order
from mlproj.runs.store import Store

SECTIONS = ("params", "metrics", "tags")
_LOOKED_AT = 2000
_MOST_SPREAD = 10_000
_ROW = ", ".join(f"runs.{attribute.column}" for attribute in ATTRIBUTES.values())


@dataclass(frozen=True, order=True)
class Column:
    """What a column shows: an attribute (``section`` is empty), a parameter, a metric, a tag, or a metric's curve."""

    section: str
    name: str

    @property
    def key(self) -> str:
        """The column as one text: ``metrics.rmse``, ``curve.loss``, ``status``."""
        return f"{self.section}.{self.name}" if self.section else self.name


@dataclass(frozen=True)
class Selection:
    """Which runs are meant, and in which order: a filter and an order as the command line takes them.

    ``experiment`` and ``project`` narrow it, where they are not ``None``; ``trashed`` means the trash instead.
    """

    filter_text: str = ""
    order_by: str = ""
    experiment: str | None = None
    project: str | None = None
    trashed: bool = False


@dataclass(frozen=True)
class TableRun:
    """A run as the database knows it: its number there, its attributes by the names of the filter language."""

    number: int
    id: str
    attributes: dict[str, object]


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: a text, and the number that it is, where it is one."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Group:
    """Runs that agree in the value of a key; ``value`` is ``None`` for those without one."""

    value: str | None
    runs: int


@dataclass(frozen=True)
class Spread:
    """The mean, lowest and highest of a metric over runs, NaN left out."""

    mean: float
    lowest: float
    highest: float
    runs: int


def column_of(key: str) -> Column | None:
    """The column that a key such as ``metrics.rmse`` means, or ``None`` when it is none."""
    if key in ATTRIBUTES:
        return Column("", key)
    section, _, name = key.partition(".")
    return Column(section, name) if name and section in (*SECTIONS, "curve") else None


def count_runs(store: Store, selection: Selection) -> int:
    """How many runs are meant. Raises UsageError with the column of what is wrong in the filter, StoreError."""
    condition, values = _condition(selection)
    with explained(store.folder):
        statement = f"SELECT count(*) FROM runs {_scan(selection)} WHERE {condition}"  # noqa: S608  made of constants
        return int(store.connection.execute(statement, values).fetchone()[0])


def page_of_runs(store: Store, selection: Selection, first: int, most: int) -> list[TableRun]:
    """``most`` of the runs that are meant, from the ``first`` on, in the order asked for, else the newest first.

    Raises UsageError with the column of what is wrong in the filter or the order, StoreError.
    """
    with explained(store.folder):
        numbers = _numbers(store, selection, first, most)
        return _runs_numbered(store, numbers)


def _runs_numbered(store: Store, numbers: Sequence[int]) -> list[TableRun]:
    rows = store.connection.execute(
        f"SELECT runs.number, {_ROW} FROM runs WHERE runs.number IN ({_marks(numbers)})",  # noqa: S608  constants and marks
        numbers,
    )
    found = {row[0]: TableRun(row[0], row[1], dict(zip(ATTRIBUTES, row[1:]))) for row in rows}
    return [found[number] for number in numbers if number in found]


def _numbers(store: Store, selection: Selection, first: int, most: int) -> list[int]:
    keys = parse_order(selection.order_by) if selection.order_by.strip() else []
    # With a filter the order's index may have to be walked far for the few runs that it means.
    if len(keys) == 1 and not selection.filter_text.strip():
        section, name = resolve_key(selection.order_by, keys[0][0])
        if section in ("metrics", "params"):
            return _by_index(store, selection, section, name, "DESC" if keys[0][1] else "ASC", first, most)
    return _sorted(store, selection, first, most)


def _sorted(store: Store, selection: Selection, first: int, most: int, more: Sql = ("1", [])) -> list[int]:
    condition, values = _condition(selection)
    joins, terms, join_values = compile_order(selection.order_by) if selection.order_by.strip() else ("", "", [])
    order = f"{terms}, runs.id DESC" if terms else "runs.id DESC"
    # SQLite would find all runs of a status first and sort them, where the order has the first page at its beginning.
    along = _scan(selection) if terms else "INDEXED BY sqlite_autoindex_runs_1"
    statement = (
        f"SELECT runs.number FROM runs {along} {joins} WHERE {condition} AND {more[0]} "  # noqa: S608  what is put in is our own, and values are bound
        f"ORDER BY {order} LIMIT ? OFFSET ?"
    )
    rows = store.connection.execute(statement, [*join_values, *values, *more[1], most, first])
    return [int(row[0]) for row in rows]


def _scan(selection: Selection) -> str:
    # To look up each run by way of an index takes three times as long as to read them all from one end to the other.
    narrowed = selection.experiment is not None or selection.project is not None or selection.trashed
    return "NOT INDEXED" if (selection.filter_text.strip() or selection.order_by.strip()) and not narrowed else ""


def _by_index(
    store: Store, selection: Selection, section: str, name: str, direction: str, first: int, most: int
) -> list[int]:
    """A page in the order of one metric or parameter.

    The index has the runs with a number in their order, so that no more of them are looked at than are shown; those
    without one come after them, as `compile_order` has it.
    """
    condition, values = _condition(selection)
    number = "value" if section == "metrics" else "number"
    order = f"ordered.{number} {direction}" + (f", ordered.value {direction}" if section == "params" else "")
    # CROSS JOIN keeps SQLite from beginning with the table of runs.
    meant = (
        f"FROM {section} AS ordered CROSS JOIN runs ON runs.number = ordered.run "
        f"WHERE ordered.name = ? AND ordered.{number} IS NOT NULL AND {condition}"
    )
    statement = f"SELECT runs.number {meant} ORDER BY {order}, runs.id DESC LIMIT ? OFFSET ?"
    found = [int(row[0]) for row in store.connection.execute(statement, [name, *values, most, first])]
    if len(found) == most:
        return found
    statement = f"SELECT count(*) {meant}"
    known = store.connection.execute(statement, [name, *values]).fetchone()[0]
    without = (
        f"NOT EXISTS (SELECT 1 FROM {section} AS each WHERE each.run = runs.number AND each.name = ? "  # noqa: S608  what is put in is our own, and values are bound
        f"AND each.{number} IS NOT NULL)"
    )
    # Without the metric there is nothing more to order by; a parameter may have a text.
    rest_of = replace(selection, order_by="") if section == "metrics" else selection
    rest = _sorted(store, rest_of, max(0, first - known), most - len(found), (without, [name]))
    return [*found, *rest]


def _condition(selection: Selection) -> Sql:
    condition, values = compile_filter(selection.filter_text)
    parts = ["runs.deleted_at IS NOT NULL" if selection.trashed else "runs.deleted_at IS NULL"]
    chosen: list[object] = []
    for column, value in (("experiment", selection.experiment), ("project", selection.project)):
        if value is not None:
            parts.append(f"runs.{column} = ?")
            chosen.append(value)
    return " AND ".join([*parts, condition]), [*chosen, *values]


def names_of(store: Store, runs: Sequence[TableRun], section: str) -> list[str]:
    """The names of parameters, metrics or tags that any of the runs has, those of the first run first."""
    numbers = [run.number for run in runs]
    rows = _of_runs(store, f"SELECT run, name FROM {section} WHERE run IN ({_marks(numbers)})", numbers)  # noqa: S608  what is put in is our own, and values are bound
    place = {number: index for index, number in enumerate(numbers)}
    return list(dict.fromkeys(name for _, name in sorted(rows, key=lambda row: place[row[0]])))


def cells_of(store: Store, runs: Sequence[TableRun], columns: Iterable[Column]) -> dict[tuple[int, Column], Cell]:
    """What stands in the columns of parameters, metrics and tags, by the run's number and the column."""
    cells = {}
    numbers = [run.number for run in runs]
    by_section: dict[str, list[str]] = {}
    for column in columns:
        if column.section in SECTIONS:
            by_section.setdefault(column.section, []).append(column.name)
    for section, names in by_section.items():
        number = {"params": "number", "metrics": "value", "tags": "NULL"}[section]
        rows = _of_runs(
            store,
            f"SELECT run, name, value, {number} FROM {section} "  # noqa: S608  what is put in is our own, and values are bound
            f"WHERE run IN ({_marks(numbers)}) AND name IN ({_marks(names)})",
            [*numbers, *names],
        )
        for run, name, value, own in rows:
            text = ("nan" if value is None else f"{value:.6g}") if section == "metrics" else str(value)
            cells[run, Column(section, name)] = Cell(text, own)
    return cells


def constant_columns(store: Store, selection: Selection, columns: Sequence[Column]) -> set[Column]:
    """The columns in which all runs that are meant have the same, or nothing; of very many the newest are asked."""
    runs = page_of_runs(store, replace(selection, order_by=""), 0, _LOOKED_AT)
    cells = cells_of(store, runs, columns)
    constant = set()
    for column in columns:
        if column.section:
            found = {cell.text if (cell := cells.get((run.number, column))) else None for run in runs}
        else:
            found = {str(run.attributes[column.name]) for run in runs}
        if len(found) < 2 and column.section != "curve" and len(runs) > 1:
            constant.add(column)
    return constant


def tally(store: Store, attribute: str, *, trashed: bool = False) -> list[tuple[str, int]]:
    """How many runs each experiment, or each project, has, by name."""
    column = {"experiment": "experiment", "project": "project"}[attribute]
    where = "IS NOT NULL" if trashed else "IS NULL"
    statement = f"SELECT {column}, count(*) FROM runs WHERE deleted_at {where} GROUP BY {column} ORDER BY {column}"  # noqa: S608  what is put in is our own, and values are bound
    return [(str(name or ""), int(count)) for name, count in _of_runs(store, statement, [])]


def groups_of(store: Store, selection: Selection, key: Column, first: int, most: int) -> list[Group]:
    """The groups that the runs fall into by the value of an attribute, a parameter or a tag; the largest first."""
    value, join, join_values = _grouping(key)
    condition, values = _condition(selection)
    statement = (
        f"SELECT {value} AS grouped_by, count(*) FROM runs {join} WHERE {condition} "  # noqa: S608  what is put in is our own, and values are bound
        "GROUP BY grouped_by ORDER BY count(*) DESC, grouped_by LIMIT ? OFFSET ?"
    )
    rows = _of_runs(store, statement, [*join_values, *values, most, first])
    return [Group(None if row[0] is None else str(row[0]), row[1]) for row in rows]


def runs_of_group(
    store: Store, selection: Selection, key: Column, value: str | None, first: int, most: int
) -> list[TableRun]:
    """``most`` runs of a group from the ``first`` on, in the order asked for."""
    grouped, join, join_values = _grouping(key)
    inner = f"SELECT runs.number FROM runs {join} WHERE CAST({grouped} AS TEXT) IS ?"  # noqa: S608  what is put in is our own, and values are bound
    with explained(store.folder):
        more: Sql = (f"runs.number IN ({inner})", [*join_values, value])
        numbers = _sorted(store, selection, first, most, more)
        return _runs_numbered(store, numbers)


def spreads_of(
    store: Store, selection: Selection, key: Column, metrics: Sequence[str]
) -> dict[tuple[str | None, str], Spread]:
    """How metrics are spread within each group, by group and metric; of very many runs, in the newest."""
    value, join, join_values = _grouping(key)
    condition, values = _condition(selection)
    statement = f"""WITH newest AS (SELECT runs.number, {value} AS grouped_by FROM runs {join} WHERE {condition}
            ORDER BY runs.id DESC LIMIT {_MOST_SPREAD})
        SELECT newest.grouped_by, spread.name, avg(spread.value), min(spread.value), max(spread.value), count(*)
        FROM newest CROSS JOIN metrics AS spread ON spread.run = newest.number
        WHERE spread.name IN ({_marks(metrics)}) AND spread.value IS NOT NULL GROUP BY 1, 2"""  # noqa: S608  what is put in is our own, and values are bound
    rows = _of_runs(store, statement, [*join_values, *values, *metrics])
    return {(None if row[0] is None else str(row[0]), row[1]): Spread(*row[2:]) for row in rows}


def _grouping(key: Column) -> tuple[str, str, list[object]]:
    if key.section in ("params", "tags"):
        join = f"LEFT JOIN {key.section} AS grouped ON grouped.run = runs.number AND grouped.name = ?"
        return "grouped.value", join, [key.name]
    return f"runs.{ATTRIBUTES[key.name].column}", "", []


def sampled_curves(store: Store, runs: Sequence[TableRun], metric: str, most: int = 40) -> dict[int, list[float]]:
    """About ``most`` values of a metric along its steps, for each run by its number: enough for a sparkline.

    Of a long curve only the points at evenly spaced steps are looked up, so that it costs no more than a short one.
    """
    curves: dict[int, list[float]] = {}
    numbers = [run.number for run in runs]
    asked = f"SELECT run, points, step FROM metrics WHERE run IN ({_marks(numbers)}) AND name = ?"  # noqa: S608  what is put in is our own, and values are bound
    for number, points, last in _of_runs(store, asked, [*numbers, metric]):
        if points <= most * 4:
            statement = "SELECT value FROM metric_points WHERE run = ? AND name = ? ORDER BY step, rowid"
            rows = _of_runs(store, statement, [number, metric])
        else:
            statement = "SELECT step FROM metric_points WHERE run = ? AND name = ? ORDER BY step LIMIT 1"
            begin = _of_runs(store, statement, [number, metric])[0][0]
            statement = "SELECT value FROM metric_points WHERE run = ? AND name = ? AND step >= ? ORDER BY step LIMIT 1"
            steps = [begin + (last - begin) * index // (most - 1) for index in range(most)]
            rows = [row for step in steps for row in _of_runs(store, statement, [number, metric, step])]
        curves[number] = [math.nan if value is None else value for (value,) in rows]
    return curves


def _of_runs(store: Store, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    with explained(store.folder):
        return store.connection.execute(statement, values).fetchall()


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
