"""The examples that hold an MLproject: mlproj and MLflow's own `mlflow run` do the same with them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("index")


def mlflow_run(record: dict[str, Any], project: Path, *arguments: str) -> str:
    """Run a project by the `mlflow` that mlproj put into its environment, and give what its commands print."""
    programs = Path(record["environment"]["interpreter"]).parent
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = [str(programs / "mlflow"), "run", str(project), "--env-manager", "local", *arguments]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_elasticnet_is_the_same_run_by_either(mlproj: Any, record: Any, example: Any, tmp_path: Path) -> None:
    project = example("mlproject-elasticnet")
    made = record(project, "-P", "alpha=0.10")
    assert made["command"]["argv"] == ["python", "train.py", "0.10", "0.1"]
    assert made["command"]["shell"] is None
    assert made["parameters"] == {"alpha": "0.10", "l1_ratio": "0.1"}
    printed, model = mlproj("logs", made["id"]).stdout, (project / "model.json").read_text()
    (project / "model.json").unlink()
    by_mlflow = mlflow_run(made, project, "-P", "alpha=0.10")
    # What a client says of where its run is to be seen differs.
    said = [[line for line in text.splitlines() if line.startswith("alpha=")] for text in (by_mlflow, printed)]
    assert said[0] == said[1] != []
    assert (project / "model.json").read_text() == model
    assert json.loads(model)["argv"] == ["0.10", "0.1"]


def test_the_sweep_is_a_shell_command_that_no_value_becomes_a_part_of(record: Any, example: Any) -> None:
    project = example("mlproject-elasticnet")
    title = """It's "a" $(title)"""
    made = record(project, "-e", "sweep", "-P", "alphas=0.1 0.5", "-P", f"title={title}")
    assert made["command"]["shell"] == "bash"
    lines = (project / "sweep.md").read_text().splitlines()
    assert lines[0] == f"# {title}"
    assert [line.split()[1] for line in lines[1:]] == ["alpha=0.1", "alpha=0.5"]
    mlflow_run(made, project, "-e", "sweep", "-P", "alphas=0.1 0.5", "-P", "title=Plain")
    assert (project / "sweep.md").read_text().splitlines() == ["# Plain", *lines[1:]]


def test_a_migrated_project_does_the_same(mlproj: Any, record: Any, example: Any) -> None:
    project = example("mlproject-elasticnet")
    before = record(project, "-P", "alpha=0.10")
    migrated = mlproj("migrate", project)
    assert migrated.returncode == 0
    after = record(project, "-P", "alpha=0.10")
    assert after["command"]["argv"] == before["command"]["argv"]
    assert after["environment"]["packages"] == before["environment"]["packages"]
    found = mlproj("run", project, "-e", "sweep", "-P", "alphas=0.1", "-P", "title=It's a title")
    assert (found.returncode, (project / "sweep.md").read_text().splitlines()[0]) == (0, "# It's a title")


def test_the_steps_run_one_another_by_mlflow(mlproj: Any, record: Any, example: Any) -> None:
    project = example("mlproject-steps")
    made = record(project, "-P", "rows=120")
    printed = mlproj("logs", made["id"]).stdout.splitlines()
    assert [line for line in printed if line.startswith("step ")] == [
        "step load_raw_data",
        "step etl_data",
        "step train",
    ]
    assert "runs 4" in printed
    model = (project / "model.json").read_text()
    (project / "model.json").unlink()
    mlflow_run(made, project, "-P", "rows=120")
    assert (project / "model.json").read_text() == model


def test_one_step_alone(record: Any, example: Any) -> None:
    project = example("mlproject-steps")
    made = record(project, "-e", "load_raw_data", "-P", "rows=7")
    assert made["command"]["argv"] == ["python", "load_raw_data.py", "--rows", "7"]
    assert len((project / "raw.csv").read_text().splitlines()) == 8
