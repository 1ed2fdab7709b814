"""``mlproj reproduce``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from mlproj.cli.console import coloured, out, out_json, say
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.text import one_line, plural

_COLOURS = {"identical": "green", "equivalent": "green", "different": "red"}
_MOST_SHOWN = 30


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.option(
    "--repeat", type=click.IntRange(1, 100), default=1, metavar="N", help="Run it N times, and tell what varies."
)
@click.option(
    "-P",
    "--param",
    "secrets",
    multiple=True,
    metavar="NAME=VALUE",
    help="A secret (also NAME=@FILE) that no variable holds, or a value that held one: no run records these.",
)
@click.option(
    "--allow-mount",
    "allowed_mounts",
    multiple=True,
    metavar="PATH",
    help="Let the container of a project from elsewhere have this folder or volume.",
)
@click.option(
    "--hermetic", is_flag=True, help="Cut it off from all that it does not declare, as `run --hermetic` does."
)
@click.option("--offline", is_flag=True, help="Use no network.")
@click.option("--keep-tree", is_flag=True, help="Keep the tree that it was run in.")
@as_json
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what the command prints, and the verdict.")
def reproduce(run: str, repeat: int, secrets: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Run a recorded run again, and say whether it came out the same.

    Source, lock, parameters, inputs and deciding variables are brought back as they were recorded; what is missing is
    told before anything runs. The new run is recorded too, linked to the first. The verdict is `identical` (bit for
    bit), `equivalent` (within the manifest's tolerances) or `different`. The exit status is 0, 0 or 1; 125 when the run
    is not reproducible here.

    \b
    Examples:
      mlproj reproduce @last
      mlproj reproduce 0193 --json
      mlproj reproduce 0193 --repeat 3            which outputs vary from run to run
      mlproj import run.crate.zip && mlproj reproduce 0193
    """
    from mlproj.api.interruption import Interrupted
    from mlproj.api.recreation import NotReproducibleError, Options
    from mlproj.api.reproduction import reproduce as have_again
    from mlproj.api.variation import variation
    from mlproj.cli.progress import RunDisplay
    from mlproj.execution.supervise import Streams, stand_by
    from mlproj.parameters.given import gather
    from mlproj.reproduction.reasons import ASK_FOR_REPEAT
    from mlproj.runs.find import find
    from mlproj.runs.store import shown_id

    store = open_store()
    record = find(store, run)
    chosen = Options(
        gather(secrets, ()),
        tuple(options["allowed_mounts"]),
        options["offline"],
        options["keep_tree"],
        True if options["hermetic"] else None,
    )
    streams = Streams(stdout=2) if as_json else Streams()
    attempts = []
    for _ in range(repeat):
        display = RunDisplay(quiet=options["quiet"], verbose=False)
        try:
            sys.stdout.flush()
            attempt = have_again(store, record, chosen, display.listener(), lambda: stand_by(streams))
            if repeat > 1:
                attempt = replace(attempt, reasons=tuple(each.removesuffix(ASK_FOR_REPEAT) for each in attempt.reasons))
            attempts.append(attempt)
        except Interrupted as interrupted:
            return 128 + interrupted.number
        except NotReproducibleError as error:
            if as_json:
                out_json({"verdict": "not reproducible", "recorded": record.id, "missing": list(error.missing)})
            raise
        finally:
            display.close()
        if not options["quiet"]:
            display.ended(attempts[-1].run)
    if as_json:
        result = attempts[0].to_json()
        if repeat > 1:
            result = {"attempts": [each.to_json() for each in attempts], "variation": variation(attempts).to_json()}
        out_json(result)
    else:
        for attempt in attempts:
            _print(attempt, shown_id(store, record.id), shown_id(store, attempt.run.id))
        if repeat > 1:
            for line in variation(attempts).lines():
                out(line)
    return 1 if any(each.verdict.name == "different" for each in attempts) else 0


def _print(attempt: Any, recorded: str, again: str) -> None:
    verdict = attempt.verdict
    name = coloured(verdict.name, sys.stdout, fg=_COLOURS[verdict.name], bold=True)
    nested = f" of it and {plural(verdict.nested_runs, 'nested run')}" if verdict.nested_runs else ""
    compared = f"{plural(verdict.metrics, 'metric')} and {plural(verdict.files, 'file')}{nested} compared"
    out(f"{name}  run {recorded} and its reproduction {again}: {compared}")
    for difference in verdict.differences[:_MOST_SHOWN]:
        mark = "~" if difference.allowed else "≠"
        out(f"  {mark} {one_line(str(difference))}")
    if len(verdict.differences) > _MOST_SHOWN:
        out(f"  … and {len(verdict.differences) - _MOST_SHOWN} more")
    if verdict.not_compared:
        out(f"  not compared: {', '.join(one_line(each) for each in verdict.not_compared)}")
    for reason in attempt.reasons:
        out(f"  likely: {one_line(reason)}")
    if not verdict.metrics and not verdict.files:
        say("note: the run has no metrics and no outputs: only its exit status was compared")
