"""What the table of runs shows, and the address that says so: each of the two can be had from the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from mlproj.runs.table import Column, Selection, column_of

PAGE = 50
GROUPS = 20
_MOST_COLUMNS = 60
_LAST_PAGE = 10**9


@dataclass(frozen=True)
class TableState:
    """The table as its address says it. No ``columns``: those that tell the runs shown apart."""

    filter_text: str = ""
    order_by: str = ""
    experiment: str | None = None
    project: str | None = None
    trashed: bool = False
    columns: tuple[Column, ...] = ()
    pinned: tuple[Column, ...] = ()
    group: Column | None = None
    opened: tuple[str, ...] = ()
    hides_constant: bool = False
    page: int = 1

    @property
    def selection(self) -> Selection:
        """The runs that it is of."""
        return Selection(self.filter_text, self.order_by, self.experiment, self.project, self.trashed)

    @property
    def address(self) -> str:
        """Its address on this server."""
        pairs = [(name, value) for name, value in self.fields if value]
        return "/" + (f"?{urlencode(pairs)}" if pairs else "")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The fields of its address by name, those that are not set as empty texts."""
        return [
            ("q", self.filter_text),
            ("sort", self.order_by),
            ("experiment", self.experiment or ""),
            ("project", self.project or ""),
            ("trash", "1" if self.trashed else ""),
            *(("column", column.key) for column in self.columns),
            *(("pin", column.key) for column in self.pinned),
            ("group", self.group.key if self.group else ""),
            *(("open", value) for value in self.opened),
            ("constant", "hide" if self.hides_constant else ""),
            ("page", str(self.page) if self.page > 1 else ""),
        ]

    def but(self, **changes: Any) -> TableState:
        """The state with changes; another selection begins at its first page."""
        return replace(self, **{"page": 1, **changes})


def state_of(query: QueryParams) -> TableState:
    """The state that an address says. What it cannot say is as if it were not there."""
    group = column_of(query.get("group", ""))
    page = query.get("page", "1")
    return TableState(
        filter_text=query.get("q", "").strip(),
        order_by=query.get("sort", "").strip(),
        experiment=query.get("experiment") or None,
        project=query.get("project") or None,
        trashed=query.get("trash") == "1",
        columns=_columns(query.getlist("column")),
        pinned=_columns(query.getlist("pin")),
        group=group if group and group.section in ("", "params", "tags") else None,
        opened=tuple(dict.fromkeys(query.getlist("open"))),
        hides_constant=query.get("constant") == "hide",
        page=max(1, min(int(page), _LAST_PAGE)) if page.isascii() and page.isdigit() else 1,
    )


def _columns(keys: list[str]) -> tuple[Column, ...]:
    columns = dict.fromkeys(column for key in keys if (column := column_of(key)) is not None)
    return tuple(columns)[:_MOST_COLUMNS]


def order_text(column: Column) -> str:
    """A column as a key of the order and the filter: its name in quotes where it has to be."""
    if not column.section:
        return column.name
    section = "metrics" if column.section == "curve" else column.section
    plain = all(part.isidentifier() and part.isascii() for part in column.name.split("."))
    return f"{section}.{column.name}" if plain else f"{section}.{quoted(column.name)}"


def quoted(text: str) -> str:
    """A name or a value as the filter language has it in quotes."""
    return '"' + text.replace('"', '""') + '"'
