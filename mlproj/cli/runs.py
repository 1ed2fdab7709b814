"""``mlproj runs``."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from mlproj.cli.console import out, out_json, out_table, table_of, terminal_height, terminal_width, warn
from mlproj.cli.options import as_json, open_store
from mlproj.errors import UsageError
from mlproj.text import did_you_mean, duration, one_line

_MOST_VALUE_COLUMNS = 4


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--filter", "filter_text", default="", metavar="EXPRESSION", help="Only the runs that this is true of.")
@click.option("--order-by", default="", metavar="KEYS", help="`metrics.rmse`, `params.alpha desc, -started_at`.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    metavar="N",
    help="At most so many; 0: all.  [default: 20]",
)
@click.option(
    "--columns",
    default=None,
    metavar="KEYS",
    help="The columns: `id,status,params.alpha,metrics.rmse,curve.loss`.",
)
@click.option("--trash", is_flag=True, help="List what is in the trash.")
@click.option("--remote", default=None, metavar="NAME", help="List the runs on a remote.")
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--watch", is_flag=True, help="Stay, and draw the table anew each second, until `q`.")
def runs(
    filter_text: str,
    order_by: str,
    limit: int,
    columns: str | None,
    trash: bool,
    remote: str | None,
    as_json: bool,
    as_csv: bool,
    watch: bool,
) -> int:
    """List the runs, newest first.

    The filter is MLflow's search syntax: `metrics.`, `params.`, `tags.` and attributes (status, entry_point, project,
    experiment, user, started_at, duration_s, …), compared with = != < <= > >= LIKE ILIKE IN, joined with and, or, not.

    \b
    Examples:
      mlproj runs --filter 'metrics.rmse < 60 and params.alpha = 0.1 and status = finished'
      mlproj runs --filter 'started_at > 2d ago' --order-by metrics.rmse
      mlproj runs --columns id,params.alpha,metrics.rmse,curve.loss
      mlproj runs --watch --filter 'status = running'
      mlproj runs --remote lab
    """
    from mlproj.runs.query import search
    from mlproj.runs.record import to_json

    if remote is not None:
        from mlproj.cli.remotes import list_remote

        if filter_text or order_by or columns or trash or as_csv or watch:
            raise UsageError("--remote goes with --limit and --json alone", hint="`mlproj pull` brings the runs here.")
        return list_remote(remote, limit or None, as_json=as_json)
    if watch:
        if as_json or as_csv:
            raise UsageError("--watch draws a table: it goes with neither --json nor --csv")
        return _watch(filter_text, order_by, limit or None, columns, trashed=trash)

    store = open_store()
    found = search(store, filter_text, order_by, limit or None, trashed=trash)
    for hint in (*found.unread, *found.hints):
        warn(hint)
    if as_json:
        out_json([to_json(record) for record in found.records])
        return 0
    keys = _columns(columns, found.records)
    if as_csv:
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([_csv_text(key) for key in keys])
        writer.writerows([_csv_text(_value(store, record, key)) for key in keys] for record in found.records)
        return 0
    if not found.records:
        out(_none_found(filter_text))
        return 0
    width = terminal_width() if columns is None and sys.stdout.isatty() else None
    headings, rows, right = _table(store, found.records, keys, width)
    out_table(headings, rows, right=right)
    return 0


def _watch(filter_text: str, order_by: str, limit: int | None, columns: str | None, *, trashed: bool) -> int:
    from rich.text import Text

    from mlproj.cli.screen import refuse_without_terminal, show_live
    from mlproj.runs.query import search

    refuse_without_terminal("--watch")

    def draw() -> Any:
        store = open_store()
        try:
            # More rows than the screen has would push the first of them out of it.
            most = max(1, terminal_height() - 2)
            found = search(store, filter_text, order_by, min(limit or most, most), trashed=trashed)
            if not found.records:
                return Text("\n".join([_none_found(filter_text), *found.hints]))
            width = terminal_width()
            keys = _columns(columns, found.records)
            headings, rows, right = _table(store, found.records, keys, width if columns is None else None)
            return table_of(headings, rows, width, right=right)[0]
        finally:
            store.connection.close()

    return show_live(draw, 1.0)


def _none_found(filter_text: str) -> str:
    return "no runs" + (" that match" if filter_text else " yet: `mlproj run` makes the first")


def _table(
    store: Any, records: list[Any], keys: list[str], width: int | None
) -> tuple[list[str], list[list[str]], list[str]]:
    """Headings, rows, and the headings of numbers; of the columns only what fits into ``width`` where it is given."""
    now = time.time()
    cells = {key: [_cell(store, record, key, now) for record in records] for key in keys}
    if width is not None:
        keys = _fitting(keys, cells, width)
    rows = [[cells[key][index] for key in keys] for index in range(len(records))]
    headings = [key.removeprefix("metrics.").removeprefix("params.") for key in keys]
    return headings, rows, [heading for heading, key in zip(headings, keys) if _is_number_column(key)]


def _csv_text(value: Any) -> str:
    """A value as the table shows it, in full; on a terminal without what could act on it."""
    from mlproj.parameters.values import text_of

    text = text_of(value)
    return one_line(text) if sys.stdout.isatty() else text.encode("utf-8", "backslashreplace").decode()


def _columns(text: str | None, records: list[Any]) -> list[str]:
    if text is not None:
        keys = [key.strip() for key in text.split(",")]
        for key in keys:
            section, _, name = key.partition(".")
            if not (name and section in ("metrics", "params", "tags", "curve", "source", "environment")) and (
                key not in _ATTRIBUTES
            ):
                near = did_you_mean(key, _ATTRIBUTES)
                known = ", ".join(_ATTRIBUTES)
                raise UsageError(
                    f"no column `{one_line(key)}`: there are {known}, metrics.NAME, params.NAME, tags.NAME and "
                    f"curve.METRIC.{near}"
                )
        return keys
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


_ATTRIBUTES = (
    "id", "name", "project", "experiment", "entry_point", "status", "exit_status", "user", "host", "started_at",
    "ended_at", "duration_s", "parent", "error",
)  # fmt: skip


def _is_number_column(key: str) -> bool:
    return key.startswith(("metrics.", "params.")) or key in ("duration_s", "exit_status")


def _value(store: Any, record: Any, key: str) -> Any:
    section, _, name = key.partition(".")
    if section == "metrics":
        return record.metrics.get(name)
    if section == "params":
        return record.parameters.get(name)
    if section == "tags":
        return record.tags.get(name)
    if section == "curve":
        from mlproj.runs.metric_history import metric_history, sparkline

        return sparkline([point.value for point in metric_history(store, record.id, name)])
    if section in ("source", "environment"):
        return getattr(getattr(record, section), name, None)
    return getattr(record, key)


def _cell(store: Any, record: Any, key: str, now: float) -> str:
    from mlproj.parameters.values import text_of
    from mlproj.runs.store import shown_id
    from mlproj.runs.times import age_text

    value = _value(store, record, key)
    if key == "id":
        return shown_id(store, record.id)
    if value is None:
        return ""
    if key in ("started_at", "ended_at"):
        return age_text(value, now)
    if key == "duration_s":
        return duration(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(text_of(value))
