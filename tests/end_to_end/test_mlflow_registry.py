"""example-projects/mlflow-registry: a champion is found by its alias, on real servers and with none."""

from __future__ import annotations

import json

import pytest

from tests.mlflow_server import ADMIN

pytestmark = pytest.mark.usefixtures("index")


def test_with_no_server(record, example):
    project = example("mlflow-registry")
    made = record(project)
    assert made["metrics"]["champion_score"] > 0.9
    assert record(project, "-e", "predict")["metrics"]["accuracy"] > 0.9


def test_on_a_server_with_sqlite(record, example, mlproj, mlflow_server):
    project = example("mlflow-registry")
    made = record(project, "--tracking-uri", mlflow_server.uri)
    assert made["tracking"]["sent"] is True
    assert made["experiment"] == "wine-registry"
    client = mlflow_server.client()
    champion = client.get_model_version_by_alias("wine-forest", "champion")
    assert (champion.version, champion.tags["stage"]) == ("2", "production")
    assert client.get_model_version("wine-forest", "1").tags["stage"] == "archived"
    seen = client.get_run(made["tracking"]["run_id"])
    assert seen.data.metrics["champion_score"] == made["metrics"]["champion_score"]
    # Its nested runs are children here too, with what MLflow's evaluation found.
    children = json.loads(mlproj("runs", "--filter", f"parent = {made['id']}", "--json").stdout)
    assert sorted(each["name"] for each in children) == ["deep", "shallow"]
    assert all(each["metrics"]["accuracy_score"] > 0.5 for each in children)
    assert {each["models"][-1]["id"] for each in children} == {"wine-forest/1", "wine-forest/2"}
    assert all(
        any(file["path"].endswith(".png") for each in child["outputs"] for file in each["files"]) for child in children
    )
    assert record(project, "-e", "predict", "--tracking-uri", mlflow_server.uri)["metrics"]["accuracy"] > 0.9


def test_on_a_server_with_postgresql_and_users(record, example, guarded_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN[1])
    project = example("mlflow-registry")
    made = record(project, "--tracking-uri", guarded_server.uri)
    assert made["tracking"]["sent"] is True
    champion = guarded_server.client().get_model_version_by_alias("wine-forest", "champion")
    assert champion.tags["stage"] == "production"
    assert record(project, "-e", "predict", "--tracking-uri", guarded_server.uri)["metrics"]["accuracy"] > 0.9
