"""``mlproj run --reuse``: a finished run stands for one of the same result."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

MANIFEST = """\
name: wine
entry_points:
  train:
    command: [python, train.py, "{alpha}"]
    parameters: {alpha: {type: float, default: 0.5}}
    inputs: [data.txt]
    outputs: {model: model/}
"""
TRAIN = """\
import os, sys
os.makedirs("model/deep", exist_ok=True)
open("model/deep/weights.txt", "w").write(sys.argv[1] + open("data.txt").read())
print("trained")
"""


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def wine(project: Any) -> Path:
    folder = project(MANIFEST, {"train.py": TRAIN, "data.txt": "data", ".gitignore": "model/\ndata.txt\n"})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def run(mlproj: Any, folder: Path, *words: Any, **options: Any) -> dict[str, Any]:
    done = mlproj("run", folder, "--reuse", "--json", *words, **options)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "told": done.stderr}


def test_the_second_time_nothing_runs_and_the_outputs_are_put_back(mlproj: Any, wine: Path) -> None:
    first = run(mlproj, wine)
    assert "not reused: there is no finished run of it yet" in first["told"]
    (wine / "model/deep/weights.txt").unlink()
    second = run(mlproj, wine)
    assert second["id"] == first["id"]
    assert f"run {first['id'][:12]} of " in second["told"]
    assert "trained" not in second["told"]
    assert (wine / "model/deep/weights.txt").read_text() == "0.5data"
    assert len(json.loads(mlproj("runs", "--json").stdout)) == 1


def test_a_commit_of_the_same_tree_is_the_same_source(mlproj: Any, wine: Path) -> None:
    first = run(mlproj, wine)
    git(wine, "commit", "-q", "--allow-empty", "-m", "another message")
    assert run(mlproj, wine)["id"] == first["id"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "train.py").write_text(TRAIN + "#"), "source: the changes since the commit"),
        (lambda folder: (folder / "data.txt").write_text("other"), "inputs: data.txt: other content"),
    ],
    ids=["source", "input"],
)
def test_what_has_changed_since_is_told(mlproj: Any, wine: Path, change: Any, told: str) -> None:
    first = run(mlproj, wine)
    change(wine)
    second = run(mlproj, wine)
    assert second["id"] != first["id"]
    assert told in second["told"]
    assert told in mlproj("why", first["id"], second["id"]).stdout


def test_other_values_words_and_variables_are_another_run(mlproj: Any, wine: Path) -> None:
    ids = [
        run(mlproj, wine)["id"],
        run(mlproj, wine, "-P", "alpha=1")["id"],
        run(mlproj, wine, "--", "more")["id"],
        run(mlproj, wine, env={"PYTHONHASHSEED": "3"})["id"],
    ]
    assert len(set(ids)) == 4
    assert run(mlproj, wine)["id"] == ids[0]


def test_a_run_that_failed_or_whose_artifacts_were_touched_is_not_reused(
    mlproj: Any, wine: Path, own_home: Path
) -> None:
    first = run(mlproj, wine)
    (own_home / "runs" / first["id"] / "artifacts/model/deep/weights.txt").write_text("touched")
    second = run(mlproj, wine)
    assert second["id"] != first["id"]
    assert "is not reused: its output model/deep/weights.txt is not whole" in second["told"]
    (wine / "train.py").write_text("raise SystemExit(1)")
    assert mlproj("run", wine, "--reuse").returncode == 1
    assert mlproj("run", wine, "--reuse").returncode == 1


def test_without_being_asked_every_run_runs(mlproj: Any, wine: Path) -> None:
    first = run(mlproj, wine)
    assert run(mlproj, wine, "--no-reuse")["id"] != first["id"]


def test_outputs_are_not_put_back_through_a_link_that_leads_out(mlproj: Any, wine: Path, tmp_path: Path) -> None:
    run(mlproj, wine)
    (wine / "model/deep/weights.txt").unlink()
    (wine / "model/deep").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (wine / "model/deep").symlink_to(tmp_path / "elsewhere")
    done = mlproj("run", wine, "--reuse")
    assert done.returncode == 125
    assert "would be put outside of the project" in done.stderr
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_a_path_parameter_names_is_looked_at(mlproj: Any, project: Any, tmp_path: Path) -> None:
    text = "entry_points: {main: {command: [python, -c, 'print(1)', '{data}'], parameters: {data: {type: path}}}}\n"
    folder, data = project(text), tmp_path / "data.txt"
    data.write_text("one")
    first = run(mlproj, folder, "-P", f"data={data}")
    assert run(mlproj, folder, "-P", f"data={data}")["id"] == first["id"]
    data.write_text("two")
    second = run(mlproj, folder, "-P", f"data={data}")
    assert second["id"] != first["id"]
    assert f"inputs: {data}: other content" in second["told"]
    third = run(mlproj, folder, "-P", f"data={tmp_path}")
    assert f"no digest is kept of {tmp_path}, which a parameter names" in third["told"]


def test_a_run_with_secrets_is_not_reused(mlproj: Any, project: Any) -> None:
    text = "entry_points: {main: {command: [python, -c, 'print(1)'], secret_variables: [DBURL]}}\n"
    folder = project(text)
    first = run(mlproj, folder, env={"DBURL": "aaaaaa"})
    second = run(mlproj, folder, env={"DBURL": "bbbbbb"})
    assert second["id"] != first["id"]
    assert "not reused: it has secrets, whose values no record holds" in second["told"]


def test_variables_that_the_manifest_names_are_looked_at(mlproj: Any, project: Any) -> None:
    text = "entry_points: {main: {command: [python, -c, 'print(1)'], reproducibility: {variables: [KEPT]}}}\n"
    folder = project(text)
    first = run(mlproj, folder, env={"KEPT": "1"})
    assert run(mlproj, folder, env={"KEPT": "2"})["id"] != first["id"]
    assert run(mlproj, folder, env={"KEPT": "1"})["id"] == first["id"]
