"""Weights & Biases, Comet and Neptune, really, in their offline modes: what they write links to the run and is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlproj.tracking.other_trackers import tracker_variables

WANDB = """
import wandb
run = wandb.init(project="fruit", mode="offline")
wandb.log({"loss": 0.5})
print("name", run.name, run.notes)
run.finish()
"""
COMET = """
import comet_ml
experiment = comet_ml.OfflineExperiment(api_key="none", project_name="fruit")
experiment.log_metric("loss", 0.5)
experiment.end()
"""
NEPTUNE = """
import neptune
run = neptune.init_run(project="team/fruit", mode="offline", capture_hardware_metrics=False, git_ref=False)
run["loss"].append(0.5)
run.stop()
"""


def test_variables_that_are_set_stay() -> None:
    added = tracker_variables({"WANDB_NAME": "mine"}, "0193" * 8, "", "/artifacts")
    assert "WANDB_NAME" not in added
    assert (added["WANDB_NOTES"], added["COMET_EXPERIMENT_NAME"]) == (f"mlproj run {'0193' * 8}", "019301930193")
    assert tracker_variables({}, "0193" * 8, "first", "/artifacts")["WANDB_NAME"] == "first"


@pytest.mark.parametrize(
    ("script", "folder"), [(WANDB, "wandb/offline-run-"), (COMET, "comet/"), (NEPTUNE, "neptune/offline/")]
)
def test_what_they_keep_offline_is_among_the_artifacts(
    mlproj: Any, project: Any, python_of: Any, script: str, folder: str
) -> None:
    words = json.dumps([str(python_of("others")), "t.py"])
    made = project(f"environment: {{system: {{}}}}\nentry_points: {{main: {{command: {words}}}}}\n", {"t.py": script})
    done = mlproj("run", made, "--name", "first try", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    kept = [each["path"] for output in record["outputs"] for each in output["files"]]
    assert any(each.startswith(folder) for each in kept), kept
    assert record["notices"] == []
    assert not any((made / name).exists() for name in ("wandb", ".cometml-runs", ".neptune"))
    if script is WANDB:
        assert f"name first try mlproj run {record['id']}" in mlproj("logs", record["id"]).stdout
