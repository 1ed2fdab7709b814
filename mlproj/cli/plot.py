"""``mlproj plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlproj.cli.console import out_json
from mlproj.cli.options import as_json, complete_run, open_store


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", shell_complete=complete_run)
@click.argument("metrics", nargs=-1, required=True, metavar="METRIC...")
@click.option("--x", "axis", type=click.Choice(["step", "time"]), default="step", help="Over what.  [default: step]")
@click.option("--log", "logarithmic", is_flag=True, help="A logarithmic scale.")
@click.option("--out", "path", type=click.Path(path_type=Path), help="Draw into this file: .png, .svg or .pdf.")
@as_json
def plot(run: str, metrics: tuple[str, ...], axis: Any, logarithmic: bool, path: Path | None, as_json: bool) -> int:
    """Draw metrics of a run as curves, on the terminal or into a file.

    RUN is the beginning of an id, a name, `@last`, `@best:METRIC`, `@min:METRIC` or `@max:METRIC`.

    \b
    Examples:
      mlproj plot @last loss val_loss
      mlproj plot @last loss --log --x time
      mlproj plot @last loss --out loss.svg
    """
    from mlproj.cli.curves import curve, draw, refuse_unknown, save
    from mlproj.runs.find import find

    store = open_store()
    record = find(store, run)
    for metric in metrics:
        refuse_unknown(metric, [record])
    curves = [each for metric in metrics if (each := curve(store, record, metric, axis, metric)) is not None]
    title = f"{record.name or record.project} {record.id[:12]}"
    if as_json:
        out_json([{"metric": each.label, axis: list(each.xs), "value": list(each.ys)} for each in curves])
    elif path is not None:
        save(curves, title, axis, path, logarithmic=logarithmic)
    else:
        draw(curves, title, axis, logarithmic=logarithmic)
    return 0
