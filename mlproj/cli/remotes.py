"""``mlproj remote``, ``push`` and ``pull``: runs that several stores share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from mlproj.cli.console import complain, out, out_json, out_table, warn
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.cli.steps import steps
from mlproj.files import human_size
from mlproj.locations import store_folder
from mlproj.text import one_line, plural

if TYPE_CHECKING:
    from mlproj.runs.record import RunRecord

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

    RUN is the beginning of an id, or a name. A run that is here already gets the files that it lacks. A pull that was
    cut short is gone on with by the same command.

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
        return _tell(pull_runs(store, of, runs, told, warn), of.name, "pulled", as_json=as_json)


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
            if result.what == "completed" and not as_json:
                out(f"{each.id[:12]} was here already, and got files that it lacked")
            elif result.what != "same" and not as_json:
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


def list_remote(
    name: str, filter_text: str, order_by: str, limit: int | None, columns: str | None, *, as_json: bool, as_csv: bool
) -> int:
    """List the runs on a remote, as those of the store are: ``mlproj runs --remote``."""
    from mlproj.api.sharing import search_on
    from mlproj.cli.runs_table import RunsTable
    from mlproj.runs.record import to_json
    from mlproj.runs.store import files_of
    from mlproj.sharing.remotes import remote_named

    of = remote_named(store_folder(), name)
    store = open_store()
    with steps() as told:
        told(f"asking {of.name}")
        found = search_on(of, filter_text, order_by, limit)
    for run_id, problem in found.damaged.items():
        warn(f"run {run_id[:12]}: {problem}")
    for hint in found.hints:
        warn(hint)
    records = [each.record for each in found.manifests]
    if as_json:
        out_json([to_json(record) for record in records])
        return 0
    sizes = {each.record.id: human_size(each.bytes) for each in found.manifests}
    own: dict[str, Callable[[RunRecord], str]] = {
        "size": lambda record: sizes[record.id],
        "here": lambda record: "yes" if files_of(store, record.id).record.exists() else "no",
    }
    shown = RunsTable(records, columns, lambda run_id: run_id[:12], own=own)
    if as_csv:
        shown.print_csv()
    elif records:
        shown.print()
    else:
        none = "no runs that match on {}" if filter_text else "no runs on {} yet: `mlproj push` sends them"
        out(none.format(one_line(of.name)))
    return 0
