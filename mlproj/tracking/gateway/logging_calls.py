"""``runs/log-…``, tags, inputs, and reading metrics back: what a client logs to a run."""

from __future__ import annotations

import json
import math
from typing import Any

from mlproj.runs.metric_history import metric_history
from mlproj.runs.metric_lines import LARGEST_STEP, LONGEST_TEXT
from mlproj.runs.totals import NAME_TAG
from mlproj.text import one_line
from mlproj.tracking.gateway.call import Answer, Call, CallTable
from mlproj.tracking.gateway.errors import invalid, missing
from mlproj.tracking.gateway.limits import check_batch, check_key, check_length, check_param, check_tag
from mlproj.tracking.gateway.messages import MODEL_INPUTS, metric_message, param_text, same_value
from mlproj.tracking.gateway.model_calls import note_metrics
from mlproj.tracking.gateway.session import Session, files, log, log_points, rename, view
from mlproj.tracking.mlflow_tags import DATA_CONTEXT

_MOST_RUNS = 100
_MOST_POINTS = 25_000
_LONGEST_DESCRIPTION = 150_000
LOGGED_MODELS = "mlflow.log-model.history"


def log_metric(session: Session, call: Call) -> Answer:
    """One value of one metric."""
    point = _point(call)
    log_points(session, call.run_id, [point])
    note_metrics(session, call.run_id, [call], [point])
    return {}


def log_parameter(session: Session, call: Call) -> Answer:
    """One parameter; one that has another value already keeps it, and the client is told."""
    log(session, call.run_id, _param_lines(session, call.run_id, [call]))
    return {}


def set_tag(session: Session, call: Call) -> Answer:
    """One tag."""
    _log_tags(session, call.run_id, dict([_tag(call)]))
    return {}


def delete_tag(session: Session, call: Call) -> Answer:
    """Take a tag away."""
    key = call.text("key")
    if key not in view(session, call.run_id).record.tags:
        raise missing(f"No tag with name: {key} in run with id {call.run_id}")
    log(session, call.run_id, [{"tags": {key: None}}])
    return {}


def log_batch(session: Session, call: Call) -> Answer:
    """Metrics, parameters and tags at once: all of them, or none when one cannot be."""
    check_batch(call)
    metrics = call.items("metrics")
    points = [_point(each) for each in metrics]
    lines: list[dict[str, Any]] = []
    tags = dict(_tag(each) for each in call.items("tags"))
    params = call.items("params")
    if params:
        lines += _param_lines(session, call.run_id, params)
    log_points(session, call.run_id, points)
    log(session, call.run_id, lines)
    _log_tags(session, call.run_id, tags)
    note_metrics(session, call.run_id, metrics, points)
    return {}


def log_inputs(session: Session, call: Call) -> Answer:
    """Datasets that a run read."""
    lines = []
    for each in call.items("datasets"):
        dataset, tags = each.item("dataset"), each.pairs("tags")
        line: dict[str, Any] = {
            "name": dataset.text("name"),
            "digest": dataset.text("digest"),
            "context": tags.pop(DATA_CONTEXT, ""),
            "tags": tags,
        }
        for key in ("source_type", "source", "schema", "profile"):
            line[key] = dataset.text(key, default="")
        if sum(len(str(each)) for each in line.values()) > _LONGEST_DESCRIPTION:
            shown = one_line(line["name"][:80])
            session.notices[f"the schema and the profile of dataset {shown} are too large to be kept"] = None
            line |= {"schema": "", "profile": ""}
        check_length("Dataset source", line["source"], _LONGEST_DESCRIPTION)
        lines.append({"dataset": line})
    if models := [each.text("model_id") for each in call.items("models")]:
        known = json.loads(view(session, call.run_id).record.tags.get(MODEL_INPUTS, "[]"))
        lines.append({"tags": {MODEL_INPUTS: json.dumps([*known, *models])}})
    log(session, call.run_id, lines)
    return {}


def log_model(session: Session, call: Call) -> Answer:
    """That a model is among a run's artifacts, as clients before 3.0 say it."""
    try:
        model = json.loads(call.text("model_json"))
        path, flavors = str(model["artifact_path"]), sorted(model["flavors"])
    except (ValueError, TypeError, KeyError):
        raise invalid("Malformed model info: it has to be JSON with artifact_path and flavors.") from None
    history = [*json.loads(view(session, call.run_id).record.tags.get(LOGGED_MODELS, "[]")), model]
    while len(history) > 1 and len(json.dumps(history)) > LONGEST_TEXT:
        history.pop(0)  # the record lists them all
    identifier = str(model.get("model_uuid") or path)
    log(
        session,
        call.run_id,
        [
            {"tags": {LOGGED_MODELS: json.dumps(history)[:LONGEST_TEXT]}},
            {"model": {"id": identifier, "name": path, "path": path, "flavors": flavors}},
        ],
    )
    return {}


def history(session: Session, call: Call) -> Answer:
    """All values of a metric, in the order of their steps."""
    key = call.text("metric_key")
    first, most = call.integer("page_token", default=0), call.integer("max_results", default=0)
    points = _points(session, call.run_id, key, max(0, first), most + 1 if most > 0 else None)
    answer: dict[str, Any] = {"metrics": [metric_message(each) for each in points[: most or None]]}
    return {**answer, "next_page_token": str(first + most)} if 0 < most < len(points) else answer


def history_bulk(session: Session, call: Call) -> Answer:
    """All values of a metric of several runs."""
    run_ids = call.texts("run_id")
    most = min(call.integer("max_results", default=_MOST_POINTS), _MOST_POINTS)
    found = [
        {**metric_message(each), "run_id": run_id}
        for run_id in run_ids[:_MOST_RUNS]
        for each in _points(session, run_id, call.text("metric_key"))
    ]
    return {"metrics": found[:most]}


def history_bulk_interval(session: Session, call: Call) -> Answer:
    """Values of a metric of several runs, evenly thinned out to about ``max_results`` steps each."""
    run_ids, key = call.texts("run_ids"), call.text("metric_key")
    if not run_ids or len(run_ids) > _MOST_RUNS:
        raise invalid(f"GetMetricHistoryBulkInterval takes 1 to {_MOST_RUNS} runs. Got {len(run_ids)}.")
    most = call.integer("max_results", default=320)
    start, stop = call.integer("start_step", default=-(1 << 63)), call.integer("end_step", default=1 << 63)
    if most < 1 or start > stop:
        raise invalid("max_results has to be positive, and start_step not larger than end_step.")
    found = []
    for run_id in run_ids:
        points = [each for each in _points(session, run_id, key) if start <= (each.step or 0) <= stop]
        stride = max(1, math.ceil(len(points) / most))
        kept = [*points[::stride], *(points[-1:] if (len(points) - 1) % stride else [])]
        found += [{**metric_message(each), "run_id": run_id} for each in kept]
    return {"metrics": found}


def _points(session: Session, run_id: str, key: str, first: int = 0, most: int | None = None) -> list[Any]:
    files(session, run_id)
    if run_id in session.open_runs:
        session.open_runs[run_id].intake.store_all()
    return metric_history(session.store, run_id, key, first, most)


def _point(call: Call) -> list[Any]:
    """Name, value, step and time, as a line of the run's file has them."""
    key = call.text("key")
    check_key("metric", key, call.client)
    value = call.fields.get("value")
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        raise invalid(f"Got invalid value {value} for metric '{key}' (timestamp={call.fields.get('timestamp')}). "
                      "Please specify value as a valid double (64-bit floating point)") from None  # fmt: skip
    step, at_ms = call.integer("step", default=0), call.integer("timestamp", default=-1)
    if max(abs(step), abs(at_ms)) > LARGEST_STEP:
        raise invalid(f"Metric '{key}': step {step} or timestamp {at_ms} is too large.")
    return [key, number, step, None if call.fields.get("timestamp") in (None, "") else at_ms]


def _param_lines(session: Session, run_id: str, params: list[Call]) -> list[dict[str, Any]]:
    given: dict[str, str] = {}
    for each in params:
        key, value = each.text("key"), each.text("value", default="")
        check_param(key, value, each.client)
        if given.setdefault(key, value) != value:
            raise invalid(
                f"Duplicate parameter keys have been submitted: ['{key}']. Please ensure the request contains only one "
                "param value per param key."
            )
    known = view(session, run_id).record.parameters
    for key, value in given.items():
        if key in known and not same_value(known[key], value):
            raise invalid(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{param_text(known[key])}' for run ID='{run_id}'. Attempted logging new value '{value}'."
            )
    # A line each: all of them in one might be longer than a line can be.
    return [{"param": key, "value": value} for key, value in given.items() if key not in known]


def _log_tags(session: Session, run_id: str, tags: dict[str, str]) -> None:
    if NAME_TAG in tags:
        rename(session, run_id, one_line(tags.pop(NAME_TAG)))
    if tags:
        log(session, run_id, [{"tag": key, "value": value} for key, value in tags.items()])


def _tag(call: Call) -> tuple[str, str]:
    key, value = call.text("key"), call.text("value", default="")
    check_tag(key, value, call.client)
    return key, value


CALLS: CallTable = {
    ("POST", "runs/log-metric"): log_metric,
    ("POST", "runs/log-parameter"): log_parameter,
    ("POST", "runs/log-batch"): log_batch,
    ("POST", "runs/log-inputs"): log_inputs,
    ("POST", "runs/log-model"): log_model,
    ("POST", "runs/set-tag"): set_tag,
    ("POST", "runs/delete-tag"): delete_tag,
    ("GET", "metrics/get-history"): history,
    ("GET", "metrics/get-history-bulk"): history_bulk,
    ("GET", "metrics/get-history-bulk-interval"): history_bulk_interval,
}
