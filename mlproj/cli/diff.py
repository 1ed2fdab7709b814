"""``mlproj diff``."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from mlproj.cli.console import coloured, out, out_json
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.text import one_line

_DIGEST = re.compile(r"[0-9a-f]{32,64}")
_SECTIONS = ("run", "parameters", "metrics", "tags", "source", "environment", "packages", "inputs", "outputs")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help="What is the same as well.")
@as_json
def diff(runs: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Show what differs between runs: parameters, metrics, source, environment, inputs, outputs.

    With one run, it is compared with the newest other one.

    \b
    Examples:
      mlproj diff 0193 01938
      mlproj diff @best:rmse @last --json
    """
    from mlproj.runs.compare import compare
    from mlproj.runs.find import find
    from mlproj.runs.store import shown_id

    store = open_store()
    if len(runs) == 1:
        only = find(store, runs[0])
        last = find(store, "@last")
        runs = (runs[0], "@last~1" if last.id == only.id else "@last")
    records = [find(store, name) for name in runs]
    comparison = compare(records)
    if as_json:
        out_json(comparison.to_json())
        return 0
    ids = [shown_id(store, record.id) for record in records]
    shown = {section: _rows(getattr(comparison, section), everything=everything) for section in _SECTIONS}
    if not any(shown.values()):
        out("no difference")
        return 0
    cells = [row for rows in shown.values() for row in rows]
    widths = [max(len(each) for each in column) for column in zip(["", *ids, "change"], *cells)]
    out("  " + "  ".join(text.ljust(width) for text, width in zip(["", *ids, ""], widths)).rstrip())
    for section, rows in shown.items():
        if rows:
            out(coloured(section, sys.stdout, bold=True))
        for row in rows:
            out("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    return 0


def _rows(rows: list[Any], *, everything: bool) -> list[list[str]]:
    return [
        [one_line(row.name), *(_cell(value) for value in row.values), _change(row)]
        for row in rows
        if everything or not row.same
    ]


def _change(row: Any) -> str:
    return "" if row.delta is None or row.same else f"{row.delta:+.6g}"


def _cell(value: Any) -> str:
    from mlproj.parameters.values import text_of

    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else one_line(text_of(value))
    if _DIGEST.fullmatch(text):
        return text[:12]
    return text if len(text) <= 40 else text[:39] + "…"
