"""``mlproj verify``."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlproj.cli.console import out, out_json, warn
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.text import one_line, plural


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help="Every run of the store.")
@as_json
def verify(runs: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Check that what is stored of runs is what was recorded: artifacts, patch, kept source and lock, by digest.

    The exit status is 1 when something is missing or was changed. What an imported run came without is told, and is no
    damage.

    \b
    Examples:
      mlproj verify @last
      mlproj verify --all --json
    """
    from mlproj.errors import UsageError
    from mlproj.reproduction.verification import verify_run
    from mlproj.runs.find import find
    from mlproj.runs.query import search_ids
    from mlproj.runs.store import files_of, load, shown_id

    if bool(runs) == everything:
        raise UsageError("verify takes runs, or --all")
    store = open_store()
    records = (
        [load(store, run_id) for run_id in search_ids(store)] if everything else [find(store, name) for name in runs]
    )
    damaged = False
    results = []
    for record in records:
        if record.status == "running":
            warn(f"run {shown_id(store, record.id)} is still running: it is not looked at")
            continue
        found = verify_run(record, files_of(store, record.id))
        damaged = damaged or bool(found.damages)
        damages = [asdict(each) for each in found.damages]
        absent = list(found.not_brought)
        results.append({"run": record.id, "files": found.files, "damages": damages, "not_brought": absent})
        if not as_json:
            how = f"{plural(len(found.damages), 'file')} not as recorded" if found.damages else "as recorded"
            how += f"; {plural(len(absent), 'file')} not brought when it was imported" if absent else ""
            out(f"{'✗' if found.damages else '✓'} {shown_id(store, record.id)}  {plural(found.files, 'file')}: {how}")
            for damage in found.damages:
                out(f"    {one_line(damage.path)}: {damage.what}")
    if as_json:
        out_json(results)
    return 1 if damaged else 0
