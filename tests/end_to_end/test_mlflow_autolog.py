"""example-projects/mlflow-autolog: what MLflow's autologging logs is in the run, with no server."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("index")


def test_all_of_it_is_in_the_run(record, mlproj, example):
    project = example("mlflow-autolog")
    made = record(project, "-P", "max_depth=3")
    assert (made["parameters"]["max_depth"], made["parameters"]["n_estimators"]) == (3, 50)
    assert made["parameters"]["criterion"] == "gini"
    assert made["metrics"]["accuracy"] > 0.9
    assert made["metrics"]["training_score"] == 1
    assert "train" in {each["context"] for each in made["datasets"]}
    (model,) = made["models"]
    kept = [each["path"] for output in made["outputs"] for each in output["files"]]
    assert f"{model['path']}/MLmodel" in kept
    shown = mlproj("show", "@last").stdout
    assert f"run {made['id']}" in shown
    assert "RandomForestClassifier" in shown and model["id"] in shown
    children = json.loads(mlproj("runs", "--filter", f"parent = {made['id']}", "--json").stdout)
    assert sorted(each["name"] for each in children) == ["depth 1", "depth 2", "depth 3"]
    assert {each["parameters"]["max_depth"] for each in children} == {"1", "2", "3"}
    assert all(each["status"] == "finished" and each["metrics"]["accuracy"] > 0.5 for each in children)
