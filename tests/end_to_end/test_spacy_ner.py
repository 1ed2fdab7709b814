"""example-projects/spacy-ner: a curve, inputs by content, a folder as artifact."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("index")


def test_a_run_logs_a_curve_and_keeps_the_pipeline(mlproj, record, example, own_home):
    project = example("spacy-ner")
    made = record(project)
    assert made["metrics"]["f1"] > 0.5
    corpus = {each["path"]: each["sha256"] for each in made["inputs"]}
    assert corpus["data/train.txt"] == hashlib.sha256((project / "data/train.txt").read_bytes()).hexdigest()
    assert {"model/config.cfg", "model/ner/model"} <= {
        each["path"] for output in made["outputs"] for each in output["files"]
    }

    lines = (own_home / "runs" / made["id"] / "metrics.jsonl").read_text().splitlines()
    losses = [point for point in map(json.loads, lines) if point["name"] == "loss"]
    assert [point["step"] for point in losses] == list(range(1, 41))
    assert losses[-1]["value"] < losses[0]["value"] / 10
    assert any(block in mlproj("show", "@last").stdout for block in "▁▂▃▄▅▆▇█")
    assert "epoch  8" in mlproj("logs").stdout


def test_the_kept_pipeline_works_in_another_run(mlproj, record, example, project):
    made = record(example("spacy-ner"))
    model = Path(mlproj("artifacts", "path", made["id"], "model").stdout.strip())
    reader = project(
        """
        environment: {virtualenv: {python: ">=3.10,<3.14", dependencies: ["spacy>=3.8.7"]}}
        entry_points:
          main:
            command: [python, -c, "import spacy, sys; print(spacy.load(sys.argv[1])('I saw Oslo.').ents)", "{model}"]
            parameters: {model: {type: path}}
        """
    )
    ran = mlproj("run", reader, "-P", f"model={model}")
    assert "(Oslo,)" in ran.stdout
    assert "installing" not in ran.stderr, "two projects that resolve to the same share one environment"


def test_another_corpus_shows_in_the_comparison(mlproj, record, example):
    project = example("spacy-ner")
    first = record(project, "-P", "epochs=1")
    with (project / "data" / "train.txt").open("a") as corpus:
        corpus.write("[Ada Weber](PERSON) sings in [Rome](CITY).\n")
    again = mlproj("run", project, "-P", "epochs=1")
    assert "resolving" not in again.stderr and "installing" not in again.stderr
    found = json.loads(mlproj("diff", first["id"], "@last", "--json").stdout)
    assert {each["name"]: each["same"] for each in found["inputs"]} == {
        "data/train.txt": False,
        "data/test.txt": True,
    }


def test_a_missing_corpus_is_told_and_nothing_runs(mlproj, example):
    project = example("spacy-ner")
    (project / "data" / "test.txt").unlink()
    ran = mlproj("run", project)
    assert ran.returncode == 125 and "data/test.txt" in ran.stderr
    assert json.loads(mlproj("show", "@last", "--json").stdout)["status"] == "failed"
