"""The examples that run in containers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.images.engine import Engine

Example = Callable[[str], Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the cache of all: what a test builds here is removed after it."""
    monkeypatch.setenv("MLPROJ_CACHE", str(tmp_path / "cache"))


def last_run(mlproj: Any) -> Any:
    listed = json.loads(mlproj("runs", "--json").stdout)
    return listed[0] if isinstance(listed, list) else listed["runs"][0]


def test_an_r_script_runs_in_an_image_that_is_built_once(
    mlproj: Any, example: Example, engine: Engine, public_images: None, nonce: str
) -> None:
    project = example("docker-r")
    with (project / "Dockerfile").open("a") as dockerfile:
        dockerfile.write(f"LABEL nonce={nonce}\n")

    first = mlproj("run", project)
    second = mlproj("run", project, "-P", "degree=4")

    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("degree 2: rmse ")
    assert second.stdout.startswith("degree 4: rmse ")
    assert "building an image" in first.stderr
    assert "building an image" not in second.stderr
    run = last_run(mlproj)
    assert set(run["metrics"]) == {"rmse", "r2"}
    assert (run["environment"]["kind"], run["parameters"]["degree"]) == ("docker", 4)
    for name in ("coefficients.csv", "fit.pdf"):
        assert (project / name).stat().st_uid == os.getuid()


def test_its_lock_pins_what_it_builds_on(mlproj: Any, example: Example, engine: Engine, public_images: None) -> None:
    project = example("docker-r")
    assert mlproj("run", project, "--locked").returncode == 125

    assert mlproj("lock", project).returncode == 0

    assert "r-base:4.4.1" in (project / "mlproj.lock").read_text()
    assert mlproj("run", project, "--locked").returncode == 0


@pytest.mark.slow
def test_mlflows_docker_example_runs_as_it_is(
    mlproj: Any, example: Example, engine: Engine, index: None, public_images: None
) -> None:
    project = example("mlproject-docker")
    if not engine.client.images("mlflow-docker-example"):
        answers = list(
            engine.client.build(path=str(project), tag="mlflow-docker-example", rm=True, forcerm=True, decode=True)
        )
        assert not [each for each in answers if "error" in each], answers[-3:]

    ended = mlproj("run", project, "-P", "alpha=0.1")

    assert ended.returncode == 0, ended.stderr
    # Its client also says where the run would be seen on a server.
    assert [line for line in ended.stdout.splitlines() if line.startswith("alpha=0.1 l1_ratio=0.1 rmse=")]
    run = last_run(mlproj)
    assert (run["environment"]["kind"], run["environment"]["image"]) == ("docker", "mlflow-docker-example:latest")
    assert json.loads((project / "model.json").read_text()) == {"alpha": 0.1, "l1_ratio": 0.1}
    assert sorted(run["metrics"]) == ["mae", "r2", "rmse"]
    assert not (project / "mlruns").exists()
    assert {path.stat().st_uid for path in project.rglob("*")} == {os.getuid()}
