"""example-projects/requirements-project: a requirements file with constraints, metrics from what is printed."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("index")


def test_the_constraint_holds_and_installs_nothing_itself(record, example):
    made = record(example("requirements-project"))
    assert made["environment"]["packages"] == {"tabulate": "0.9.0"}


def test_metrics_are_read_off_the_table(mlproj, record, example, own_home):
    made = record(example("requirements-project"), "-P", "points=5000")
    printed = mlproj("logs", made["id"]).stdout
    assert f"    5000      {made['metrics']['estimate']:.4f}" in printed
    assert f"error: {made['metrics']['error']:.6f}" in printed
    lines = (own_home / "runs" / made["id"] / "metrics.jsonl").read_text().splitlines()
    steps = [point["step"] for point in map(json.loads, lines) if point["name"] == "estimate"]
    assert steps == list(range(500, 5001, 500))


def test_the_second_run_is_warm(mlproj, record, example):
    project = example("requirements-project")
    first = record(project)
    again = mlproj("run", project, "-P", "seed=8")
    assert again.returncode == 0
    assert "resolving" not in again.stderr and "installing" not in again.stderr
    found = json.loads(mlproj("diff", first["id"], "@last", "--json").stdout)
    assert {each["name"] for each in found["parameters"] if not each["same"]} == {"seed"}
    assert not all(each["same"] for each in found["metrics"])


def test_another_constraint_is_another_environment(record, example):
    project = example("requirements-project")
    first = record(project)
    (project / "constraints.txt").write_text("tabulate==0.8.10\n")
    second = record(project)
    assert second["environment"]["packages"] == {"tabulate": "0.8.10"}
    assert second["environment"]["key"] != first["environment"]["key"]
