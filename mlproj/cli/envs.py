"""``mlproj envs``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from mlproj.cli.console import out, out_json, out_table, warn
from mlproj.cli.options import as_json, seconds_option
from mlproj.files import human_size
from mlproj.runs.times import age_text, time_text
from mlproj.text import plural, printable

_MOST_PROJECTS = 2
_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.group(invoke_without_command=True, context_settings=_SETTINGS)
@as_json
@click.pass_context
def envs(ctx: click.Context, as_json: bool) -> int:
    """List and remove the environments that mlproj has built. Without a command: list them.

    \b
    Examples:
      mlproj envs
      mlproj envs prune --older-than 30d
      mlproj envs remove 3f9a
    """
    return 0 if ctx.invoked_subcommand else int(ctx.invoke(list_, as_json=as_json))


@envs.command("list", context_settings=_SETTINGS)
@as_json
def list_(as_json: bool = False) -> int:
    """List them, last used first: key, kind, size, last use."""
    from mlproj.environments import list_environments

    found = list_environments()
    if as_json:
        out_json(
            [
                {
                    "key": each.key,
                    "kind": each.kind,
                    "folder": str(each.folder),
                    "size": each.size,
                    "created_at": time_text(each.created_at),
                    "last_used_at": time_text(each.last_used_at),
                    "in_use": each.in_use,
                    "python": each.python,
                    "packages": each.packages,
                    "projects": list(each.projects),
                }
                for each in found
            ]
        )
        return 0
    now = time.time()
    rows = [
        [
            each.key[:12],
            each.kind,
            each.python or "",
            str(each.packages),
            human_size(each.size),
            "in use" if each.in_use else age_text(time_text(each.last_used_at), now),
            _projects(each.projects),
        ]
        for each in found
    ]
    out_table(
        ["key", "kind", "python", "packages", "size", "last used", "projects"],
        rows,
        right=["packages", "size"],
    )
    return 0


def _projects(folders: Sequence[str]) -> str:
    """The projects that are still there; the trees of fetched ones mostly are not."""
    there = [folder for folder in folders if Path(folder).is_dir()]
    shown = there[:_MOST_PROJECTS]
    more = len(folders) - len(shown)
    return ", ".join([*shown, *([f"{more} more" if shown else plural(more, "project")] if more else [])])


@envs.command(context_settings=_SETTINGS)
@click.argument("key")
def path(key: str) -> int:
    """Print the folder of the environment whose key begins with KEY."""
    from mlproj.environments import list_environments
    from mlproj.errors import UsageError

    found = [each for each in list_environments() if each.key.startswith(key)]
    if len(found) != 1:
        several = ", ".join(each.key[:12] for each in found)
        raise UsageError(f"several environments begin with `{key}`: {several}" if found else f"no environment `{key}`")
    out(str(found[0].folder))
    return 0


@envs.command(context_settings=_SETTINGS)
@click.argument("key")
def remove(key: str) -> int:
    """Remove the environment whose key begins with KEY."""
    from mlproj import environments

    removal = environments.remove(key)
    out(printable(f"removed {', '.join(each[:12] for each in removal.removed)}, {human_size(removal.freed)}"))
    return 0


@envs.command(context_settings=_SETTINGS)
@click.option("--older-than", metavar="TIME", help="Only those not used for so long: `30d`, `12h`.")
@as_json
def prune(older_than: str | None, as_json: bool) -> int:
    """Remove every environment that no run is using."""
    from mlproj import environments

    removal = environments.prune(seconds_option(older_than, "--older-than"))
    if as_json:
        failed = {"failed": dict(removal.failed)} if removal.failed else {}
        out_json({"removed": list(removal.removed), "freed": removal.freed, "in_use": list(removal.in_use), **failed})
        return 125 if removal.failed else 0
    kept = f"; kept {plural(len(removal.in_use), 'environment')} in use" if removal.in_use else ""
    out(f"removed {plural(len(removal.removed), 'environment')}, {human_size(removal.freed)}{kept}")
    for key, reason in removal.failed.items():
        warn(f"kept {key[:12]}: {reason}")
    return 125 if removal.failed else 0
