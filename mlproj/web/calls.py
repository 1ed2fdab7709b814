"""The calls of ``/api``: each with its address, what it takes and gives, and the function that answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlproj.files import finite
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
from mlproj.web.changes import CHANGES, Change
from mlproj.web.errors import PageError
from mlproj.web.logs import MOST, WINDOW, find_in_log, log_window
from mlproj.web.run_page import record_of
from mlproj.web.security import check_change
from mlproj.web.stores import Site, changing, reading

_MOST_RUNS = 1000
_MOST_POINTS = 20_000
_MOST_COMPARED = 50
_MOST_SAMPLES = 1000
_LARGEST = 1 << 53
Schema = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """Something that a call takes in its address."""

    name: str
    description: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True)
class Call:
    """A call: ``answer`` is handed the store and the request, and gives what is sent as JSON."""

    method: str
    path: str
    summary: str
    answer: Callable[[Store, Request], Any]
    gives: Schema
    parameters: tuple[Parameter, ...] = ()
    empty: Any = None
    body: Schema | None = None


def answered(site: Site, call: Call, request: Request, body: bytes) -> Response:
    """The answer to a call, as JSON. Raises MlprojError."""
    if call.method != "GET":
        return _changed(site, call, request, body)
    with reading(site) as store:
        if store is None:
            if call.empty is None:
                raise PageError(404, "There is no such run: there is no store yet.")
            return JSONResponse(call.empty)
        return JSONResponse(finite(call.answer(store, request)))


def _changed(site: Site, call: Call, request: Request, body: bytes) -> Response:
    check_change(request, site.access, {})
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise PageError(400, "The body is not JSON.") from None
    tag, value = (given.get("tag", ""), given.get("value", "")) if isinstance(given, dict) else (None, None)
    if not isinstance(tag, str) or not isinstance(value, str):
        raise PageError(400, "The body is an object with texts.")
    run_id = request.path_params["run"]
    with changing(site) as store:
        CHANGES[call.path.rpartition("/")[2]](store, Change([run_id], tag, value))
        return JSONResponse(finite(to_json(record_of(store, run_id))))


def _number(request: Request, name: str, default: int, least: int = 0, most: int = _LARGEST) -> int:
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


def _runs(store: Store, request: Request) -> Any:
    query = request.query_params
    selection = Selection(
        query.get("filter", ""),
        query.get("order_by", ""),
        query.get("experiment"),
        query.get("project"),
        query.get("trash") == "true",
    )
    first, most = _number(request, "offset", 0), _number(request, "limit", 50, 1, _MOST_RUNS)
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


def _run(store: Store, request: Request) -> Any:
    return to_json(find(store, request.path_params["run"]))


def _summaries(store: Store, request: Request) -> Any:
    record = record_of(store, request.path_params["run"])
    return {"metrics": [asdict(each) for each in metric_summaries(store, record.id)]}


def _curves(store: Store, request: Request) -> Any:
    metric = request.query_params.get("metric", "")
    runs = request.query_params.getlist("run")
    if not metric or not 1 <= len(runs) <= _MOST_COMPARED:
        raise PageError(400, f"`metric` and from 1 to {_MOST_COMPARED} times `run` are needed.")
    most = _number(request, "points", 1000, 2, _MOST_POINTS)
    axis = request.query_params.get("axis", "step")
    if axis not in ("step", "time"):
        raise PageError(400, "`axis` takes `step` or `time`.")
    has_since, has_until = "since" in request.query_params, "until" in request.query_params
    since = _number(request, "since", 0, -_LARGEST) if has_since else None
    until = _number(request, "until", 0, -_LARGEST) if has_until else None
    curves = []
    for run_id in runs:
        record = record_of(store, run_id)
        points = curve_points(store, record.id, metric, most, axis=axis, since=since, until=until)
        began = int(seconds_of(record.started_at) * 1000) if record.started_at else 0
        curves.append(
            {"run": record.id, "name": record.name, "status": record.status, "began_ms": began, **asdict(points)}
        )
    return {"metric": metric, "curves": curves}


def _log(store: Store, request: Request) -> Any:
    record = record_of(store, request.path_params["run"])
    path = files_of(store, record.id).log
    length = _number(request, "length", WINDOW, 1, MOST)
    if "before" in request.query_params:
        window = log_window(path, _number(request, "before", 0), length, back=True)
    else:
        window = log_window(path, _number(request, "from", 0), length)
    return {**asdict(window), "running": record.status == "running"}


def _found(store: Store, request: Request) -> Any:
    record = record_of(store, request.path_params["run"])
    text = request.query_params.get("text", "")
    direction = request.query_params.get("direction", "next")
    if not text or len(text) > 1000 or direction not in ("next", "previous"):
        raise PageError(400, "`text` is needed, and `direction` takes `next` or `previous`.")
    path = files_of(store, record.id).log
    found = find_in_log(path, text, _number(request, "from", 0), "next" if direction == "next" else "previous")
    return {"at": found}


def _artifacts(store: Store, request: Request) -> Any:
    record = record_of(store, request.path_params["run"])
    return {"artifacts": [_listed(each) for each in artifact_tree(files_of(store, record.id).artifacts)]}


def _listed(entry: Entry) -> dict[str, Any]:
    inside = [_listed(each) for each in entry.entries]
    return {**asdict(entry), "name": plain(entry.name), "path": plain(entry.path), "entries": inside}


def _resources(store: Store, request: Request) -> Any:
    record = record_of(store, request.path_params["run"])
    samples = read_samples(files_of(store, record.id).samples)
    every = max(1, -(-len(samples) // _MOST_SAMPLES))
    return {"samples": [asdict(each) for each in samples[::every]]}


def _compared(store: Store, request: Request) -> Any:
    runs = request.query_params.getlist("run")
    if not 2 <= len(runs) <= _MOST_COMPARED:
        raise PageError(400, f"From 2 to {_MOST_COMPARED} runs can be compared.")
    return compare([find(store, name) for name in runs]).to_json()


def _experiments(store: Store, request: Request) -> Any:  # noqa: ARG001
    counts = dict(table.tally(store, "experiment"))
    return {
        "experiments": [
            {"id": each.id, "name": each.name, "runs": counts.get(each.name, 0)} for each in experiments(store)
        ]
    }


def _projects(store: Store, request: Request) -> Any:  # noqa: ARG001
    return {"projects": [{"name": name, "runs": count} for name, count in table.tally(store, "project")]}


def _names(store: Store, request: Request) -> Any:  # noqa: ARG001
    return {section: known_names(store, section) for section in table.SECTIONS}


def _no_answer(store: Store, request: Request) -> Any:
    raise NotImplementedError


_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
_MAYBE: Schema = {"anyOf": [*_NUMBER["anyOf"], {"type": "null"}]}
_RECORD: Schema = {"$ref": "#/components/schemas/Run"}


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_WHICH = Parameter("run", "The run's whole id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, required=True)
_SEVERAL = Parameter("run", "A run, several times", _list(_TEXT), required=True)
_SUMMARY = _object(
    {
        "name": _TEXT,
        "value": _NUMBER,
        "step": _WHOLE,
        "at_ms": _WHOLE,
        "lowest": _MAYBE,
        "highest": _MAYBE,
        "points": _WHOLE,
    }
)
_CURVE = _object(
    {
        "run": _TEXT, "name": _TEXT, "status": _TEXT, "began_ms": _WHOLE, "steps": _list(_WHOLE),
        "times_ms": _list(_WHOLE),
        "values": _list(_MAYBE), "total": _WHOLE, "lowest": _MAYBE, "highest": _MAYBE,
    }
)  # fmt: skip
_SUMMARY_OF_RUN: Schema = {
    "type": "object",
    "description": "The attributes of the filter language, and the names and values of parameters, metrics and tags",
    "properties": {"id": _TEXT, "status": _TEXT, **{section: {"type": "object"} for section in table.SECTIONS}},
    "required": ["id", "status", "params", "metrics", "tags"],
}  # fmt: skip

CALLS: tuple[Call, ...] = (
    Call(
        "GET",
        "/api/runs",
        "The runs that a filter means, and how many there are",
        _runs,
        _object({"total": _WHOLE, "runs": _list(_SUMMARY_OF_RUN)}),
        (
            Parameter("filter", "In the filter language of the command line"),
            Parameter("order_by", "As the command line's, such as `-metrics.rmse`"),
            Parameter("experiment", "Only this experiment's"),
            Parameter("project", "Only this project's"),
            Parameter("trash", "What is in the trash instead", {"type": "boolean"}),
            Parameter("limit", f"At most so many, up to {_MOST_RUNS}; 50 unless given", _WHOLE),
            Parameter("offset", "From the so manieth on", _WHOLE),
        ),
        empty={"total": 0, "runs": []},
    ),
    Call("GET", "/api/compare", "Runs side by side", _compared, {"type": "object"}, (_SEVERAL,)),
    Call(
        "GET",
        "/api/curves",
        "A metric's curve in one run or several, thinned to what can be drawn",
        _curves,
        _object({"metric": _TEXT, "curves": _list(_CURVE)}),
        (
            _SEVERAL,
            Parameter("metric", "The metric's name", required=True),
            Parameter("points", f"About so many of each, up to {_MOST_POINTS}; 1000 unless given", _WHOLE),
            Parameter("axis", "What `since` and `until` are of", {"enum": ["step", "time"]}),
            Parameter("since", "From this step, or these milliseconds since the epoch, on", _WHOLE),
            Parameter("until", "Up to there", _WHOLE),
        ),
    ),
    Call(
        "GET",
        "/api/experiments",
        "The experiments",
        _experiments,
        _object({"experiments": _list(_object({"id": _TEXT, "name": _TEXT, "runs": _WHOLE}))}),
        empty={"experiments": []},
    ),
    Call(
        "GET",
        "/api/projects",
        "The projects",
        _projects,
        _object({"projects": _list(_object({"name": _TEXT, "runs": _WHOLE}))}),
        empty={"projects": []},
    ),
    Call(
        "GET",
        "/api/names",
        "The names of all parameters, metrics and tags",
        _names,
        _object({section: _list(_TEXT) for section in table.SECTIONS}),
        empty={section: [] for section in table.SECTIONS},
    ),
    Call(
        "GET",
        "/api/runs/{run}",
        "The whole record of a run",
        _run,
        _RECORD,
        (Parameter("run", "An id, the beginning of one, a name, `@last`, `@best:metric`", required=True),),
    ),
    Call(
        "GET",
        "/api/runs/{run}/metrics",
        "A run's metrics",
        _summaries,
        _object({"metrics": _list(_SUMMARY)}),
        (_WHICH,),
    ),
    Call(
        "GET",
        "/api/runs/{run}/log",
        "Lines of a run's log, each a list of texts with the classes of their colours",
        _log,
        _object(
            {
                "start": _WHOLE,
                "end": _WHOLE,
                "size": _WHOLE,
                "lines": _list(_list(_list(_TEXT))),
                "running": {"type": "boolean"},
            }
        ),
        (
            _WHICH,
            Parameter("from", "The byte to begin at", _WHOLE),
            Parameter("before", "The byte to end at, instead", _WHOLE),
            Parameter("length", "About so many bytes", _WHOLE),
        ),
    ),
    Call(
        "GET",
        "/api/runs/{run}/log/find",
        "Where a text is in a run's log, in any case",
        _found,
        _object({"at": {"type": ["integer", "null"]}}),
        (
            _WHICH,
            Parameter("text", "The text", required=True),
            Parameter("from", "The byte to begin at", _WHOLE),
            Parameter("direction", "Which way", {"enum": ["next", "previous"]}),
        ),
    ),
    Call(
        "GET",
        "/api/runs/{run}/artifacts",
        "A run's artifacts, as a tree",
        _artifacts,
        _object({"artifacts": _list({"type": "object"})}),
        (_WHICH,),
    ),
    Call(
        "GET",
        "/api/runs/{run}/resources",
        "What a run's processes took over time",
        _resources,
        _object({"samples": _list({"type": "object"})}),
        (_WHICH,),
    ),
    *(
        Call(
            "POST",
            f"/api/runs/{{run}}/{name}",
            summary,
            _no_answer,
            _RECORD,
            (_WHICH,),
            body=body,
        )
        for name, summary, body in (
            ("tag", "Set a tag", _object({"tag": _TEXT, "value": _TEXT})),
            ("untag", "Remove a tag", _object({"tag": _TEXT})),
            ("delete", "Move a run to the trash", {"type": "object"}),
            ("restore", "Take a run out of the trash", {"type": "object"}),
            ("stop", "Stop a running run, and wait for its end", {"type": "object"}),
        )
    ),
)
