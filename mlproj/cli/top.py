"""``mlproj top``."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import click

from mlproj.cli.console import out, out_json, out_table, table_of, terminal_width
from mlproj.cli.options import as_json, open_store
from mlproj.cli.screen import show_live
from mlproj.errors import MlprojError, UsageError
from mlproj.text import duration, one_line

_MOST_METRICS = 3
_HEADINGS = ("run", "project", "entry_point", "time", "step", "cpu", "memory", "gpu", "metrics")
_RIGHT = ("time", "step", "cpu", "memory", "gpu")
_TAIL_BYTES = 4096


@dataclass
class _Choice:
    """The run that keys act on, and what the last of them did."""

    index: int = 0
    said: str = ""
    asked: str = ""
    ids: list[str] = field(default_factory=list)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--every", "every_s", type=click.FloatRange(min=0.1), default=1.0, metavar="SECONDS", help="Draw it anew so often."
)
@as_json
def top(every_s: float, as_json: bool) -> int:
    """Show the runs that are going on: their time, last metrics, CPU, memory and GPU.

    On a terminal it stays until `q`; `j` and `k` choose a run, `s` twice stops it. Elsewhere it is printed once.
    CPU is in percent of one core; what is shown of the GPUs is of the whole machine.

    \b
    Examples:
      mlproj top
      mlproj top --json
    """
    if every_s != every_s:
        raise UsageError("--every takes a number of seconds")
    if as_json:
        out_json([_facts(record, summaries, sample, now) for record, summaries, sample, now in _going_on(open_store())])
        return 0
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        rows = _rows(open_store())
        out_table(_HEADINGS, rows, right=_RIGHT) if rows else out("no run is going on")
        return 0
    choice = _Choice()
    return show_live(lambda: _screen(choice), every_s, lambda key: _press(choice, key))


def _going_on(store: Any) -> list[tuple[Any, Any, Any, float]]:
    """Each running run: its record, what is known of its metrics, its last sample, and the time."""
    from mlproj.runs.intake import summaries_of
    from mlproj.runs.query import search
    from mlproj.runs.samples import read_samples
    from mlproj.runs.store import files_of

    now = time.time()
    found = []
    for record in search(store, "status = running").records:
        samples = read_samples(files_of(store, record.id).samples)
        found.append((record, summaries_of(store, record.id), samples[-1] if samples else None, now))
    return found


def _facts(record: Any, summaries: Any, sample: Any, now: float) -> dict[str, Any]:
    from dataclasses import asdict

    from mlproj.runs.times import seconds_of

    return {
        "id": record.id,
        "name": record.name,
        "project": record.project,
        "entry_point": record.entry_point,
        "elapsed_s": round(now - seconds_of(record.started_at), 3),
        "step": max((each.step for each in summaries.values()), default=None),
        "metrics": {name: each.value for name, each in summaries.items()},
        "resources": None if sample is None else asdict(sample),
    }


def _rows(store: Any) -> list[list[str]]:
    from mlproj.runs.store import shown_id

    rows = []
    for record, summaries, sample, now in _going_on(store):
        facts = _facts(record, summaries, sample, now)
        latest = sorted(summaries, key=lambda name: -summaries[name].at_ms)[:_MOST_METRICS]
        busy = None if sample is None else sample.gpu_percent
        rows.append(
            [
                shown_id(store, record.id),
                record.project,
                record.entry_point,
                duration(max(0.0, facts["elapsed_s"])),
                "" if facts["step"] is None else str(facts["step"]),
                "" if sample is None else f"{sample.cpu_percent:.0f} %",
                "" if sample is None else _size(sample.memory_bytes),
                "" if busy is None else f"{busy:.0f} %",
                "  ".join(f"{name}={summaries[name].value:.4g}" for name in latest),
            ]
        )
    return rows


def _size(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB" if count < 1 << 30 else f"{count / (1 << 30):.1f} GiB"


def _screen(choice: _Choice) -> Any:
    from rich.console import Group
    from rich.text import Text

    store = open_store()
    try:
        rows = _rows(store)
        choice.ids = [row[0] for row in rows]
        choice.index = max(0, min(choice.index, len(rows) - 1))
        if not rows:
            return Group(Text("no run is going on"), Text(choice.said), Text("q leaves", style="dim"))
        marked = [["▸" if index == choice.index else "", *row] for index, row in enumerate(rows)]
        table, _ = table_of(("", *_HEADINGS), marked, terminal_width(), right=_RIGHT)
        last = Text(_last_line(store, choice.ids[choice.index]), no_wrap=True, overflow="ellipsis", style="dim")
        return Group(table, Text(), last, Text(choice.said), Text("j k choose   s stops   q leaves", style="dim"))
    finally:
        store.connection.close()


def _last_line(store: Any, prefix: str) -> str:
    from mlproj.runs.find import find
    from mlproj.runs.store import files_of

    path = files_of(store, find(store, prefix).id).log
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return one_line(click.unstyle(next((line for line in reversed(lines) if line.strip()), "")))


def _press(choice: _Choice, key: str) -> None:
    if key in ("j", "down"):
        choice.index += 1
    elif key in ("k", "up"):
        choice.index = max(0, choice.index - 1)
    elif key == "s" and choice.ids:
        chosen = choice.ids[min(choice.index, len(choice.ids) - 1)]
        # One key alone stops nobody's training.
        if choice.asked != chosen:
            choice.asked, choice.said = chosen, f"`s` again stops run {chosen}"
            return
        choice.said = _stopped(chosen)
    choice.asked = ""
    if key != "s":
        choice.said = ""


def _stopped(prefix: str) -> str:
    from mlproj.api.stop import ask_to_stop
    from mlproj.runs.find import find

    store = open_store()
    try:
        ask_to_stop(store, find(store, prefix))
    except MlprojError as error:
        return one_line(error.message)
    finally:
        store.connection.close()
    return f"run {prefix} was asked to end"
