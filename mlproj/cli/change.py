"""``mlproj tag``, ``stop``, ``delete``, ``restore`` and ``gc``: what changes stored runs."""

from __future__ import annotations

import click

from mlproj.cli.console import out, out_json
from mlproj.cli.options import as_json, assignments, complete_run, open_store, seconds_option
from mlproj.files import human_size
from mlproj.text import plural, printable

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=_SETTINGS)
@click.argument("run", shell_complete=complete_run)
@click.argument("tags", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--remove", "removed", multiple=True, metavar="NAME", help="Remove a tag; repeatable.")
@as_json
def tag(run: str, tags: tuple[str, ...], removed: tuple[str, ...], as_json: bool) -> int:
    """Set and remove a run's tags; without any, print them.

    \b
    Examples:
      mlproj tag @last stage=candidate
      mlproj tag 0193 --remove stage
    """
    from mlproj.api.request import check_labels
    from mlproj.runs.experiments import DEFAULT_EXPERIMENT
    from mlproj.runs.find import find
    from mlproj.runs.store import load
    from mlproj.runs.tags import change_tags

    store = open_store()
    record = find(store, run)
    if tags or removed:
        given = assignments(tags, "tag")
        check_labels(record.name, record.experiment or DEFAULT_EXPERIMENT, given)
        change_tags(store, record.id, given, removed)
        record = load(store, record.id)
    if as_json:
        out_json(record.tags)
        return 0
    for name, value in record.tags.items():
        out(printable(f"{name}={value}"))
    return 0


@click.command(context_settings=_SETTINGS)
@click.argument("run", shell_complete=complete_run)
@click.option("--wait", "patience", default="60s", metavar="TIME", help="How long to wait for its end.  [default: 60s]")
def stop(run: str, patience: str) -> int:
    """Stop a running run: its command is asked to end, and killed after its grace period.

    \b
    Examples:
      mlproj stop @last
    """
    from mlproj.api.stop import stop_run
    from mlproj.runs.find import find

    store = open_store()
    record = stop_run(store, find(store, run), seconds_option(patience, "--wait") or 60.0)
    out(f"{record.id[:12]} is {record.status}")
    return 0


@click.command(context_settings=_SETTINGS)
@click.argument("runs", nargs=-1, required=True, shell_complete=complete_run)
def delete(runs: tuple[str, ...]) -> int:
    """Move runs to the trash, with all their files. `restore` takes them out, `gc` removes them for good.

    \b
    Examples:
      mlproj delete 0193 01938
    """
    from mlproj.runs import trash
    from mlproj.runs.find import find

    store = open_store()
    for record in {each.id: each for each in (find(store, name) for name in runs)}.values():
        trash.delete(store, record.id)
        out(f"{record.id[:12]} is in the trash")
    return 0


@click.command(context_settings=_SETTINGS)
@click.argument("runs", nargs=-1, required=True)
def restore(runs: tuple[str, ...]) -> int:
    """Take runs out of the trash.

    \b
    Examples:
      mlproj restore 0193
    """
    from mlproj.runs import trash
    from mlproj.runs.find import find

    store = open_store()
    for record in {each.id: each for each in (find(store, name, trashed=True) for name in runs)}.values():
        trash.restore(store, record.id)
        out(f"{record.id[:12]} is back")
    return 0


@click.command(context_settings=_SETTINGS)
@click.option("--older-than", metavar="TIME", help="Only what has been in the trash for so long: `30d`.")
@as_json
def gc(older_than: str | None, as_json: bool) -> int:
    """Remove for good what is in the trash, and what runs that died at their beginning left.

    \b
    Examples:
      mlproj gc --older-than 30d
    """
    from mlproj.runs import trash

    freed = trash.gc(open_store(), seconds_option(older_than, "--older-than") or 0.0)
    if as_json:
        out_json({"runs": freed.runs, "bytes": freed.bytes})
        return 0
    out(f"removed {plural(freed.runs, 'run')}, {human_size(freed.bytes)}")
    return 0
