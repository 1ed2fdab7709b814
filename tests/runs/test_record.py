from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest

from mlproj.errors import StoreError
from mlproj.files import dump_json
from mlproj.runs.record import (
    EnvironmentRecord,
    FileRecord,
    InputRecord,
    OutputRecord,
    RunRecord,
    SourceRecord,
    from_json,
    run_schema,
    to_json,
)

FULL = RunRecord(
    id="0193" + "a" * 28,
    name="first",
    status="finished",
    exit_status=0,
    parameters={"alpha": 0.1, "flag": True, "names": ["a", "b"], "none": None},
    metrics={"rmse": 57.6, "nanny": math.inf},
    started_at="2026-11-21T11:17:09.123Z",
    source=SourceRecord(kind="git", commit="c" * 40, dirty=True),
    environment=EnvironmentRecord(kind="virtualenv", packages={"numpy": "2.1.0"}),
    inputs=[InputRecord("data.csv", 12, "f" * 64)],
    outputs=[OutputRecord("model", "model/", size=3, files=[FileRecord("model/a", 3, "e" * 64)])],
)


def test_the_first_keys_are_those_of_the_contract() -> None:
    first = """id name project experiment entry_point status exit_status parameters metrics tags user
        started_at duration_s source environment command inputs outputs resources parent"""
    assert list(to_json(FULL))[:20] == first.split()


def test_a_record_comes_back_from_its_file_as_it_was() -> None:
    assert from_json(json.loads(dump_json(to_json(FULL)))) == FULL


def test_nan_survives_as_a_float() -> None:
    record = RunRecord(id=FULL.id, metrics={"loss": math.nan, "low": -math.inf})
    metrics = from_json(json.loads(dump_json(to_json(record)))).metrics
    assert math.isnan(metrics["loss"])
    assert metrics["low"] == -math.inf


def test_keys_of_a_newer_mlproj_are_kept_through_reading_and_writing() -> None:
    newer = {**to_json(FULL), "carbon_g": 12, "source": {**to_json(FULL)["source"], "moon_phase": "full"}}
    record = from_json(newer)
    assert record.source == FULL.source
    assert to_json(record)["carbon_g"] == 12


@pytest.mark.parametrize("damage", [{"status": "dancing"}, {"source": 3}, {"metrics": {"a": "x"}}, {"outputs": [1]}])
def test_a_damaged_record_is_refused_with_its_id(damage: dict[str, object]) -> None:
    with pytest.raises(StoreError, match=FULL.id):
        from_json({**to_json(FULL), **damage})


def test_what_is_no_record_is_refused() -> None:
    for value in ([], None, {}, {"id": 3}):
        with pytest.raises(StoreError, match="no `id`"):
            from_json(value)


def test_records_are_valid_against_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(run_schema())
    validator.check_schema(run_schema())
    for record in (FULL, RunRecord(id=FULL.id, metrics={"x": math.nan})):
        validator.validate(json.loads(dump_json(to_json(record))))
    broken = {**to_json(FULL), "exit_status": "zero"}
    assert not validator.is_valid(broken)
    assert not validator.is_valid({**to_json(FULL), "metrics": {"x": "text"}})


def test_the_schema_describes_every_key() -> None:
    schema = run_schema()
    definitions = [schema, *schema["$defs"].values()]
    assert [name for each in definitions for name, key in each["properties"].items() if "description" not in key] == []


def test_the_committed_schema_is_the_one_of_the_record() -> None:
    committed = Path(__file__).parents[2] / "schemas" / "run.schema.json"
    assert committed.read_text() == dump_json(run_schema()), "write it anew with `mlproj schema run`"
