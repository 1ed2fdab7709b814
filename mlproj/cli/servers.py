"""``mlproj sync``, ``import-mlflow``, ``export-mlflow``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from mlproj.cli.console import complain, out, out_json
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.cli.steps import steps
from mlproj.errors import MlprojError, UsageError
from mlproj.text import one_line, plural

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=_SETTINGS)
@click.argument("runs", nargs=-1, metavar="[RUN...]", shell_complete=complete_run)
@click.option("--all", "all_runs", is_flag=True, help="Every run of which a server has not got all.")
@click.option("--forget", is_flag=True, help="Give up on sending them, as when a server is no more.")
@click.option(
    "--tracking-uri", metavar="URI", help="The server's URI, where it holds credentials, which no record has."
)
@as_json
def sync(runs: tuple[str, ...], all_runs: bool, forget: bool, tracking_uri: str | None, as_json: bool) -> int:
    """Send tracking servers what they have not got of runs that were to be on them, oldest run first.

    What is there already is not sent again, and what was logged there in the meantime is brought in. Who you are is
    said by MLflow's own variables, such as MLFLOW_TRACKING_USERNAME.

    \b
    Examples:
      mlproj sync @last
      mlproj sync --all
      mlproj sync --forget 0193
    """
    from mlproj.runs.find import find
    from mlproj.tracking.remote.state import counterparts, forget_unsent, unsent

    if bool(runs) == all_runs:
        raise UsageError("sync takes runs, or --all", hint="`mlproj sync --all` sends all that is left to send.")
    store = open_store()
    if all_runs:
        left = unsent(store)
    else:
        ids = list(dict.fromkeys(find(store, name).id for name in runs))
        left = [(run_id, each) for run_id in ids for each in counterparts(store, run_id)]
        for run_id in ids:
            if all(run_id != each for each, _ in left):
                hint = f"`mlproj export-mlflow URI {run_id[:12]}` sends it to one."
                raise UsageError(f"run {run_id[:12]} was not to be on a tracking server", hint=hint)
    if forget:
        for run_id, counterpart in left:
            forget_unsent(store, run_id, counterpart)
        out(f"{plural(len(left), 'run')} will not be sent")
        return 0
    return _sent(store, [(run_id, each.uri, each.experiment) for run_id, each in left], tracking_uri, as_json=as_json)


@click.command("export-mlflow", context_settings=_SETTINGS)
@click.argument("uri")
@click.argument("runs", nargs=-1, metavar="[RUN...]", shell_complete=complete_run)
@click.option("--filter", "filter_text", default=None, metavar="EXPRESSION", help="The runs that this is true of.")
@click.option(
    "--experiment", default=None, metavar="TEXT", help="The experiment to put them into.  [default: each its own]"
)
@as_json
def export_mlflow(
    uri: str, runs: tuple[str, ...], filter_text: str | None, experiment: str | None, as_json: bool
) -> int:
    """Send runs to an MLflow server or store: http://…, sqlite:///mlflow.db, or a folder such as ./mlruns.

    With their parameters, metrics, tags, datasets, artifacts and children. A run that is there is brought up to date.

    \b
    Examples:
      mlproj export-mlflow http://mlflow.example:5000 @last
      mlproj export-mlflow ./mlruns --filter "experiment = 'wine'"
    """
    from mlproj.runs.find import find
    from mlproj.runs.query import search_ids
    from mlproj.runs.store import load
    from mlproj.tracking.remote.address import absolute_uri, shown_uri

    if bool(runs) == (filter_text is not None):
        raise UsageError("export-mlflow takes runs, or --filter", hint="`--filter ''` is all of them.")
    store = open_store()
    found = [find(store, name).id for name in runs] or sorted(search_ids(store, filter_text or ""))
    whole = absolute_uri(uri, Path.cwd())
    jobs = [(each, shown_uri(whole), experiment or load(store, each).experiment) for each in dict.fromkeys(found)]
    return _sent(store, jobs, whole, as_json=as_json)


@click.command("import-mlflow", context_settings=_SETTINGS)
@click.argument("uri")
@click.option("--experiment", default=None, metavar="TEXT", help="Only the runs of this experiment.")
@as_json
def import_mlflow(uri: str, experiment: str | None, as_json: bool) -> int:
    """Bring the runs of an MLflow server or store in: http://…, sqlite:///mlflow.db, or a folder such as ./mlruns.

    Again brings in what is new, and nothing twice. What goes on there is `lost` here until it has ended and is brought
    in again. Deleted runs are left out.

    \b
    Examples:
      mlproj import-mlflow http://mlflow.example:5000 --experiment wine
      mlproj import-mlflow ./mlruns
    """
    from dataclasses import asdict

    from mlproj.tracking.remote.address import absolute_uri
    from mlproj.tracking.remote.importing import import_runs
    from mlproj.tracking.remote.server import connect

    whole = _present(absolute_uri(uri, Path.cwd()))
    store = open_store()
    with steps() as told:
        done = import_runs(connect(whole), store, experiment, told)
    if as_json:
        out_json(asdict(done))
    else:
        out(f"{plural(len(done.new), 'new run')}, {len(done.changed)} brought up to date, {done.same} as before")
    return 0


def _present(uri: str) -> str:
    """Raise ``UsageError`` for a store that is none: MLflow would make an empty one."""
    for scheme in ("file://", "sqlite:///"):
        if uri.startswith(scheme):
            path = Path(_unquoted(uri.removeprefix(scheme)))
            if not path.exists():
                raise UsageError(f"there is no MLflow store at {one_line(path)}")
            if scheme == "file://" and not any(path.glob("*/meta.yaml")) and not (path / ".trash").exists():
                raise UsageError(
                    f"{one_line(path)} is no MLflow store: it has no experiment", hint="It is often called `mlruns`."
                )
    return uri


def _unquoted(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)


def _sent(store: Any, jobs: list[tuple[str, str, str]], given: str | None, *, as_json: bool) -> int:
    """Bring runs and servers together, each by itself: one that fails does not keep the next from being sent."""
    from mlproj.runs.store import is_live
    from mlproj.tracking.remote.server import Server, ServerError
    from mlproj.tracking.remote.sync import synchronise

    servers: dict[str, Server] = {}
    results, failed = [], 0
    troubles: dict[str, list[str]] = {}
    for run_id, shown, experiment in jobs:
        problem, hint, counterpart = None, None, None
        if is_live(store, run_id):
            problem = "it is still running, and its own mlproj tells the server of it"
        elif _is_down(troubles.get(shown, [])):
            problem = "not tried: its server is in trouble"
        else:
            try:
                with steps() as told:
                    server = servers.get(shown) or _server(shown, given)
                    servers[shown] = server
                    counterpart = synchronise(server, store, run_id, experiment, told)
            except ServerError as error:
                problem, hint = error.message, error.hint
                troubles.setdefault(shown, []).append(error.message)
        failed += problem is not None
        results.append(
            {
                "id": run_id,
                "uri": shown,
                "run_id": None if counterpart is None else counterpart.run_id,
                "sent": problem is None,
                "refused": {} if counterpart is None else counterpart.refused,
                "problem": problem,
            }
        )
        if as_json:
            continue
        if problem is not None:
            complain(f"run {run_id[:12]}: {problem}", hint)
        else:
            assert counterpart is not None
            lacking = f", but for {', '.join(map(one_line, counterpart.refused))}" if counterpart.refused else ""
            out(f"{run_id[:12]} is on {shown} as {one_line(counterpart.run_id)}{lacking}")
    if as_json:
        out_json(results)
    elif not jobs:
        out("nothing is left to send")
    return MlprojError.exit_status if failed else 0


def _is_down(troubles: list[str]) -> bool:
    """Whether the last two runs came to the same trouble: each further one would wait for it anew."""
    return len(troubles) > 1 and troubles[-1] == troubles[-2]


def _server(shown: str, given: str | None) -> Any:
    """The server of a URI without credentials: with them where the same one is given, or in MLflow's variable."""
    from mlproj.tracking.remote.address import absolute_uri, shown_uri
    from mlproj.tracking.remote.server import connect

    known = [absolute_uri(each, Path.cwd()) for each in (given, os.environ.get("MLFLOW_TRACKING_URI")) if each]
    return connect(next((each for each in known if shown_uri(each) == shown), shown))
