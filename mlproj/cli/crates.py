"""``mlproj export`` and ``mlproj import``: runs in files, as Workflow Run RO-Crates."""

from __future__ import annotations

from pathlib import Path

import click

from mlproj.cli.console import complain, out, out_json, warn
from mlproj.cli.options import as_json, complete_run, open_store, size_option
from mlproj.errors import MlprojError
from mlproj.text import one_line, plural

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=_SETTINGS)
@click.argument("run", default="@last", shell_complete=complete_run)
@click.option(
    "-o",
    "--output",
    default=None,
    metavar="PATH",
    help="A .zip file, or else a folder.  [default: ID.crate.zip]",
)
@click.option("--no-artifacts", is_flag=True, help="Leave the kept outputs out.")
@click.option("--max-artifact-size", metavar="SIZE", help="Leave out artifacts that are larger: `500MB`.")
@click.option("--no-inputs", is_flag=True, help="Leave out declared inputs that are no part of the source.")
@click.option("--offline", is_flag=True, help="Use no network to find the source again.")
@click.option("--force", is_flag=True, help="Replace a crate that is there, and nothing else.")
@as_json
def export(
    run: str,
    output: str | None,
    no_artifacts: bool,
    max_artifact_size: str | None,
    no_inputs: bool,
    offline: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Write a run, with the source that it ran, as a Workflow Run RO-Crate that `mlproj import` takes elsewhere.

    RUN is the beginning of an id, a name, `@last`, `@best:METRIC`, `@min:METRIC` or `@max:METRIC`. The same run gives
    the same bytes. Files that hold credentials are left out.

    \b
    Examples:
      mlproj export 0193 -o run.crate.zip
      mlproj export @best:rmse -o crate/ --max-artifact-size 500MB
    """
    from mlproj.api.sharing import export_run
    from mlproj.runs.find import find
    from mlproj.runs.query import nested_left_out
    from mlproj.runs.store import shown_id
    from mlproj.sharing.contents import Choice
    from mlproj.sharing.crate_writing import check_target
    from mlproj.sources import Fetching

    largest = size_option(max_artifact_size, "--max-artifact-size")
    if output is not None:
        check_target(Path(output))
    store = open_store()
    record = find(store, run)
    target = Path(f"{shown_id(store, record.id)}.crate.zip" if output is None else output)
    choice = Choice(artifacts=not no_artifacts, largest_artifact=largest, inputs=not no_inputs)
    done = export_run(store, record, target, choice, Fetching(offline=offline), replace=force)
    notices = [*done.notices, *nested_left_out(store, record)]
    for notice in notices:
        warn(notice)
    if as_json:
        out_json({"id": done.id, "path": str(done.path), "files": done.files, "notices": notices})
    else:
        out(f"{done.id[:12]} is in {one_line(done.path)} ({plural(done.files, 'file')})")
    return 0


@click.command("import", context_settings=_SETTINGS)
@click.argument("crates", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--unpack-limit", metavar="SIZE", help="The most that a crate may unpack to, such as `50GB`.")
@as_json
def import_(crates: tuple[Path, ...], unpack_limit: str | None, as_json: bool) -> int:
    """Bring runs in from RO-Crates, zip archives or folders. Every file is checked before a run is there.

    A crate of another tool (a Process, Workflow or Provenance Run Crate) is taken as far as it describes a run.

    \b
    Examples:
      mlproj import run.crate.zip && mlproj show @last
      mlproj import cwl-run/
    """
    from mlproj.api.sharing import import_crate

    limit = size_option(unpack_limit, "--unpack-limit")
    store = open_store()
    results, status = [], 0
    for path in crates:
        try:
            arrived = import_crate(store, path, limit)
        except MlprojError as error:
            if len(crates) == 1:
                raise
            complain(error.message, error.hint)
            status = max(status, error.exit_status)
            continue
        for each in arrived:
            for notice in each.notices:
                warn(notice)
            results.append({"id": each.id, "what": each.what, "from": str(path), "notices": list(each.notices)})
            if not as_json:
                out(f"{each.id[:12]} {_SAID[each.what]}")
    if as_json:
        out_json(results)
    return status


_SAID = {
    "new": "is imported",
    "same": "is here already, and is the same",
    "completed": "was here already, and got files that it lacked",
}
