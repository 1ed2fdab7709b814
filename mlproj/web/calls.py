"""The calls of ``/api``: each with its address, what it takes and gives, and the function that answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mlproj.files import finite
from mlproj.runs import table
from mlproj.runs.record import to_json
from mlproj.runs.store import Store
from mlproj.web import answers
from mlproj.web.changes import CHANGES, Change
from mlproj.web.errors import PageError
from mlproj.web.run_page import record_of
from mlproj.web.security import check_change
from mlproj.web.stores import Site, changing, reading

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


class _Json(JSONResponse):
    """JSON in ASCII: file names of bytes that are no UTF-8 have only escapes in it."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def answered(site: Site, call: Call, request: Request, body: bytes) -> Response:
    """The answer to a call, as JSON. Raises MlprojError."""
    if call.method != "GET":
        return _changed(site, call, request, body)
    with reading(site) as store:
        if store is None:
            if call.empty is None:
                raise PageError(404, "There is no such run: there is no store yet.")
            return _Json(call.empty)
        return _Json(finite(call.answer(store, request)))


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
        return _Json(finite(to_json(record_of(store, run_id))))


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
        answers.runs_found,
        _object({"total": _WHOLE, "runs": _list(_SUMMARY_OF_RUN)}),
        (
            Parameter("filter", "In the filter language of the command line"),
            Parameter("order_by", "As the command line's, such as `-metrics.rmse`"),
            Parameter("experiment", "Only this experiment's"),
            Parameter("project", "Only this project's"),
            Parameter("trash", "What is in the trash instead", {"type": "boolean"}),
            Parameter("limit", f"At most so many, up to {answers.MOST_RUNS}; 50 unless given", _WHOLE),
            Parameter("offset", "From the so manieth on", _WHOLE),
        ),
        empty={"total": 0, "runs": []},
    ),
    Call("GET", "/api/compare", "Runs side by side", answers.compared, {"type": "object"}, (_SEVERAL,)),
    Call(
        "GET",
        "/api/curves",
        "A metric's curve in one run or several, thinned to what can be drawn",
        answers.curves,
        _object({"metric": _TEXT, "curves": _list(_CURVE)}),
        (
            _SEVERAL,
            Parameter("metric", "The metric's name", required=True),
            Parameter("points", f"About so many of each, up to {answers.MOST_POINTS}; 1000 unless given", _WHOLE),
            Parameter("axis", "What `since` and `until` are of", {"enum": ["step", "time"]}),
            Parameter("since", "From this step, or these milliseconds since the epoch, on", _WHOLE),
            Parameter("until", "Up to there", _WHOLE),
        ),
    ),
    Call(
        "GET",
        "/api/experiments",
        "The experiments",
        answers.all_experiments,
        _object({"experiments": _list(_object({"id": _TEXT, "name": _TEXT, "runs": _WHOLE}))}),
        empty={"experiments": []},
    ),
    Call(
        "GET",
        "/api/projects",
        "The projects",
        answers.all_projects,
        _object({"projects": _list(_object({"name": _TEXT, "runs": _WHOLE}))}),
        empty={"projects": []},
    ),
    Call(
        "GET",
        "/api/names",
        "The names of all parameters, metrics and tags",
        answers.all_names,
        _object({section: _list(_TEXT) for section in table.SECTIONS}),
        empty={section: [] for section in table.SECTIONS},
    ),
    Call(
        "GET",
        "/api/runs/{run}",
        "The whole record of a run",
        answers.record,
        _RECORD,
        (Parameter("run", "An id, the beginning of one, a name, `@last`, `@best:metric`", required=True),),
    ),
    Call(
        "GET",
        "/api/runs/{run}/metrics",
        "A run's metrics",
        answers.summaries,
        _object({"metrics": _list(_SUMMARY)}),
        (_WHICH,),
    ),
    Call(
        "GET",
        "/api/runs/{run}/log",
        "Lines of a run's log, each a list of texts with the classes of their colours",
        answers.log_lines,
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
        answers.found_in_log,
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
        answers.artifacts,
        _object({"artifacts": _list({"type": "object"})}),
        (_WHICH,),
    ),
    Call(
        "GET",
        "/api/runs/{run}/resources",
        "What a run's processes took over time",
        answers.resources,
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
