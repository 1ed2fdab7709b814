"""``mlproj store``."""

from __future__ import annotations

import click

from mlproj.cli.console import complain, out
from mlproj.cli.options import open_store
from mlproj.locations import store_folder
from mlproj.text import plural, printable

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_SETTINGS)
def store() -> None:
    """Check, rebuild and locate the store of runs.

    \b
    Examples:
      mlproj store path
      mlproj store check
      mlproj store rebuild
    """


@store.command(context_settings=_SETTINGS)
def path() -> int:
    """Print the store's folder."""
    out(str(store_folder()))
    return 0


@store.command(context_settings=_SETTINGS)
def check() -> int:
    """Look for what is wrong with the store; the exit status is 1 when something is."""
    from mlproj.runs.upkeep import check as check_store

    problems = check_store(open_store())
    for problem in problems:
        out(printable(problem))
    if not problems:
        out("the store is sound")
    return 1 if problems else 0


@store.command(context_settings=_SETTINGS)
def rebuild() -> int:
    """Make the database anew from the runs' own folders; works when it is damaged or missing."""
    from mlproj.runs.upkeep import rebuild as rebuild_store

    count, problems = rebuild_store(store_folder())
    for problem in problems:
        complain(problem)
    out(f"the database holds {plural(count, 'run')}")
    return 1 if problems else 0
