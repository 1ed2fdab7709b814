from __future__ import annotations

import json
import math

from mlproj.files import dump_json
from mlproj.runs.compare import compare
from mlproj.runs.record import EnvironmentRecord, InputRecord, RunRecord, SourceRecord

ONE = RunRecord(
    id="1" * 32,
    parameters={"alpha": 0.1, "flag": True, "only_one": "x"},
    metrics={"rmse": 57.5, "nanny": math.nan},
    source=SourceRecord(commit="a"),
    environment=EnvironmentRecord(packages={"numpy": "1.26", "scipy": "1.0"}),
    inputs=[InputRecord("data.csv", sha256="f")],
)
OTHER = RunRecord(
    id="2" * 32,
    parameters={"alpha": 0.3, "flag": 1},
    metrics={"rmse": 60.0, "nanny": math.nan},
    source=SourceRecord(commit="b"),
    environment=EnvironmentRecord(packages={"numpy": "2.0", "scipy": "1.0"}),
    inputs=[InputRecord("data.csv", sha256="f")],
)


def test_what_differs_and_by_how_much() -> None:
    comparison = compare([ONE, OTHER])
    parameters = {row.name: row for row in comparison.parameters}
    assert parameters["alpha"].values == [0.1, 0.3]
    assert parameters["only_one"].values == ["x", None]
    assert not parameters["flag"].same, "true is not 1"
    assert {row.name: (row.delta, row.same) for row in comparison.metrics}["rmse"] == (2.5, False)
    assert next(row for row in comparison.metrics if row.name == "nanny").same
    assert [row.name for row in comparison.source if not row.same] == ["commit"]
    assert [row.name for row in comparison.packages if not row.same] == ["numpy"]
    assert [row.same for row in comparison.inputs] == [True]


def test_a_comparison_is_json() -> None:
    mapping = json.loads(dump_json(compare([ONE, OTHER, ONE]).to_json()))
    assert mapping["ids"] == [ONE.id, OTHER.id, ONE.id]
    assert mapping["metrics"][0]["values"] == [57.5, 60.0, 57.5]


def test_nothing_to_compare_is_empty() -> None:
    assert compare([]).ids == []
    assert all(row.same for row in compare([ONE]).parameters)
