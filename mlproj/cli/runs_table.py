"""The table of runs that ``mlproj runs`` prints, of a store or of a remote: its columns and cells."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlproj.cli.console import out_table, terminal_width
from mlproj.errors import UsageError
from mlproj.text import did_you_mean, duration, one_line

if TYPE_CHECKING:
    from mlproj.runs.record import RunRecord

_MOST_VALUE_COLUMNS = 4
_SECTIONS = ("metrics", "params", "tags", "source", "environment")
_ATTRIBUTES = (
    "id", "name", "project", "experiment", "entry_point", "status", "exit_status", "user", "host", "started_at",
    "ended_at", "duration_s", "parent", "error",
)  # fmt: skip


@dataclass(frozen=True)
class RunsTable:
    """Runs that are listed, with ``columns``, or else those that tell them apart.

    ``shown_id`` shortens an id. ``own`` are the columns that only this list has, by name, and what is in them.
    ``curve`` draws a metric of a run, where its history is to be had. Raises UsageError for an unknown column.
    """

    records: Sequence[RunRecord]
    columns: str | None
    shown_id: Callable[[str], str]
    curve: Callable[[str, str], str] | None = None
    own: dict[str, Callable[[RunRecord], str]] | None = None

    def __post_init__(self) -> None:
        self._keys()

    def print(self) -> None:
        """Print the table."""
        headings, rows, right = self.cells(terminal_width() if sys.stdout.isatty() else None)
        out_table(headings, rows, right=right)

    def print_csv(self) -> None:
        """Print the runs as CSV, each value in full."""
        import csv

        keys = self._keys()
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([_csv_text(key) for key in keys])
        writer.writerows([_csv_text(self._value(record, key)) for key in keys] for record in self.records)

    def cells(self, width: int | None) -> tuple[list[str], list[list[str]], list[str]]:
        """Headings, rows, and the headings of numbers; only what fits into ``width``, unless columns were asked for."""
        now = time.time()
        keys = self._keys()
        cells = {key: [self._cell(record, key, now) for record in self.records] for key in keys}
        if width is not None and self.columns is None:
            keys = _fitting(keys, cells, width)
        rows = [[cells[key][index] for key in keys] for index in range(len(self.records))]
        headings = [key.removeprefix("metrics.").removeprefix("params.") for key in keys]
        return headings, rows, [heading for heading, key in zip(headings, keys) if _is_number_column(key)]

    def _keys(self) -> list[str]:
        if self.columns is None:
            return [*_telling_columns(self.records), *(self.own or ())]
        attributes = (*_ATTRIBUTES, *(self.own or ()))
        keys = [key.strip() for key in self.columns.split(",")]
        for key in keys:
            section, _, name = key.partition(".")
            if section == "curve" and name and self.curve is None:
                hint = "`mlproj pull` brings the runs here."
                raise UsageError(f"no column `{one_line(key)}`: a remote's list has no curves", hint=hint)
            if not (name and section in (*_SECTIONS, "curve")) and key not in attributes:
                near = did_you_mean(key, attributes)
                sections = "metrics.NAME, params.NAME, tags.NAME and curve.METRIC"
                sections = sections if self.curve is not None else sections.replace(" and curve.METRIC", "")
                raise UsageError(f"no column `{one_line(key)}`: there are {', '.join(attributes)}, {sections}.{near}")
        return keys

    def _value(self, record: RunRecord, key: str) -> Any:
        section, _, name = key.partition(".")
        if self.own is not None and key in self.own:
            return self.own[key](record)
        if section == "metrics":
            return record.metrics.get(name)
        if section == "params":
            return record.parameters.get(name)
        if section == "tags":
            return record.tags.get(name)
        if section == "curve" and self.curve is not None:
            return self.curve(record.id, name)
        if section in ("source", "environment"):
            return getattr(getattr(record, section), name, None)
        return getattr(record, key)

    def _cell(self, record: RunRecord, key: str, now: float) -> str:
        from mlproj.parameters.values import text_of
        from mlproj.runs.times import age_text

        value = self._value(record, key)
        if key == "id":
            return self.shown_id(record.id)
        if value is None:
            return ""
        if key in ("started_at", "ended_at"):
            return age_text(value, now)
        if key == "duration_s":
            return duration(value)
        if isinstance(value, float):
            return f"{value:.6g}"
        return one_line(text_of(value))


def _telling_columns(records: Sequence[RunRecord]) -> list[str]:
    fixed = ["id", "project", "entry_point", "status", "started_at", "duration_s"]
    if any(record.name for record in records):
        fixed.insert(1, "name")
    params = dict.fromkeys(name for record in records for name in record.parameters)
    varying = [name for name in params if len({str(record.parameters.get(name)) for record in records}) > 1]
    metrics = dict.fromkeys(name for record in records for name in record.metrics)
    shown = [f"params.{name}" for name in varying[:_MOST_VALUE_COLUMNS]]
    return [*fixed, *shown, *(f"metrics.{name}" for name in list(metrics)[:_MOST_VALUE_COLUMNS])]


def _fitting(keys: list[str], cells: dict[str, list[str]], width: int) -> list[str]:
    """The columns that there is room for; what tells runs apart least is left out first."""
    kept = list(keys)
    expendable = ["duration_s", "project", "entry_point", *reversed([key for key in keys if "." in key])]
    while expendable and sum(min(16, max(map(len, (key, *cells[key])))) + 2 for key in kept) > width:
        first = expendable.pop(0)
        kept = [key for key in kept if key != first]
    return kept


def _is_number_column(key: str) -> bool:
    return key.startswith(("metrics.", "params.")) or key in ("duration_s", "exit_status", "size")


def _csv_text(value: Any) -> str:
    """A value as the table shows it, in full; on a terminal without what could act on it."""
    from mlproj.parameters.values import text_of

    text = text_of(value)
    return one_line(text) if sys.stdout.isatty() else text.encode("utf-8", "backslashreplace").decode()
