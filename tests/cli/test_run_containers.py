"""`mlproj run` in containers from the command line: MLflow's `-A`, what fetched projects may have, what is shown."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.docker_engine import PYTHON_IMAGE

COMMAND = "entry_points: {main: {command: [python3, -c, \"print(*open('/given/note'))\"]}}\n"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "note").write_text("was given")
    return folder


@pytest.fixture
def archive(tmp_path: Path, given: Path, engine: Any) -> Path:
    """A project from elsewhere whose container asks for a folder of this machine."""
    declared = f'image: "{PYTHON_IMAGE}", volumes: ["{given}:/given:ro"]'
    (tmp_path / "mlproj.yaml").write_text(f"environment: {{docker: {{{declared}}}}}\n{COMMAND}")
    with tarfile.open(tmp_path / "project.tar.gz", "w:gz") as stream:
        stream.add(tmp_path / "mlproj.yaml", "mlproj.yaml")
    (tmp_path / "mlproj.yaml").unlink()
    return tmp_path / "project.tar.gz"


def test_a_fetched_project_gets_nothing_of_this_machine_unasked(mlproj: Any, archive: Path, given: Path) -> None:
    done = mlproj("run", archive)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"its container asks for `{given}`, which is outside of it" in done.stderr
    assert f"`--allow-mount {given}`" in done.stderr
    # Not even to be told what would be run.
    assert mlproj("run", archive, "--dry-run").returncode == 2


def test_it_gets_what_its_caller_allows(mlproj: Any, archive: Path, given: Path) -> None:
    for allowed in (given, given.parent):
        done = mlproj("run", archive, "--allow-mount", allowed)
        assert (done.returncode, done.stdout) == (0, "was given\n"), done.stderr
    assert mlproj("run", archive, "--allow-mount", given / "note").returncode == 2


def test_what_the_caller_mounts_is_allowed_by_that(mlproj: Any, project: Any, given: Path, engine: Any) -> None:
    folder = project(f'environment: {{docker: {{image: "{PYTHON_IMAGE}"}}}}\n{COMMAND}')
    with tarfile.open(folder.parent / "p.tar.gz", "w:gz") as stream:
        stream.add(folder / "mlproj.yaml", "mlproj.yaml")
    for source in (folder, folder.parent / "p.tar.gz"):
        done = mlproj("run", source, "-A", f"volume={given}:/given")
        assert (done.returncode, done.stdout) == (0, "was given\n"), done.stderr


def test_the_callers_own_folder_may_have_what_it_declares(mlproj: Any, project: Any, given: Path, engine: Any) -> None:
    declared = f'image: "{PYTHON_IMAGE}", volumes: ["{given}:/given:ro"]'
    folder = project(f"environment: {{docker: {{{declared}}}}}\n{COMMAND}")
    done = mlproj("run", folder)
    assert (done.returncode, done.stdout) == (0, "was given\n"), done.stderr


def test_mlflows_arguments_reach_the_container(mlproj: Any, project: Any, engine: Any) -> None:
    folder = project(
        f'environment: {{docker: {{image: "{PYTHON_IMAGE}"}}}}\nentry_points: {{main: {{command: [python3, s.py]}}}}\n',
        {"s.py": "import os; print(os.environ['A'])"},
    )
    done = mlproj("run", folder, "-A", "env=A=b", "-A", "t", "--skip-image-build")
    assert (done.returncode, done.stdout) == (0, "b\n"), done.stderr
    done = mlproj("run", folder, "-A", "memry=1g")
    assert (done.returncode, "Did you mean `memory`?" in done.stderr) == (2, True)


def test_what_is_shown_of_a_run_in_a_container(mlproj: Any, project: Any, engine: Any) -> None:
    folder = project(
        f'environment: {{docker: {{image: "{PYTHON_IMAGE}"}}}}\nentry_points: {{main: {{command: [python3, -V]}}}}\n'
    )
    planned = mlproj("run", folder, "--dry-run")
    assert "(to be built)" in planned.stdout
    assert "None" not in planned.stdout
    assert mlproj("run", folder).returncode == 0
    shown = mlproj("show", "@last").stdout
    assert f"image  {PYTHON_IMAGE}" in shown
    record = json.loads(mlproj("show", "@last", "--json").stdout)
    assert (record["environment"]["image"], record["environment"]["python"]) == (PYTHON_IMAGE, None)
    listed = mlproj("envs").stdout
    assert "docker" in listed
    assert str(folder) in listed


def test_an_mlproject_runs_where_mlflows_images_have_it(mlproj: Any, tmp_path: Path, engine: Any) -> None:
    (tmp_path / "MLproject").write_text(
        f'docker_env: {{image: "{PYTHON_IMAGE}", volumes: ["$(pwd)/data:/data"], environment: [["A", "1"], "B"]}}\n'
        "entry_points:\n  main:\n    parameters: {x: {type: string, default: a b}}\n"
        '    command: "pwd; python3 -c \'import sys, os; print(sys.argv[1:], os.environ[\\"A\\"], os.environ[\\"B\\"])\' {x}"\n'
    )
    (tmp_path / "data").mkdir()
    done = mlproj("run", tmp_path, env={"B": "2"})
    assert (done.returncode, done.stdout) == (0, "/mlflow/projects/code\n['a b'] 1 2\n"), done.stderr
