"""``mlproj init``."""

from __future__ import annotations

import click

from mlproj.cli.console import out, say
from mlproj.cli.manifest_file import folder_here, refuse_to_replace, write_manifest
from mlproj.text import one_line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("named", default=".", metavar="[FOLDER]")
@click.option(
    "-e",
    "--entry-point",
    "entry_points",
    multiple=True,
    metavar="NAME=SCRIPT",
    help="An entry point and its script; repeatable.  [default: main, and a script such as train.py]",
)
@click.option("--force", is_flag=True, help="Replace a manifest that is there.")
def init(named: str, entry_points: tuple[str, ...], force: bool) -> int:
    """Write a first mlproj.yaml from what a folder holds.

    It looks for an environment.yml, a pyproject.toml, a requirements.txt, a Dockerfile, and scripts, whose argparse,
    click or typer options become parameters. No script is run.

    \b
    Examples:
      mlproj init
      mlproj init wine -e train=train.py -e score=score.py
    """
    from mlproj.api.first_manifest import draft_manifest
    from mlproj.manifest.finding import MANIFEST_NAME

    folder = folder_here(named)
    path = folder / MANIFEST_NAME
    refuse_to_replace(path, force=force)
    draft = draft_manifest(folder, entry_points)
    write_manifest(path, draft.text)
    made_from = f" from {', '.join(one_line(each) for each in draft.found)}" if draft.found else ""
    out(f"wrote {one_line(path)}{made_from}")
    say("`mlproj check` looks it over, `mlproj run` runs it.")
    return 0
