"""Every example is had again from its record, and comes out the same: what may differ, its manifest says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Example = Callable[[str], Path]
# What differs in each run is MLflow's own: the id of the run and the time in the description of a model.
EQUIVALENT = {"mlflow-autolog"}
IDENTICAL = (
    "ci-pipeline",
    "elasticnet-diabetes",
    "hello-params",
    "hydra-app",
    "mlflow-autolog",
    "mlproject-elasticnet",
) + ("mlproject-steps", "reproducible-report", "requirements-project", "spacy-ner")


def committed(folder: Path) -> Path:
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(folder)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *command], check=True)
    return folder


def verdict(mlproj: Any, folder: Path, *words: str, **options: Any) -> dict[str, Any]:
    done = mlproj("run", folder, *words, **options)
    assert done.returncode == 0, done.stderr
    again = mlproj("reproduce", "@last", "--json", **options)
    assert again.returncode in (0, 1), again.stderr
    found: dict[str, Any] = json.loads(again.stdout)
    return found


@pytest.mark.parametrize("name", IDENTICAL)
def test_an_example_comes_out_the_same(mlproj: Any, example: Example, index: None, name: str) -> None:
    found = verdict(mlproj, committed(example(name)))
    assert found["verdict"] == ("equivalent" if name in EQUIVALENT else "identical"), found["differences"]


def test_one_without_a_seed_does_not_and_the_reasons_are_told(mlproj: Any, example: Example) -> None:
    folder = committed(example("unseeded"))
    found = verdict(mlproj, folder)
    assert found["verdict"] == "different"
    assert found["reasons"][0] == "timestamps in the output: stamp.txt"
    assert "randomness without a seed" in found["reasons"][-1]
    seeded = verdict(mlproj, folder, "-P", "seed=1")
    assert [each["what"] for each in seeded["differences"]] == ["output stamp (stamp.txt)"]
    assert len(seeded["reasons"]) == 1


def test_a_conda_environment_is_had_again_by_its_lock(
    mlproj: Any, example: Example, conda_channel: Path, tmp_path: Path
) -> None:
    condarc = tmp_path / "condarc"
    condarc.write_text(f"channel_alias: file://{conda_channel}\n")
    found = verdict(mlproj, committed(example("conda-penguins")), env={"CONDARC": str(condarc)})
    assert found["verdict"] == "identical", found["differences"]


def test_an_image_that_is_built_is_had_again(
    mlproj: Any, example: Example, engine: Any, public_images: None, tmp_path: Path
) -> None:
    found = verdict(mlproj, committed(example("docker-r")), env={"MLPROJ_CACHE": str(tmp_path / "cache")})
    kept = {each["what"] for each in found["differences"] if not each["allowed"]}
    assert kept == set(), found
