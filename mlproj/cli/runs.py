"""``mlproj runs``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from mlproj.cli.console import out, out_json, table_of, terminal_height, terminal_width, warn
from mlproj.cli.options import as_json, open_store
from mlproj.cli.runs_table import RunsTable
from mlproj.errors import UsageError


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
@click.option(
    "--remote",
    default=None,
    metavar="NAME",
    help="List the runs on a remote, with `size` and `here`.",
)
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
      mlproj runs --remote lab --filter 'metrics.rmse < 60'
    """
    from mlproj.runs.query import search
    from mlproj.runs.record import to_json

    if remote is not None:
        from mlproj.cli.remotes import list_remote

        if trash or watch:
            option, reason = ("--trash", "a remote has none") if trash else ("--watch", "a remote is asked once")
            raise UsageError(f"{option} does not go with --remote: {reason}")
        return list_remote(remote, filter_text, order_by, limit or None, columns, as_json=as_json, as_csv=as_csv)
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
    shown = _shown(store, found.records, columns)
    if as_csv:
        shown.print_csv()
    elif found.records:
        shown.print()
    else:
        out(_none_found(filter_text))
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
            headings, rows, right = _shown(store, found.records, columns).cells(width)
            return table_of(headings, rows, width, right=right)[0]
        finally:
            store.connection.close()

    return show_live(draw, 1.0)


def _none_found(filter_text: str) -> str:
    return "no runs" + (" that match" if filter_text else " yet: `mlproj run` makes the first")


def _shown(store: Any, records: list[Any], columns: str | None) -> RunsTable:
    from mlproj.runs.metric_history import metric_history, sparkline
    from mlproj.runs.store import shown_id

    def curve(run_id: str, metric: str) -> str:
        return sparkline([point.value for point in metric_history(store, run_id, metric)])

    return RunsTable(records, columns, partial(shown_id, store), curve)
