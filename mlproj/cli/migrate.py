"""``mlproj migrate``."""

from __future__ import annotations

import click

from mlproj.cli.console import out, say, warn
from mlproj.cli.manifest_file import folder_here, refuse_to_replace, write_manifest
from mlproj.text import one_line, printable


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("named", default=".", metavar="[FOLDER]")
@click.option("--force", is_flag=True, help="Replace an mlproj.yaml that is there.")
@click.option("--stdout", is_flag=True, help="Print it, and write nothing.")
def migrate(named: str, force: bool, stdout: bool) -> int:
    """Write the mlproj.yaml that does what a folder's MLproject does.

    The MLproject stays as it is; from then on the mlproj.yaml is the one that is read. Comments in it say what could be
    declared better, and what could not be carried over.

    \b
    Examples:
      mlproj migrate
      mlproj migrate wine --stdout
    """
    from mlproj.api.migration import migrate_project

    folder = folder_here(named)
    migration = migrate_project(folder)
    if stdout:
        out(printable(migration.text.rstrip("\n")))
    else:
        refuse_to_replace(migration.path, force=force)
        write_manifest(migration.path, migration.text)
        out(f"wrote {one_line(migration.path)}")
    for each in migration.left_out:
        warn(f"not carried over: {each}")
    if not stdout:
        say("`mlproj check` looks it over, `mlproj run` runs it.")
    return 0
