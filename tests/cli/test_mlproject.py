"""`mlproj run` of MLproject files, by a user who comes from `mlflow run`, with the flags that they know."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

MANIFEST = """\
name: wine
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
    command: "python -c 'import sys; print(sys.argv[1:])' {alpha}"
  broken:
    command: "echo {nope}"
  fails:
    command: |
      false
      echo on
"""


@pytest.fixture
def wine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wine"
    folder.mkdir()
    (folder / "MLproject").write_text(MANIFEST)
    (folder / "train.py").write_text("import sys; print('train', sys.argv[1:])")
    (folder / "tools").mkdir()
    (folder / "tools" / "setup.sh").write_text('printf "%s," setup "$@"\n')
    monkeypatch.chdir(tmp_path)
    return folder


def run(cli: Any, *arguments: str | Path) -> Any:
    return cli("run", *arguments, "--env-manager", "local")


def test_a_run_with_mlflows_flags(wine: Path, cli: Any) -> None:
    flags = ["--entry-point", "main", "--experiment-name", "tuning", "--run-name", "first", "-P", "alpha=0.1"]
    done = run(cli, wine, *flags, "--json")
    assert done.status == 0
    record = json.loads(done.out)
    assert (record["experiment"], record["name"], record["project"]) == ("tuning", "first", "wine")
    assert record["parameters"] == {"alpha": "0.1"}


def test_undeclared_parameters_follow_the_command(wine: Path, cli: Any) -> None:
    done = run(cli, wine, "-P", "l1-ratio=0.3", "-P", "name=a b")
    assert done.out == "['0.5', '--l1-ratio', '0.3', '--name', 'a b']\n"


def test_scripts_run_without_being_declared(wine: Path, cli: Any) -> None:
    assert run(cli, wine, "-e", "train.py", "-P", "a=1").out == "train ['--a', '1']\n"
    assert run(cli, wine, "-e", "tools/setup.sh", "-P", "a=$(id)").out == "setup,--a,$(id),"
    (wine / "MLproject").unlink()
    assert run(cli, wine, "-e", "train.py").out == "train []\n"
    done = run(cli, wine)
    assert (done.status, "no mlproj.yaml and no MLproject in" in done.err) == (2, True)


def test_a_warning_below_the_entry_points_is_about_all_of_them(wine: Path, cli: Any) -> None:
    with (wine / "MLproject").open("a") as manifest:
        manifest.write("descripton: odd\n")
    for entry_point in ("main", "train.py"):
        assert "MLflow does not read `descripton`" in run(cli, wine, "-e", entry_point).err


def test_another_entry_points_mistake_is_no_obstacle(wine: Path, cli: Any) -> None:
    assert run(cli, wine).status == 0
    done = run(cli, wine, "-e", "broken")
    assert (done.status, "no parameter `nope`" in done.err) == (2, True)


def test_a_failing_step_fails_the_run(wine: Path, cli: Any) -> None:
    done = run(cli, wine, "-e", "fails")
    assert (done.status, done.out) == (1, "")
    assert "its command ran under `bash -e -o pipefail`, where a step that fails ends it" in done.err


def test_what_is_refused_at_run_time_names_its_place(wine: Path, cli: Any) -> None:
    (wine / "MLproject").write_text("entry_points: {main: {command: 'echo \"${a}\"', parameters: {a: string}}}\n")
    done = run(cli, wine, "-P", "a=x")
    assert (done.status, f"{wine}/MLproject: entry point `main`: `{{a}}` stands after a `$`" in done.err) == (2, True)


@pytest.mark.parametrize("project", ["", "x.rar"])
def test_what_is_no_project(wine: Path, cli: Any, project: str) -> None:
    (wine / "x.rar").touch()
    assert run(cli, wine / project if project else project).status == 2


def test_the_manifest_may_be_named_itself(wine: Path, cli: Any) -> None:
    assert run(cli, wine / "MLproject").out == "['0.5']\n"


def test_without_an_environment_it_runs_in_an_empty_virtualenv(wine: Path, cli: Any) -> None:
    plan = json.loads(cli("run", wine, "--dry-run", "--json").out)
    assert (plan["environment"]["kind"], plan["environment"]["packages"]) == ("virtualenv", 0)


def test_the_nearest_python_is_told_of_and_refused_when_strict(wine: Path, cli: Any) -> None:
    minor = ".".join(platform.python_version_tuple()[:2])
    (wine / "python_env.yaml").write_text(f'python: "{minor}.99"\n')
    done = cli("run", wine)
    assert done.status == 0, done.err
    assert f"the project asks for Python {minor}.99, and runs with {platform.python_version()}" in done.err
    refused = cli("run", wine, "--python-strict", "--offline")
    assert (refused.status, f"`python: {minor}.99`: no such Python" in refused.err) == (125, True)


@pytest.mark.parametrize(
    ("manager", "declares", "status", "said"),
    [
        ("virtualenv", "docker_env: {image: x}", 2, "this project declares a `docker` environment"),
        ("conda", "python_env: python_env.yaml", 2, "this project declares a `virtualenv` environment"),
        ("nonsense", "", 2, "no such kind of environment"),
    ],
)
def test_kinds_of_environment(wine: Path, cli: Any, manager: str, declares: str, status: int, said: str) -> None:
    for name in ("conda", "python_env"):
        (wine / f"{name}.yaml").write_text("dependencies: []\n")
    (wine / "MLproject").write_text(f"{declares}\n{MANIFEST}")
    done = cli("run", wine, "--env-manager", manager)
    assert (done.status, said in done.err) == (status, True), done.err
    assert run(cli, wine).status == 0


def test_a_conda_environment_runs_as_a_virtualenv_when_asked_to_and_says_so(wine: Path, cli: Any) -> None:
    (wine / "conda.yaml").write_text("dependencies: [cudatoolkit=10.2, python, {pip: []}]\nvariables: {A: b}\n")
    done = cli("run", wine, "--env-manager", "virtualenv")
    assert (done.status, done.out) == (0, "['0.5']\n")
    assert "conda.yaml: a virtualenv is made of the conda environment" in done.err
    assert "left out, as no Python packages: cudatoolkit=10.2" in done.err
    assert "its variables are not set" in done.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-A", "gpus=all"], "-A is for containers, and this project runs in a `system` environment"),
        (["--backend", "databricks"], "runs are local"),
        (["-c", "x.json"], "runs are local"),
        (["--experiment-id", "3"], "--experiment NAME"),
        (["--run-id", "abc"], "mlproj makes the run"),
        (["--storage-dir", "x"], "$MLPROJ_CACHE"),
    ],
)
def test_what_of_mlflows_flags_is_not_to_be_had_is_said(wine: Path, cli: Any, flags: list[str], said: str) -> None:
    done = run(cli, wine, *flags)
    assert (done.status, said in done.err) == (2, True), done.err


def test_more_of_mlflows_flags(wine: Path, cli: Any) -> None:
    done = cli("run", wine, "--backend", "local", "--no-conda", "--param-list", "alpha=0.2", "--json")
    assert done.json["environment"]["kind"] == "system"
    assert done.json["parameters"] == {"alpha": "0.2"}


def test_help_of_an_entry_point(wine: Path, cli: Any) -> None:
    shown = cli("run", wine, "--help").out
    assert "alpha" in shown and "float" in shown and "default: 0.5" in shown


def test_migrating(wine: Path, cli: Any) -> None:
    done = cli("migrate", wine)
    assert (done.status, done.out) == (0, f"wrote {wine}/mlproj.yaml\n")
    assert "not carried over: the entry point `broken`" in done.err
    again = cli("migrate", wine)
    assert (again.status, "is there already" in again.err) == (2, True)
    assert cli("migrate", wine, "--force").status == 0
    assert cli("migrate", wine, "--stdout").out == (wine / "mlproj.yaml").read_text()
    assert "is not read" not in cli("check", wine).out  # it knows where it comes from
    (wine / "MLproject").unlink()
    assert cli("migrate", wine).status == 2


def test_a_manifest_that_cannot_be_written(wine: Path, cli: Any) -> None:
    (wine / "mlproj.yaml").mkdir()
    done = cli("migrate", wine, "--force")
    assert (done.status, f"{wine}/mlproj.yaml cannot be written" in done.err) == (125, True)
