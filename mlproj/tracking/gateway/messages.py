"""Records of ours as the messages of MLflow's protocol (``mlflow/protos/service.proto``), in its JSON form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from mlproj.runs.experiments import DEFAULT_EXPERIMENT, Experiment
from mlproj.runs.metric_lines import MetricPoint
from mlproj.runs.record import DatasetRecord, RunRecord
from mlproj.runs.times import seconds_of
from mlproj.runs.totals import NAME_TAG
from mlproj.tracking.gateway.session import View
from mlproj.tracking.mlflow_tags import DATA_CONTEXT, tags_of_origin

STATUSES = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "killed": "KILLED", "lost": "FAILED"}
MODEL_INPUTS = "mlflow.modelInputs"


def run_message(seen: View, experiment: str) -> dict[str, Any]:
    """A whole run, of the experiment with this id."""
    record = seen.record
    return {
        "info": run_info(seen, experiment),
        "data": {
            "metrics": [
                metric_message(MetricPoint(name, each.value, each.step, each.at_ms))
                for name, each in seen.summaries.items()
            ],
            "params": pair_list({name: param_text(value) for name, value in record.parameters.items()}),
            "tags": pair_list(_tags(record)),
        },
        "inputs": {
            "dataset_inputs": [_dataset_input(each) for each in record.datasets],
            "model_inputs": [{"model_id": each} for each in json.loads(record.tags.get(MODEL_INPUTS, "[]"))],
        },
        "outputs": {
            "model_outputs": [
                {"model_id": each.id, "step": each.step} for each in record.models if each.id.startswith("m-")
            ],
        },
    }  # fmt: skip


def run_info(seen: View, experiment: str) -> dict[str, Any]:
    """What a run is, without what it logged."""
    record = seen.record
    info = {
        "run_id": record.id,
        "run_uuid": record.id,
        "run_name": _tags(record)[NAME_TAG],
        "experiment_id": experiment,
        "user_id": record.user or "",
        "status": seen.said or STATUSES[record.status],
        "start_time": round(seconds_of(record.started_at) * 1000) if record.started_at else 0,
        "artifact_uri": f"mlflow-artifacts:/{experiment}/{record.id}/artifacts",
        "lifecycle_stage": "active" if record.deleted_at is None else "deleted",
    }
    return info if seen.ended_ms is None else {**info, "end_time": seen.ended_ms}


def experiment_message(experiment: Experiment) -> dict[str, Any]:
    """An experiment. MLflow writes the name of the default one with a capital."""
    message: dict[str, Any] = {
        "experiment_id": experiment.id,
        "name": "Default" if experiment.name == DEFAULT_EXPERIMENT else experiment.name,
        "artifact_location": f"mlflow-artifacts:/{experiment.id}",
        "lifecycle_stage": "deleted" if experiment.deleted else "active",
        "tags": pair_list(experiment.tags),
    }
    if experiment.created_ms is not None:
        message |= {"creation_time": experiment.created_ms, "last_update_time": experiment.updated_ms}
    return message


def _tags(record: RunRecord) -> dict[str, str]:
    """A run's tags, and those that MLflow's own clients would have set for what we know of it."""
    return {**tags_of_origin(record), **record.tags}


def metric_message(point: MetricPoint) -> dict[str, Any]:
    """One value of a metric."""
    return {
        "key": point.name,
        "value": number_message(point.value),
        "timestamp": point.at_ms or 0,
        "step": point.step or 0,
    }


def number_message(value: float) -> float | str:
    """A number as protocol buffers write it in JSON, which has no form for three of them."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def pair_list(mapping: Mapping[str, str]) -> list[dict[str, str]]:
    """A mapping as a list of keys and values."""
    return [{"key": key, "value": value} for key, value in mapping.items()]


def param_text(value: Any) -> str:
    """A typed value as the text that a script in Python would have logged for it."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def same_value(typed: Any, text: str) -> bool:
    """Whether a logged text says what a parameter's typed value is: ``1e-3`` is ``0.001``, ``true`` is ``True``."""
    if text in (param_text(typed), str(typed)):
        return True
    if isinstance(typed, bool):
        return text.lower() == str(typed).lower()
    if isinstance(typed, (int, float)):
        try:
            return float(text) == float(typed)
        except (ValueError, OverflowError):
            return False
    try:
        return not isinstance(typed, str) and bool(json.loads(text) == typed)
    except ValueError:
        return False


def _dataset_input(dataset: DatasetRecord) -> dict[str, Any]:
    tags = {**({DATA_CONTEXT: dataset.context} if dataset.context else {}), **dataset.tags}
    described = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "schema": dataset.schema,
        "profile": dataset.profile,
    }
    return {"tags": pair_list(tags), "dataset": {name: value for name, value in described.items() if value}}
