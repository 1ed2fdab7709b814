"""``mlproj compare``."""

from __future__ import annotations

from typing import Any

import click

from mlproj.cli.console import out, out_json, out_table
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.errors import UsageError
from mlproj.text import duration, one_line

_MOST = 50


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=complete_run)
@click.option("--plot", "metric", metavar="METRIC", help="Draw the runs' curves of this metric, one over another.")
@click.option("--x", "axis", type=click.Choice(["step", "time"]), default="step", help="Over what.  [default: step]")
@click.option("--log", "logarithmic", is_flag=True, help="A logarithmic scale.")
@as_json
def compare(runs: tuple[str, ...], metric: str | None, axis: Any, logarithmic: bool, as_json: bool) -> int:
    """Put runs side by side, a row each: the parameters that differ, and the metrics, the better ones marked.

    `mlproj diff` says all that differs, source and environment included.

    \b
    Examples:
      mlproj compare @last 0193 --plot loss
      mlproj compare 0193 01938 01939 --json
    """
    from mlproj.runs import compare as side_by_side
    from mlproj.runs.find import find
    from mlproj.runs.store import shown_id

    if not 2 <= len(runs) <= _MOST:
        raise UsageError(f"2 to {_MOST} runs can be compared; found {len(runs)}")
    store = open_store()
    records = [find(store, name) for name in runs]
    comparison = side_by_side.compare(records)
    if as_json:
        out_json(comparison.to_json())
        return 0
    ids = [shown_id(store, record.id) for record in records]
    if metric is not None:
        from mlproj.cli.curves import curve, draw, refuse_unknown

        refuse_unknown(metric, records)
        labels = [f"{shown} {record.name}".strip() for shown, record in zip(ids, records)]
        found = [curve(store, record, metric, axis, label) for record, label in zip(records, labels)]
        draw([each for each in found if each is not None], metric, axis, logarithmic=logarithmic)
        out()
    parameters = [row for row in comparison.parameters if not row.same]
    headings = ["id", "name", "status", "duration", *(row.name for row in (*parameters, *comparison.metrics))]
    columns = [[_text(value) for value in row.values] for row in parameters]
    columns += [_marked(row) for row in comparison.metrics]
    rows = [
        [shown, record.name, record.status, "" if record.duration_s is None else duration(record.duration_s)]
        + [column[index] for column in columns]
        for index, (shown, record) in enumerate(zip(ids, records))
    ]
    out_table(headings, rows, right=headings[3:])
    return 0


def _text(value: Any) -> str:
    from mlproj.parameters.values import text_of

    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else one_line(text_of(value))


def _marked(row: Any) -> list[str]:
    """A metric's values, a star at the best one where the metric's name tells which end that is."""
    from mlproj.runs.find import better_end

    numbers = [value for value in row.values if isinstance(value, (int, float)) and value == value]
    try:
        best = (min if better_end(row.name) == "min" else max)(numbers) if len(set(numbers)) > 1 else None
    except UsageError:
        best = None
    return [f"{_text(value)}{' *' if best is not None and value == best else ''}" for value in row.values]
