"""example-projects/hydra-app: typed parameters as overrides of a Hydra application."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("index")


def test_overrides_arrive_as_they_were_given(record, mlproj, example):
    labels = ["it's", 'say "hi"', "a, b", "[x]", "${y}", "back\\slash", "ünï", "{z: 1}", ""]
    note = "it's = [not] {a: mapping}, \"nor\" ${an: interpolation} \\' # nor a comment"
    made = record(
        example("hydra-app"),
        "-P", "model.lr=1e-3", "-P", "model.layers=8", "-P", "optimizer=sgd", "-P", "data.shuffle=no",
        "-P", "data.labels=" + json.dumps(labels), "-P", f"note={note}",
    )  # fmt: skip
    composed = json.loads(Path(mlproj("artifacts", "path", made["id"], "configuration").stdout.strip()).read_text())
    assert composed == {
        "model": {"lr": 0.001, "layers": [8], "dropout": None},
        "data": {"labels": labels, "shuffle": False},
        "note": note,
        "optimizer": {"name": "sgd", "momentum": 0.9},
    }
    assert made["parameters"]["data.labels"] == labels
    assert made["parameters"]["model.lr"] == 0.001


def test_hydra_leaves_nothing_of_its_own_and_the_next_run_is_warm(record, mlproj, example):
    project = example("hydra-app")
    before = {path.name for path in project.iterdir()}
    first = record(project)
    again = mlproj("run", project, "-P", "model.lr=0.5")
    assert "resolving" not in again.stderr and "installing" not in again.stderr
    assert {path.name for path in project.iterdir()} - before == {"configuration.json"}
    found = json.loads(mlproj("diff", first["id"], "@last", "--json").stdout)
    assert {each["name"] for each in found["parameters"] if not each["same"]} == {"model.lr"}


def test_runs_can_be_searched_by_a_name_with_dots(record, mlproj, example):
    made = record(example("hydra-app"), "-P", "model.lr=0.25")
    found = mlproj("runs", "--json", "--filter", "params.`model.lr` > 0.2")
    assert [each["id"] for each in json.loads(found.stdout)] == [made["id"]]


def test_a_value_that_hydra_would_take_is_refused_by_the_manifest(mlproj, example):
    ran = mlproj("run", example("hydra-app"), "-P", "model.lr=-1", "-P", "optimizer=lion")
    assert ran.returncode == 2
    assert "at least 0" in ran.stderr and "adam, sgd" in ran.stderr


def test_hydra_s_own_failure_is_the_run_s(mlproj, example):
    ran = mlproj("run", example("hydra-app"), "--", "model.no_such_key=1")
    assert ran.returncode == 1
    assert "no_such_key" in ran.stderr
    assert json.loads(mlproj("show", "--json").stdout)["status"] == "failed"
