"""The Python API: what notebooks and programs use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mlproj

MANIFEST = """
name: api
entry_points:
  main:
    command: [PYTHON, -c, "SCRIPT", "{alpha}"]
    parameters: {alpha: {type: float, default: 0.5}, data: {type: path?}}
    outputs: {model: {path: model.txt, optional: true}}
"""
SCRIPT = "import sys; open('model.txt', 'w').write(sys.argv[1]); sys.exit(float(sys.argv[1]) > 1)"


@pytest.fixture
def folder(project) -> Path:
    return project(MANIFEST.replace("PYTHON", sys.executable).replace("SCRIPT", SCRIPT))


def test_a_run_and_what_it_left(folder: Path) -> None:
    run = mlproj.run(folder, params={"alpha": 0.1, "data": folder}, name="first", tags={"a": "b"})
    assert (run.status, run.exit_status, run.params["alpha"]) == ("finished", 0, 0.1)
    assert run.artifact("model").read_text() == "0.1"
    assert mlproj.get_run("first").id == run.id == mlproj.get_run(run.id[:12]).id
    assert run.to_json()["tags"] == {"a": "b"}
    assert run.log() == ""


def test_a_failing_run_is_given_and_not_raised(folder: Path) -> None:
    run = mlproj.run(folder, params={"alpha": 2.0})
    assert (run.status, run.exit_status) == ("failed", 1)


def test_runs_are_found_by_a_filter(folder: Path) -> None:
    for alpha in (0.1, 0.2):
        mlproj.run(folder, params={"alpha": alpha})
    assert [run.params["alpha"] for run in mlproj.runs("params.alpha > 0.15")] == [0.2]
    assert len(mlproj.runs(limit=1)) == 1


def test_a_project_is_loaded_and_run(folder: Path) -> None:
    project = mlproj.load(folder)
    assert (project.name, project.entry_points) == ("api", ("main",))
    assert project.run(params={"alpha": 0.3}).status == "finished"


@pytest.mark.parametrize(
    "options",
    [
        {"params": [1]}, {"params": {1: 2}}, {"params": {"alpha": "0.1"}}, {"params": {"alhpa": 1}}, {"name": 5}, {"tags": {"a": 1}},
        {"timeout_s": -1}, {"timeout_s": "x"}, {"timeout_s": float("nan")}, {"arguments": "abc"}, {"arguments": [1]}, {"arguments": ["a\x00"]},
        {"entry_point": 3}, {"params_files": "x"}, {"experiment": 3}, {"entry_point": "mian"},
    ],
)  # fmt: skip
def test_what_is_no_argument_is_told_and_nothing_runs(folder: Path, options: dict) -> None:
    with pytest.raises(mlproj.MlprojError):
        mlproj.run(folder, **options)
    assert mlproj.runs() == []


@pytest.mark.parametrize("call", [lambda: mlproj.runs(5), lambda: mlproj.runs(limit="x"), lambda: mlproj.get_run(None)])
def test_questions_of_the_wrong_type(call) -> None:
    with pytest.raises(mlproj.MlprojError, match="expected"):
        call()


def test_a_run_in_a_thread(folder: Path) -> None:
    program = (
        "import sys, threading, mlproj\n"
        "found = []\n"
        "thread = threading.Thread(target=lambda: found.append(mlproj.run(sys.argv[1]).status))\n"
        "thread.start(); thread.join(); print(found)"
    )
    finished = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True)
    assert "['finished']" in finished.stdout, finished.stderr


def test_the_environment_is_let_go_when_the_run_has_ended(folder: Path, own_home: Path) -> None:
    import psutil

    mlproj.run(folder)
    held = [each.path for each in psutil.Process().open_files() if each.path.endswith(".lock")]
    assert not [path for path in held if path.startswith(str(own_home))]
