"""``mlproj schema``."""

from __future__ import annotations

import click

from mlproj.cli.console import out
from mlproj.files import dump_json


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Choice(["manifest", "run"]))
def schema(what: str) -> int:
    """Print the JSON Schema of mlproj.yaml or of a run's record.

    \b
    Examples:
      mlproj schema manifest > mlproj.schema.json
      mlproj schema run
    """
    if what == "manifest":
        from mlproj.manifest.schema import manifest_schema

        out(dump_json(manifest_schema()).rstrip())
    else:
        from mlproj.runs.record import run_schema

        out(dump_json(run_schema()).rstrip())
    return 0
