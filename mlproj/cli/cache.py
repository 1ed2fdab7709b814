"""``mlproj cache`` and ``mlproj ci-cache-key``: what a CI system keeps between its jobs, and by what key."""

from __future__ import annotations

import click

from mlproj.cli.console import out, out_json
from mlproj.cli.options import as_json


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """Say where what can be made again is kept: environments, downloads, repositories.

    \b
    Examples:
      mlproj cache dir
    """


@cache.command(name="dir")
def cache_dir() -> int:
    """Print the folder that a CI system keeps between its jobs."""
    from mlproj.locations import cache_folder

    out(str(cache_folder()))
    return 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("project", required=False, default=".", metavar="[PROJECT]")
@click.option("--restore", is_flag=True, help="The beginning of it, by which an older cache will do too.")
@as_json
def ci_cache_key(project: str, restore: bool, as_json: bool) -> int:
    """Print the key by which a CI system keeps the cache of a project's environments.

    It changes with the locks, the manifest's environments, the platform and Python's version.

    \b
    Examples:
      mlproj ci-cache-key
      mlproj ci-cache-key wine --restore
    """
    from mlproj.api.cache_key import cache_key

    key = cache_key(project)
    if as_json:
        out_json({"key": key.whole, "restore_key": key.beginning, "folder": key.folder})
    else:
        out(key.beginning if restore else key.whole)
    return 0
