"""The corpus of MLproject files, a quirk each: what MLflow's own loader makes of it, what mlproj does, and why they differ.

Each folder of tests/manifests/mlproject has an `expected.yaml`: whether either loads it, and which programs are started
with which words for the values `given`. A difference has its reason beside it (`why`). MLflow is asked itself, in the
interpreter that $MLFLOW_PYTHON names, or in this one.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlproj.api.checked import checked_manifest
from mlproj.api.request import Listener, RunRequest
from mlproj.api.resolution import resolve_request
from mlproj.errors import MlprojError
from mlproj.parameters.given import gather

CORPUS = Path(__file__).parents[1] / "manifests" / "mlproject"
PROJECTS = sorted(path.name for path in CORPUS.iterdir())
INTERPRETER = os.environ.get("MLFLOW_PYTHON") or sys.executable
FAILS = "fails"
Words = list[list[str]]

# Run by the interpreter that has MLflow: projects in, verdicts and shell commands out.
ASK_MLFLOW = """
import json, os, sys
from mlflow.projects._project_spec import load_project
asked, told = json.load(sys.stdin), {}
for folder, commands in asked:
    told[folder] = {"loads": False, "commands": [None] * len(commands)}
    try:
        project = load_project(folder)
    except Exception as error:
        told[folder]["said"] = f"{type(error).__name__}: {error}"
        continue
    told[folder]["loads"] = True
    for number, (entry_point, given) in enumerate(commands):
        try:
            os.chdir(folder)
            command = project.get_entry_point(entry_point).compute_command(given, None)
            told[folder]["commands"][number] = command
        except Exception as error:
            told[folder]["said"] = f"{type(error).__name__}: {error}"
json.dump(told, sys.stdout)
"""

# Stands for every program that a project starts: notes the words it was given, and succeeds.
PROGRAM = """#!{python} -IS
import json, os, sys
with open(os.environ["WORDS"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""
PROGRAMS = ("python", "python3", "mlflow")


def expectation(name: str) -> dict[str, Any]:
    expected: dict[str, Any] = yaml.safe_load((CORPUS / name / "expected.yaml").read_text("utf-8"))
    return {"commands": [], **expected}


def given_in(command: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return command["entry_point"], command.get("given", {})


def ask_mlflow(corpus: Path, commands: Mapping[str, Sequence[tuple[str, Mapping[str, str]]]]) -> dict[str, Any]:
    """By project: whether MLflow loads it, and the shell command of each entry point and its values, if it has one."""
    asked = [[str(corpus / name), list(each)] for name, each in commands.items()]
    done = subprocess.run(
        [INTERPRETER, "-c", ASK_MLFLOW],
        input=json.dumps(asked),
        env={**os.environ, "SHELL": "bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(folder).name: told for folder, told in json.loads(done.stdout).items()}


def words_by(argv: Sequence[str], folder: Path, variables: Mapping[str, str], scratch: Path) -> Words:
    """What the programs that a command starts are given, when it is run in the project's folder."""
    programs = scratch / "programs"
    if not programs.exists():
        programs.mkdir()
        for name in PROGRAMS:
            (programs / name).write_text(PROGRAM.format(python=os.path.realpath(sys.executable)))
            (programs / name).chmod(stat.S_IRWXU)
    noted = scratch / "words"
    noted.unlink(missing_ok=True)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **variables, "PATH": path, "WORDS": str(noted), "HOME": "/home/nobody"}
    subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    return [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []


def loads_in_mlproj(folder: Path, cache: Path) -> bool:
    try:
        checked_manifest(folder, cache)
    except MlprojError:
        return False
    return True


def run_by_mlproj(folder: Path, entry_point: str, given: Mapping[str, str], scratch: Path) -> Words | str:
    request = RunRequest(
        str(folder),
        entry_point,
        gather([f"{name}={value}" for name, value in given.items()], []),
        environment_kind="system",
    )
    try:
        command = resolve_request(request, Listener()).command
    except MlprojError:
        return FAILS
    return words_by(command.argv, folder, command.variables, scratch)


def run_by_mlflow(folder: Path, command: str | None, scratch: Path) -> Words | str:
    return FAILS if command is None else words_by(["bash", "-c", command], folder, {}, scratch)


@pytest.fixture
def copy(tmp_path: Path) -> Any:
    """A project of the corpus in a folder where whatever it runs may write."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(CORPUS / name, tmp_path / "corpus" / name))

    return copied


@pytest.fixture(scope="module")
def mlflow() -> dict[str, Any]:
    """What MLflow makes of the whole corpus; asked once, since importing it takes seconds."""
    if subprocess.run([INTERPRETER, "-c", "import mlflow.projects"], capture_output=True, check=False).returncode != 0:
        missing = f"{INTERPRETER} has no mlflow: pip install mlflow-skinny, or name one that has it in $MLFLOW_PYTHON"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return ask_mlflow(CORPUS, {name: [given_in(each) for each in expectation(name)["commands"]] for name in PROJECTS})


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(PROJECTS) >= 60


@pytest.mark.parametrize("name", PROJECTS)
def test_every_difference_has_its_reason(name: str) -> None:
    expected = expectation(name)
    assert {expected["mlflow"], expected["mlproj"]} <= {"loads", FAILS}
    assert expected["mlflow"] == expected["mlproj"] or expected["why"]
    for command in expected["commands"]:
        assert command.get("mlflow") == command.get("mlproj") or command["why"]


@pytest.mark.parametrize("name", PROJECTS)
def test_mlproj_makes_of_it_what_is_expected(name: str, copy: Any, tmp_path: Path) -> None:
    expected, folder = expectation(name), copy(name)
    assert loads_in_mlproj(folder, tmp_path / "cache") == (expected["mlproj"] == "loads")
    for command in expected["commands"]:
        words = run_by_mlproj(folder, *given_in(command), tmp_path)
        assert words == command.get("mlproj", command.get("both"))


@pytest.mark.parametrize("name", PROJECTS)
def test_mlflow_makes_of_it_what_is_expected(name: str, mlflow: dict[str, Any], copy: Any, tmp_path: Path) -> None:
    expected, told, folder = expectation(name), mlflow[name], copy(name)
    assert told["loads"] == (expected["mlflow"] == "loads"), told.get("said")
    for command, shell_command in zip(expected["commands"], told["commands"]):
        words = run_by_mlflow(folder, shell_command, tmp_path)
        assert words == command.get("mlflow", command.get("both"))
