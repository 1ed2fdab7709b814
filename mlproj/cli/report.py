"""``mlproj report``."""

from __future__ import annotations

from pathlib import Path

import click

from mlproj.cli.console import out
from mlproj.cli.options import complete_run, open_store


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to: .md, .html or .txt; repeatable.  [default: Markdown, printed]",
)
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="As JUnit XML.")
@click.option("--baseline", metavar="RUN|FILE", help="A run, or a file with one, to put the metrics beside.")
def report(run: str, outputs: tuple[Path, ...], junit: Path | None, baseline: str | None) -> int:
    """Write a report on a recorded run: what ran, its metrics and parameters, environment, source and artifacts.

    \b
    Examples:
      mlproj report @last -o report.html
      mlproj report @last --baseline @best:rmse
    """
    from mlproj.api.acceptance import judge_acceptance, prepare_acceptance, with_baseline, write_reports
    from mlproj.reporting.markdown import to_markdown
    from mlproj.runs.find import find

    store = open_store()
    record = find(store, run)
    acceptance = with_baseline(
        store, prepare_acceptance((), baseline, (), outputs, junit), record.project, record.entry_point
    )
    written = judge_acceptance(store, record, acceptance)
    write_reports(written, acceptance)
    if not outputs and junit is None:
        out(to_markdown(written).rstrip("\n"))
    return 0
