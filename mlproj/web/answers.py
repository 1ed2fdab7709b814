"""What the calls of ``/api`` give: each function is handed the store and the request."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from mlproj.runs import table
from mlproj.runs.compare import compare
from mlproj.runs.curve_points import curve_points, metric_summaries
from mlproj.runs.experiments import experiments
from mlproj.runs.find import find
from mlproj.runs.index import plain
from mlproj.runs.query import known_names
from mlproj.runs.record import to_json
from mlproj.runs.samples import read_samples
from mlproj.runs.store import Store, files_of
from mlproj.runs.table import Column, Selection
from mlproj.runs.times import seconds_of
from mlproj.web.artifacts import Entry, artifact_tree
from mlproj.web.errors import PageError
from mlproj.web.logs import MOST, WINDOW, find_in_log, log_window
from mlproj.web.run_page import record_of

MOST_RUNS = 1000
MOST_POINTS = 20_000
_MOST_COMPARED = 50
_MOST_SAMPLES = 1000
LARGEST = 1 << 53


def _number(request: Request, name: str, default: int, least: int = 0, most: int = LARGEST) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = int(text) if len(text) < 20 else None
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        raise PageError(400, f"`{name}` takes a whole number from {least} to {most}.")
    return value


def runs_found(store: Store, request: Request) -> Any:
    """The runs that the query means, with their values. Raises PageError, UsageError."""
    query = request.query_params
    selection = Selection(
        query.get("filter", ""),
        query.get("order_by", ""),
        query.get("experiment"),
        query.get("project"),
        query.get("trash") == "true",
    )
    first, most = _number(request, "offset", 0), _number(request, "limit", 50, 1, MOST_RUNS)
    runs = table.page_of_runs(store, selection, first, most)
    sections: dict[int, dict[str, dict[str, object]]] = {run.number: {} for run in runs}
    for section in table.SECTIONS:
        names = table.names_of(store, runs, section)
        for run in runs:
            sections[run.number][section] = {}
        for (number, column), cell in table.cells_of(store, runs, [Column(section, name) for name in names]).items():
            value = cell.text if cell.number is None else cell.number
            sections[number][section][column.name] = value
    return {
        "total": table.count_runs(store, selection),
        "runs": [{**run.attributes, **sections[run.number]} for run in runs],
    }


def record(store: Store, request: Request) -> Any:
    """A run's whole record. Raises RunNotFoundError."""
    return to_json(find(store, request.path_params["run"]))


def summaries(store: Store, request: Request) -> Any:
    """A run's metrics: last, lowest, highest."""
    record = record_of(store, request.path_params["run"])
    return {"metrics": [asdict(each) for each in metric_summaries(store, record.id)]}


def curves(store: Store, request: Request) -> Any:
    """A metric's curve in several runs, thinned to what can be drawn. Raises PageError."""
    metric = request.query_params.get("metric", "")
    runs = request.query_params.getlist("run")
    if not metric or not 1 <= len(runs) <= _MOST_COMPARED:
        raise PageError(400, f"`metric` and from 1 to {_MOST_COMPARED} times `run` are needed.")
    most = _number(request, "points", 1000, 2, MOST_POINTS)
    axis = request.query_params.get("axis", "step")
    if axis not in ("step", "time"):
        raise PageError(400, "`axis` takes `step` or `time`.")
    has_since, has_until = "since" in request.query_params, "until" in request.query_params
    since = _number(request, "since", 0, -LARGEST) if has_since else None
    until = _number(request, "until", 0, -LARGEST) if has_until else None
    curves = []
    for run_id in runs:
        record = record_of(store, run_id)
        points = curve_points(store, record.id, metric, most, axis=axis, since=since, until=until)
        began = int(seconds_of(record.started_at) * 1000) if record.started_at else 0
        curves.append(
            {"run": record.id, "name": record.name, "status": record.status, "began_ms": began, **asdict(points)}
        )
    return {"metric": metric, "curves": curves}


def log_lines(store: Store, request: Request) -> Any:
    """A window of a run's log, its colours as classes."""
    record = record_of(store, request.path_params["run"])
    path = files_of(store, record.id).log
    length = _number(request, "length", WINDOW, 1, MOST)
    if "before" in request.query_params:
        window = log_window(path, _number(request, "before", 0), length, back=True)
    else:
        window = log_window(path, _number(request, "from", 0), length)
    return {**asdict(window), "running": record.status == "running"}


def found_in_log(store: Store, request: Request) -> Any:
    """Where in a run's log a text is next, in bytes."""
    record = record_of(store, request.path_params["run"])
    text = request.query_params.get("text", "")
    direction = request.query_params.get("direction", "next")
    if not text or len(text) > 1000 or direction not in ("next", "previous"):
        raise PageError(400, "`text` is needed, and `direction` takes `next` or `previous`.")
    path = files_of(store, record.id).log
    found = find_in_log(path, text, _number(request, "from", 0), "next" if direction == "next" else "previous")
    return {"at": found}


def artifacts(store: Store, request: Request) -> Any:
    """A run's artifacts as a tree."""
    record = record_of(store, request.path_params["run"])
    return {"artifacts": [_listed(each) for each in artifact_tree(files_of(store, record.id).artifacts)]}


def _listed(entry: Entry) -> dict[str, Any]:
    inside = [_listed(each) for each in entry.entries]
    return {**asdict(entry), "name": plain(entry.name), "path": plain(entry.path), "entries": inside}


def resources(store: Store, request: Request) -> Any:
    """What a run's processes took over time."""
    record = record_of(store, request.path_params["run"])
    samples = read_samples(files_of(store, record.id).samples)
    every = max(1, -(-len(samples) // _MOST_SAMPLES))
    return {"samples": [asdict(each) for each in samples[::every]]}


def compared(store: Store, request: Request) -> Any:
    """Runs side by side. Raises PageError for one, or for too many."""
    runs = request.query_params.getlist("run")
    if not 2 <= len(runs) <= _MOST_COMPARED:
        raise PageError(400, f"From 2 to {_MOST_COMPARED} runs can be compared.")
    return compare([find(store, name) for name in runs]).to_json()


def all_experiments(store: Store, _request: Request) -> Any:
    """The experiments, and how many runs each has."""
    counts = dict(table.tally(store, "experiment"))
    return {
        "experiments": [
            {"id": each.id, "name": each.name, "runs": counts.get(each.name, 0)} for each in experiments(store)
        ]
    }


def all_projects(store: Store, _request: Request) -> Any:
    """The projects, and how many runs each has."""
    return {"projects": [{"name": name, "runs": count} for name, count in table.tally(store, "project")]}


def all_names(store: Store, _request: Request) -> Any:
    """The names of all metrics, parameters and tags in the store."""
    return {section: known_names(store, section) for section in table.SECTIONS}
