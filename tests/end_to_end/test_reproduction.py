"""Every example is had again from its record, and comes out the same: what may differ, its manifest says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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


def as_another_user() -> list[str]:
    """The words that run a command as a user of another number, who may read what this one may."""
    words = ["unshare", "--user", "--map-user=4242", "--map-group=4242", "--"]
    done = subprocess.run([*words, "true"], capture_output=True, text=True)
    if done.returncode != 0:
        answer = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        answer(f"nobody can become another user here: {done.stderr.strip()}")
    return words


def test_another_user_elsewhere_with_empty_caches_gets_the_same_bytes(
    mlproj: Any, example: Example, index: None, tmp_path: Path
) -> None:
    folder = committed(example("reproducible-report"))
    made = mlproj("run", folder, env={"TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8"})
    assert made.returncode == 0, made.stderr
    crate = tmp_path / "report.crate.zip"
    assert mlproj("export", "@last", "-o", crate).returncode == 0
    recorded = json.loads(mlproj("show", "@last", "--json").stdout)
    shutil.rmtree(folder)

    home = tmp_path / "another" / "place of its own"
    home.mkdir(parents=True)
    elsewhere = {
        "HOME": str(home), "MLPROJ_HOME": f"{home}/store", "MLPROJ_CACHE": f"{home}/cache", "UV_CACHE_DIR": f"{home}/uv",
        "TZ": "America/St_Johns", "LC_ALL": "C", "USER": "somebody", "PATH": os.environ["PATH"],
    }  # fmt: skip
    configured = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}

    def there(*words: str) -> subprocess.CompletedProcess[str]:
        command = [
            *as_another_user(),
            "bash",
            "-c",
            'umask 077; exec "$@"',
            "-",
            sys.executable,
            "-m",
            "mlproj",
            *words,
        ]
        return subprocess.run(command, cwd=home, env={**configured, **elsewhere}, capture_output=True, text=True)

    imported = there("import", str(crate))
    assert imported.returncode == 0, imported.stderr
    done = there("reproduce", recorded["id"], "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["verdict"] == "identical", done.stdout
    again = json.loads(there("show", "@last", "--json").stdout)
    assert again["outputs"] == recorded["outputs"]
    assert again["user"] != recorded["user"]
