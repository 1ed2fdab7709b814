"""example-projects/conda-penguins: a conda environment without conda, locked for four platforms.

Its `environment.yml` says conda-forge; a condarc makes that the channel in a folder which stands for it here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.environments.conda_channel import PYTHON

pytestmark = pytest.mark.usefixtures("index", "local_channel")


@pytest.fixture
def local_channel(conda_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    condarc = tmp_path / "condarc"
    condarc.write_text(f"channel_alias: file://{conda_channel}\n")
    monkeypatch.setenv("CONDARC", str(condarc))
    # No conda, mamba or micromamba is to be found, wherever the tests run.
    places = [place for place in os.environ["PATH"].split(os.pathsep) if not list(Path(place).glob("*[cm]amba"))]
    monkeypatch.setenv("PATH", os.pathsep.join(places))
    assert not any(shutil.which(name) for name in ("conda", "mamba", "micromamba"))


def test_a_run_and_a_warm_run(mlproj, record, example):
    project = example("conda-penguins")
    ran = mlproj("run", project, "-P", "depth=4")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("  accuracy 0.9")
    assert "depth=4 seed=42" in ran.stderr and "outputs: tree (1 file)" in ran.stderr

    again = mlproj("run", project, "-P", "depth=4")
    assert again.stdout == ran.stdout
    assert "resolving" not in again.stderr and "installing" not in again.stderr

    made = json.loads(mlproj("show", "@last", "--json").stdout)
    environment = made["environment"]
    assert environment["kind"] == "conda" and environment["python"] == PYTHON
    assert {"python", "click", "scikit-learn", "numpy"} <= environment["packages"].keys()
    assert environment["lock"] == "conda-lock.yml" and len(environment["lock_sha256"]) == 64
    assert made["metrics"]["accuracy"] > 0.9 and made["metrics"]["leaves"] > 3


def test_a_deeper_tree_has_more_leaves(record, example):
    project = example("conda-penguins")
    stump, deep = record(project, "-P", "depth=1"), record(project, "-P", "depth=6")
    assert stump["metrics"]["leaves"] == 2 < deep["metrics"]["leaves"]
    assert stump["environment"]["key"] == deep["environment"]["key"]


def test_its_lock_is_for_all_its_platforms(mlproj, example):
    project = example("conda-penguins")
    assert mlproj("run", project, "--locked").returncode == 125
    locked = mlproj("lock", project)
    assert locked.returncode == 0, locked.stderr
    lock = yaml.safe_load((project / "conda-lock.yml").read_text())
    platforms = ["linux-64", "linux-aarch64", "osx-64", "osx-arm64"]
    assert lock["metadata"]["platforms"] == platforms
    sklearn = {each["platform"]: each["url"] for each in lock["package"] if each["name"] == "scikit-learn"}
    assert sorted(sklearn) == platforms and len(set(sklearn.values())) == 4
    assert mlproj("run", project, "--locked").returncode == 0

    environment = project / "environment.yml"
    environment.write_text(environment.read_text().replace("click >=8.1", "click >=8"))
    stale = mlproj("run", project, "--locked")
    assert stale.returncode == 125 and "changed: `click >=8.1` → `click >=8`" in stale.stderr


def test_it_is_listed_and_removed(mlproj, record, example):
    made = record(example("conda-penguins"))
    listed = json.loads(mlproj("envs", "list", "--json").stdout)
    assert next(each for each in listed if each["key"] == made["environment"]["key"])["kind"] == "conda"
    assert mlproj("envs", "remove", made["environment"]["key"][:12]).returncode == 0


@pytest.mark.slow
def test_a_vendored_pack_of_it_runs_without_a_network(mlproj, example, tmp_path):
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no network namespace can be made here")
    pack = tmp_path / "penguins.mlpack.tar.zst"
    packed = mlproj("pack", example("conda-penguins"), "--vendor", "-o", pack)
    assert packed.returncode == 0, packed.stderr
    # Another machine: nothing is cached, and the channel is nowhere.
    (tmp_path / "condarc").write_text("channel_alias: file:///nowhere\n")
    there = {"MLPROJ_HOME": str(tmp_path / "there"), "MLPROJ_CACHE": str(tmp_path / "cache")}
    there |= {"UV_CACHE_DIR": str(tmp_path / "uv"), "UV_FIND_LINKS": ""}
    argv = ["unshare", "--net", sys.executable, "-m", "mlproj", "run", pack, "--locked", "-P", "depth=4"]

    ran = subprocess.run(argv, env={**os.environ, **there}, capture_output=True, text=True, timeout=120)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("  accuracy 0.9")
