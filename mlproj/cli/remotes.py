"""``mlproj remote``, ``push`` and ``pull``: runs that several stores share."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click

from mlproj.cli.console import complain, out, out_json, out_table, warn
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.cli.steps import steps
from mlproj.files import human_size
from mlproj.locations import store_folder
from mlproj.text import one_line, plural

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_SETTINGS)
def remote() -> None:
    """Name the places that runs are shared by: folders, s3://, gs://, az://, sftp://.

    Who you are is said by the storage's own variables and files, such as AWS_PROFILE; none of it is kept here.

    \b
    Examples:
      mlproj remote add lab s3://lab-runs/wine
      mlproj remote add disk /mnt/shared/runs
      mlproj remote list
    """


@remote.command(context_settings=_SETTINGS)
@click.argument("name")
@click.argument("url")
def add(name: str, url: str) -> int:
    """Note a remote: a folder, or a URL without credentials."""
    from mlproj.sharing.remotes import add_remote

    added = add_remote(store_folder(), name, url)
    out(f"{added.name} is {one_line(added.url)}")
    return 0


@remote.command("list", context_settings=_SETTINGS)
@as_json
def list_(as_json: bool) -> int:
    """List the remotes."""
    from mlproj.sharing.remotes import remotes_of

    remotes = remotes_of(store_folder()).values()
    if as_json:
        out_json([{"name": each.name, "url": each.url} for each in remotes])
    elif remotes:
        out_table(["name", "url"], [[each.name, each.url] for each in remotes])
    else:
        out("no remotes yet: `mlproj remote add NAME URL`")
    return 0


@remote.command(context_settings=_SETTINGS)
@click.argument("name")
def remove(name: str) -> int:
    """Forget a remote. What is on it stays."""
    from mlproj.sharing.remotes import remove_remote

    remove_remote(store_folder(), name)
    out(f"{name} is forgotten")
    return 0


@click.command(context_settings=_SETTINGS)
@click.argument("remote")
@click.argument("runs", nargs=-1, metavar="[RUN...]", shell_complete=complete_run)
@click.option("--force", is_flag=True, help="Send what is there already too, in place of what is damaged there.")
@as_json
def push(remote: str, runs: tuple[str, ...], force: bool, as_json: bool) -> int:
    """Send runs to a remote, by default all that finished: what `mlproj export` would put into a crate.

    Only what the remote lacks is sent. A push that was cut short is gone on with by the same command.

    \b
    Examples:
      mlproj push lab
      mlproj push lab @best:rmse
    """
    from mlproj.api.sharing import push_runs
    from mlproj.runs.find import find
    from mlproj.runs.query import nested_left_out, search_ids
    from mlproj.runs.store import load
    from mlproj.sharing.remotes import remote_named

    to = remote_named(store_folder(), remote)
    store = open_store()
    if runs:
        records = list({each.id: each for each in (find(store, name) for name in runs)}.values())
    else:
        records = [load(store, each) for each in sorted(search_ids(store, "status = finished"))]
    ids = {each.id for each in records}
    for record in records:
        for notice in nested_left_out(store, record, ids):
            warn(notice)
    with steps() as told:
        return _tell(push_runs(store, to, records, told, anew=force), to.name, "pushed", as_json=as_json)


@click.command(context_settings=_SETTINGS)
@click.argument("remote")
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@as_json
def pull(remote: str, runs: tuple[str, ...], as_json: bool) -> int:
    """Bring runs of a remote in, by default all of them. Every file is checked before a run is there.

    RUN is the beginning of an id, or a name. A pull that was cut short is gone on with by the same command.

    \b
    Examples:
      mlproj pull lab
      mlproj pull lab 0193
    """
    from mlproj.api.sharing import pull_runs
    from mlproj.sharing.remotes import remote_named

    of = remote_named(store_folder(), remote)
    store = open_store()
    with steps() as told:
        return _tell(pull_runs(store, of, runs, told), of.name, "pulled", as_json=as_json)


def _tell(outcomes: Iterable[Any], remote: str, done: str, *, as_json: bool) -> int:
    """Print what became of each run, and of all of them together; the exit status is the worst of theirs."""
    results: list[dict[str, Any]] = []
    status, same = 0, 0
    for each in outcomes:
        told: dict[str, Any] = {"id": each.id, "what": None, "problem": None, "notices": []}
        if each.problem is not None:
            complain(f"run {each.id[:12]}: {each.problem.message}", each.problem.hint)
            status = max(status, each.problem.exit_status)
            told["problem"] = each.problem.message
        else:
            result = each.result
            told |= {"what": result.what, "notices": list(result.notices)}
            same += result.what == "same"
            for notice in result.notices:
                warn(f"run {each.id[:12]}: {notice}")
            if result.what != "same" and not as_json:
                out(f"{each.id[:12]} {done}{_sent(result)}")
        results.append(told)
    if as_json:
        out_json(results)
        return status
    new = sum(each["what"] not in (None, "same") for each in results)
    out(f"{one_line(remote)}: {plural(new, 'run')} {done}, {same} as before")
    return status


def _sent(result: Any) -> str:
    """How much it was; nothing of what was pulled."""
    files = getattr(result, "sent", None)
    return "" if files is None else f": {plural(files, 'file')}, {human_size(result.bytes)}"


def list_remote(name: str, limit: int | None, *, as_json: bool) -> int:
    """List the runs on a remote, newest first: ``mlproj runs --remote``."""
    from mlproj.api.sharing import runs_on
    from mlproj.runs.record import to_json
    from mlproj.runs.store import files_of
    from mlproj.sharing.remotes import remote_named

    of = remote_named(store_folder(), name)
    store = open_store()
    with steps() as told:
        told(f"asking {of.name}")
        found = runs_on(of)
    for each in found:
        if each.problem is not None:
            warn(f"run {each.id[:12]}: {each.problem}")
    sound = [each for each in found if each.manifest is not None][:limit]
    if as_json:
        out_json([to_json(each.manifest.record) for each in sound if each.manifest is not None])
        return 0
    if not sound:
        out(f"no runs on {one_line(of.name)} yet: `mlproj push` sends them")
        return 0
    now = time.time()
    rows = [_row(each.manifest, now, here=files_of(store, each.id).record.exists()) for each in sound]
    out_table(["id", "name", "project", "entry_point", "status", "started_at", "size", "here"], rows, right=["size"])
    return 0


def _row(manifest: Any, now: float, *, here: bool) -> list[str]:
    from mlproj.runs.times import age_text

    record = manifest.record
    age = age_text(record.started_at, now)
    size = human_size(manifest.bytes)
    told = [record.id[:12], record.name, record.project, record.entry_point, record.status, age, size]
    return [*told, "yes" if here else "no"]
