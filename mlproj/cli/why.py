"""``mlproj why``."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlproj.cli.console import out, out_json
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.text import one_line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("first", metavar="RUN_A", shell_complete=complete_run)
@click.argument("second", metavar="RUN_B", shell_complete=complete_run)
@as_json
def why(first: str, second: str, as_json: bool) -> int:
    """Say why two runs came out as they did: what went into them and was not the same, the likeliest cause first.

    `mlproj diff` lists all that differs; this judges it. What the runs gave is compared bit for bit.

    \b
    Examples:
      mlproj why 0193 01938
      mlproj why @last~1 @last --json
    """
    from mlproj.reproduction.causes import causes
    from mlproj.reproduction.reasons import likely_reasons
    from mlproj.reproduction.rules import Rules
    from mlproj.reproduction.verdict import judge, to_json
    from mlproj.runs.find import find
    from mlproj.runs.store import files_of, shown_id

    store = open_store()
    one, other = find(store, first), find(store, second)
    found = causes(one, other, (files_of(store, one.id).source, files_of(store, other.id).source))
    verdict = judge(store, one, other, Rules())
    reasons = likely_reasons(store, verdict, one, other)
    if as_json:
        out_json({**to_json(verdict), "causes": [asdict(each) for each in found], "reasons": reasons})
        return 0
    ids = f"{shown_id(store, one.id)} and {shown_id(store, other.id)}"
    if not verdict.differences:
        out(f"{ids} came out the same" + (", though other things went in:" if found else ""))
    else:
        out(
            f"{ids} came out differently: {one_line(str(verdict.differences[0]))}" + _more(len(verdict.differences) - 1)
        )
    for number, told in enumerate(reasons or [str(cause) for cause in found], start=1):
        out(f"  {number}. {one_line(told)}")
    return 0


def _more(count: int) -> str:
    return f", and {count} more" if count > 0 else ""
