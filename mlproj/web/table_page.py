"""The page with the table of runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mlproj.errors import UsageError
from mlproj.runs import table
from mlproj.runs.query import known_names, unknown_names
from mlproj.runs.spark import spark_path
from mlproj.runs.store import Store, shown_id
from mlproj.runs.table import Cell, Column, Group, Spread, TableRun
from mlproj.web.pages import page
from mlproj.web.state import GROUPS, PAGE, TableState, order_text, quoted, state_of
from mlproj.web.stores import Site, reading

_MOST_OFFERED = 500
_MOST_IN_A_GROUP = 20
_BY_DEFAULT = ("started_at", "duration_s", "project", "entry_point")
_MOST_VALUE_COLUMNS = 5
_ATTRIBUTES = (
    "started_at", "duration_s", "project", "experiment", "entry_point", "user", "host", "exit_status", "ended_at",
    "parent", "source.branch", "source.commit", "source.dirty", "environment.kind", "environment.key",
    "resources.max_memory_bytes",
)  # fmt: skip
_LABELS = {
    "started_at": "Started", "ended_at": "Ended", "duration_s": "Took", "project": "Project",
    "experiment": "Experiment",
    "entry_point": "Entry point", "user": "User", "host": "Host", "exit_status": "Exit", "parent": "Parent",
    "source.branch": "Branch", "source.commit": "Commit", "source.dirty": "Changed", "environment.kind": "Environment",
    "environment.key": "Environment key", "resources.max_memory_bytes": "Memory",
}  # fmt: skip
_GROUPABLE = ("status", "project", "experiment", "entry_point", "user", "host", "source.branch", "source.commit")


@dataclass(frozen=True)
class Heading:
    """A column's heading: where its links lead, how it sorts now (``ascending``, ``descending`` or nothing)."""

    column: Column
    label: str
    sort_address: str
    sorted: str
    numeric: bool
    pinned: bool


@dataclass(frozen=True)
class RowOfTable:
    """A run's row; ``sparks`` are the curves' paths."""

    run: TableRun
    short: str
    cells: list[Cell | None]
    sparks: dict[str, str]


@dataclass(frozen=True)
class RowOfGroup:
    """A group's row: its runs when it is open, and where its links lead."""

    group: Group
    opened: bool
    toggle: str
    only: str
    spreads: list[Spread | None]
    rows: list[RowOfTable] = field(default_factory=list)


@dataclass(frozen=True)
class TableModel:
    """All that the table shows, so that two that are equal look the same."""

    total: int = 0
    everything: int = 0
    headings: list[Heading] = field(default_factory=list)
    rows: list[RowOfTable] = field(default_factory=list)
    groups: list[RowOfGroup] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    pages: int = 1
    problem: str | None = None
    hint: str | None = None
    column: int | None = None
    hints: list[str] = field(default_factory=list)


def runs_page(site: Site, request: Request) -> Response:
    """The table. A page that has the same already (its ``X-Seen`` says so) gets 204 instead."""
    state = state_of(request.query_params)
    with reading(site) as store:
        if store is None:
            return page(
                site, "runs.html", state=state, model=TableModel(), version="", title="Runs", **_side(None, state)
            )
        side = _side(store, state)
        everything = sum(count for _, count, _ in side["projects"])
        model, status = _guarded(store, state, everything)
        version = hashlib.sha256(repr((state, model)).encode()).hexdigest()[:16]
        if request.headers.get("x-seen") == version:
            return Response(status_code=204)
        offered = _offered(store, model)
        answer = page(
            site,
            "runs.html",
            status=status,
            state=state,
            model=model,
            version=version,
            title="Runs",
            offered=offered,
            groupable=[*_GROUPABLE, *(f"params.{name}" for name in offered["params"]), *_tag_keys(offered["tags"])],
            **side,
        )
        # A form sends its empty fields as well; the address shown has none of them.
        answer.headers["HX-Push-Url"] = state.address
        return answer


def _tag_keys(names: Sequence[str]) -> list[str]:
    return [f"tags.{name}" for name in names]


def _guarded(store: Store, state: TableState, everything: int) -> tuple[TableModel, int]:
    try:
        return _model(store, state, everything), 200
    except UsageError as error:
        found = re.match(r"column (\d+)", error.message)
        problem = TableModel(
            everything=everything,
            problem=error.message,
            hint=error.hint,
            column=int(found[1]) if found else None,
        )
        return problem, 400


def _side(store: Store | None, state: TableState) -> dict[str, Any]:
    def entries(attribute: str) -> list[tuple[str, int, str]]:
        if store is None:
            return []
        return [
            (name, count, state.but(**{attribute: name}, opened=()).address)
            for name, count in table.tally(store, attribute, trashed=state.trashed)
        ]

    return {"experiments": entries("experiment"), "projects": entries("project")}


def _offered(store: Store, model: TableModel) -> dict[str, list[str]]:
    names = {section: known_names(store, section)[:_MOST_OFFERED] for section in table.SECTIONS}
    return {"attributes": list(_ATTRIBUTES), **names, "shown": [each.column.key for each in model.headings]}


def _model(store: Store, state: TableState, everything: int) -> TableModel:
    narrowed = state.filter_text or state.experiment or state.project
    total = table.count_runs(store, state.selection) if narrowed else everything
    hints = unknown_names(store, state.filter_text) if not total and state.filter_text else []
    first_runs = table.page_of_runs(store, state.selection, (state.page - 1) * PAGE, PAGE)
    columns = list(state.columns) or _telling(store, first_runs)
    hidden: set[Column] = set()
    if state.hides_constant:
        hidden = table.constant_columns(store, state.selection, columns)
    pinned = [column for column in state.pinned if column in columns]
    shown = [*pinned, *(column for column in columns if column not in pinned and column not in hidden)]
    if state.group is not None:
        rows: list[RowOfTable] = []
        groups = _groups(store, state, state.group, shown)
        pages = state.page + (1 if len(groups) == GROUPS else 0)
    else:
        rows, groups = _rows(store, first_runs, shown), []
        pages = -(-total // PAGE)
    numeric = _numeric([*rows, *(row for group in groups for row in group.rows)], shown)
    headings = [_heading(state, column, column in numeric, column in pinned) for column in shown]
    return TableModel(
        total, everything, headings, rows, groups, sorted(column.key for column in hidden), max(1, pages), hints=hints
    )


def _telling(store: Store, runs: Sequence[TableRun]) -> list[Column]:
    """The columns by default: parameters that differ and metrics, of the runs shown."""
    attributes = [Column("", name) for name in _BY_DEFAULT]
    metrics = [Column("metrics", name) for name in table.names_of(store, runs, "metrics")]
    curves = [Column("curve", column.name) for column in metrics[:1]]
    params = [Column("params", name) for name in table.names_of(store, runs, "params")]
    cells = table.cells_of(store, runs, params)

    def differs(column: Column) -> bool:
        return len({cell.text if (cell := cells.get((run.number, column))) else None for run in runs}) > 1

    telling = [column for column in params if differs(column)][:_MOST_VALUE_COLUMNS]
    return [*attributes, *metrics[:_MOST_VALUE_COLUMNS], *curves, *telling]


def _heading(state: TableState, column: Column, numeric: bool, pinned: bool) -> Heading:
    key = order_text(column)
    # Up, then down, then as it was.
    following = {key: f"-{key}", f"-{key}": ""}.get(state.order_by, key)
    how = {key: "ascending", f"-{key}": "descending"}.get(state.order_by, "") if column.section != "curve" else ""
    label = {"curve": f"{column.name} ∿", "": _LABELS.get(column.name, column.name)}.get(column.section, column.name)
    return Heading(column, label, state.but(order_by=following).address, how, numeric, pinned)


def _numeric(rows: Sequence[RowOfTable], columns: Sequence[Column]) -> set[Column]:
    found = {Column("", "duration_s"), Column("", "exit_status"), Column("", "resources.max_memory_bytes")}
    for index, column in enumerate(columns):
        cells = [cell for row in rows if (cell := row.cells[index]) is not None]
        if column.section == "metrics" or (cells and all(cell.number is not None for cell in cells) and column.section):
            found.add(column)
    return found


def _rows(store: Store, runs: Sequence[TableRun], columns: Sequence[Column]) -> list[RowOfTable]:
    cells = table.cells_of(store, runs, columns)
    sparks: dict[int, dict[str, str]] = {run.number: {} for run in runs}
    for column in columns:
        if column.section == "curve":
            for number, values in table.sampled_curves(store, runs, column.name).items():
                sparks[number][column.name] = spark_path(values)
    return [
        RowOfTable(
            run, shown_id(store, run.id), [cells.get((run.number, column)) for column in columns], sparks[run.number]
        )
        for run in runs
    ]


def _groups(store: Store, state: TableState, key: Column, columns: Sequence[Column]) -> list[RowOfGroup]:
    metrics = [column.name for column in columns if column.section == "metrics"]
    spreads = table.spreads_of(store, state.selection, key, metrics)
    found = []
    for group in table.groups_of(store, state.selection, key, (state.page - 1) * GROUPS, GROUPS):
        mark = "" if group.value is None else f"={group.value}"
        opened = mark in state.opened
        others = tuple(each for each in state.opened if each != mark)
        toggled = replace(state, opened=others if opened else (*state.opened, mark))
        rows = []
        if opened:
            runs = table.runs_of_group(store, state.selection, key, group.value, 0, _MOST_IN_A_GROUP)
            rows = _rows(store, runs, columns)
        only = state.but(group=None, opened=(), filter_text=_narrowed(state.filter_text, key, group.value))
        own = [spreads.get((group.value, column.name)) if column.section == "metrics" else None for column in columns]
        found.append(RowOfGroup(group, opened, toggled.address, only.address, own, rows))
    return found


def _narrowed(filter_text: str, key: Column, value: str | None) -> str:
    own = f"not has({order_text(key)})" if value is None else f"{order_text(key)} = {quoted(value)}"
    if key.key == "source.dirty" and value is not None:
        own = f"source.dirty = {'true' if value == '1' else 'false'}"
    return f"({filter_text}) and {own}" if filter_text else own
