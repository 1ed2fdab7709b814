"""``mlproj show``."""

from __future__ import annotations

import shlex
import sys
import time
from typing import Any

import click

from mlproj.cli.console import coloured, coloured_status, out, out_json
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.files import human_size
from mlproj.text import duration, one_line, plural

_MOST_PACKAGES = 12


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", default="@last", shell_complete=complete_run)
@click.option("--packages", is_flag=True, help="List every package of the environment.")
@as_json
def show(run: str, packages: bool, as_json: bool) -> int:
    """Show one run, whole.

    RUN is the beginning of an id, a name, `@last`, `@best:METRIC`, `@min:METRIC` or `@max:METRIC`.

    \b
    Examples:
      mlproj show 0193
      mlproj show @best:rmse --json
    """
    from mlproj.runs.find import find
    from mlproj.runs.record import to_json

    store = open_store()
    record = find(store, run)
    if as_json:
        out_json(to_json(record))
        return 0
    _heading(record)
    _facts("", _run_facts(record))
    _facts("parameters", [(name, _text(value)) for name, value in record.parameters.items()])
    _facts("metrics", _metrics(store, record))
    _facts("tags", list(record.tags.items()))
    _facts("source", _source(record))
    _facts("environment", _environment(record, packages=packages))
    _facts(
        "inputs",
        [(each.path, f"{human_size(each.size)}  sha256:{(each.sha256 or '')[:12]}") for each in record.inputs],
    )
    _facts("datasets", _datasets(record))
    _facts("outputs", _outputs(record))
    _facts("models", _models(record))
    _notices(record)
    return 0


def _heading(record: Any) -> None:
    name = f"  {one_line(record.name)}" if record.name else ""
    out(f"{coloured('run', sys.stdout, bold=True)} {record.id}{name}  {coloured_status(record.status, sys.stdout)}")


def _facts(title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    if title:
        out()
        out(coloured(title, sys.stdout, bold=True))
    width = max(len(one_line(label)) for label, _ in rows)
    for label, text in rows:
        out(f"  {coloured(one_line(label).ljust(width), sys.stdout, dim=True)}  {one_line(text)}")


def _notices(record: Any) -> None:
    if record.notices:
        out()
        out(coloured("notices", sys.stdout, bold=True))
    for notice in record.notices:
        for line in notice.splitlines():
            out(f"  {one_line(line)}")


def _text(value: Any) -> str:
    from mlproj.parameters.values import text_of

    return "null" if value is None else text_of(value)


def _run_facts(record: Any) -> list[tuple[str, str]]:
    from mlproj.runs.times import age_text

    began = f"{record.started_at} ({age_text(record.started_at, time.time())})" if record.started_at else ""
    took = duration(record.duration_s) if record.duration_s is not None else ""
    took = "still running" if record.status == "running" else took
    where = f"on {record.host}, {record.platform}" if record.host else ""
    # Of a run of another tool not all of it may be known.
    rows = [
        ("project", ", ".join(filter(None, (record.project, record.entry_point)))),
        ("experiment", record.experiment),
        ("started", ", ".join(filter(None, (began, took))) or "not told"),
        ("by", " ".join(filter(None, (record.user, where))) or "not told"),
    ]
    if record.tracking is not None and record.tracking.run_id:
        from mlproj.tracking.remote.address import page_of

        also = page_of(record.tracking)
        rows.append(("also", also if record.tracking.sent else f"{also} (not all of it is there)"))
    elif record.tracking is not None:
        rows.append(("also", f"{record.tracking.uri} (it has not been told yet: `mlproj sync {record.id[:12]}`)"))
    if record.command.argv:
        rows.append(("command", shlex.join(record.command.argv)))
    if record.exit_status is not None:
        rows.append(("exit status", str(record.exit_status)))
    if record.error:
        rows.append(("error", record.error))
    if record.parent:
        rows.append(("parent", record.parent))
    if record.reproduction is not None:
        rows.append(("same as", f"{record.reproduction.of}: {record.reproduction.verdict or 'not judged'}"))
    if record.imported is not None:
        rows.append(("imported", f"from {record.imported.origin}, {record.imported.at}"))
    used = record.resources
    if used.max_memory_bytes is not None:
        cpu = f"{used.user_s or 0:.2f} s user, {used.system_s or 0:.2f} s system"
        rows.append(("resources", f"{cpu}, {human_size(used.max_memory_bytes)} memory at most"))
    if record.machine.cpu_count:
        machine = ", ".join([record.machine.cpu or "", *record.machine.gpus])
        rows.append(("machine", f"{machine} ({plural(record.machine.cpu_count, 'CPU')})"))
    return rows


def _metrics(store: Any, record: Any) -> list[tuple[str, str]]:
    from mlproj.runs.metric_history import metric_history, sparkline

    rows = []
    for name, value in record.metrics.items():
        points = [point.value for point in metric_history(store, record.id, name)]
        curve = f"  {sparkline(points)}  {plural(len(points), 'point')}" if len(points) > 1 else ""
        rows.append((name, f"{value:.6g}{curve}"))
    return rows


def _source(record: Any) -> list[tuple[str, str]]:
    source = record.source
    rows = [("folder", source.path)]
    if source.commit:
        branch = f" on {source.branch}" if source.branch else ""
        rows.append(("commit", source.commit + branch + (", with changes" if source.dirty else "")))
    if source.revision:
        rows.append(("revision", source.revision))
    if source.author:
        rows.append(("author", source.author))
    if source.remote:
        rows.append(("from", source.remote + (f"#{source.subdirectory}" if source.subdirectory else "")))
    if source.made_from:
        rows.append(("image of", source.made_from))
    if source.digest:
        rows.append(("digest", source.digest))
    if source.patch:
        rows.append(("patch", source.patch))
    if source.kept:
        rows.append(("files", "kept with the run, in `source`"))
    if source.left_out:
        rows.append(("left out", ", ".join(source.left_out)))
    return [*rows, *(("note", note) for note in source.notes)]


def _environment(record: Any, *, packages: bool) -> list[tuple[str, str]]:
    environment = record.environment
    rows = [("kind", environment.kind), ("key", environment.key or "")]
    if environment.image:
        rows.append(("image", environment.image))
    if environment.python:
        rows.append(("python", f"{environment.python}  {environment.interpreter}"))
    listed = [f"{name} {version}" for name, version in environment.packages.items()]
    if packages:
        return [*rows, *(("package", each) for each in listed)]
    more = f", … ({len(listed)} in all: --packages)" if len(listed) > _MOST_PACKAGES else ""
    return [*rows, ("packages", ", ".join(listed[:_MOST_PACKAGES]) + more)] if listed else rows


def _datasets(record: Any) -> list[tuple[str, str]]:
    return [(each.name, f"{each.context}  {each.source_type}  {each.digest}".strip()) for each in record.datasets]


def _models(record: Any) -> list[tuple[str, str]]:
    rows = []
    for each in record.models:
        version = f"registered in this store, version {each.version}" if each.version else each.path
        rows.append((each.name, "  ".join(filter(None, (version, ", ".join(each.flavors), each.id)))))
    return rows


def _outputs(record: Any) -> list[tuple[str, str]]:
    rows = []
    for output in record.outputs:
        size = f"{plural(len(output.files), 'file')}, {human_size(output.size)}"
        rows.append((output.name or "(logged)", f"{output.path}  {size}"))
    return rows
