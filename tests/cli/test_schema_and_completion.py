"""`mlproj schema`, `mlproj completion`, `--version`, `--help`, and the committed command reference."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlproj.cli.app import COMMANDS
from mlproj.version import __version__

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


def test_the_manifests_schema_takes_what_check_takes(cli: Any) -> None:
    schema = cli("schema", "manifest").json
    jsonschema.Draft202012Validator.check_schema(schema)
    sound = {"entry_points": {"main": {"command": ["python"], "parameters": {"a": {"type": "float"}}}}}
    jsonschema.validate(sound, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"entry_points": {"main": {"comand": ["python"]}}}, schema)


def test_a_record_fits_the_records_schema(trained: list[str], own_home: Path, cli: Any) -> None:
    schema = cli("schema", "run").json
    for run_id in trained:
        jsonschema.validate(json.loads((own_home / "runs" / run_id / "run.json").read_text()), schema)
    broken = {**cli("show", "--json").json, "status": "done"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_a_schema_that_there_is_not(cli: Any) -> None:
    done = cli("schema", "manifst")
    assert (done.status, "'manifest'" in done.err) == (2, True)


def complete(*words: str, cwd: Path) -> list[str]:
    """What bash proposes for the last of ``words``, with mlproj's own completion script evaluated in it."""
    script = """
        eval "$(mlproj completion bash)"
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _mlproj_completion mlproj
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not (SCRIPTS / "mlproj").exists(), reason="the script `mlproj` is not beside this Python")
def test_bash_completes_commands_options_entry_points_parameters_and_runs(trained: list[str], wine: Path) -> None:
    assert set(complete("mlproj", "", cwd=wine)) == set(COMMANDS)
    assert complete("mlproj", "ru", cwd=wine) == ["run", "runs"]
    assert "--params-file" in complete("mlproj", "run", "--p", cwd=wine)
    assert complete("mlproj", "run", "-e", "", cwd=wine) == ["train", "fail", "wait"]
    assert complete("mlproj", "run", "-e", "tr", cwd=wine) == ["train"]
    assert complete("mlproj", "run", "-e", "train", "-P", "al", cwd=wine) == ["alpha="]
    assert complete("mlproj", "show", "", cwd=wine) == trained[::-1]
    assert complete("mlproj", "run", "nowhere", "-e", "", cwd=wine) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shells_script_is_one(cli: Any, tmp_path: Path, shell: str) -> None:
    done = cli("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_MLPROJ_COMPLETE" in done.out
    if shutil.which(shell):
        (tmp_path / "script").write_text(done.out)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_version(cli: Any) -> None:
    assert cli("--version").out == f"mlproj {__version__}\n"


def test_help_lists_every_command(cli: Any) -> None:
    for words in (("--help",), ("-h",)):
        done = cli(*words)
        assert done.status == 0
        for command in COMMANDS:
            assert f"\n  {command} " in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_examples(cli: Any, command: str) -> None:
    done = cli(command, "--help")
    assert done.status == 0
    assert "Examples:" in done.out
    assert cli(command, "-h").out == done.out


def test_no_command_at_all(cli: Any) -> None:
    done = cli()
    assert done.status in (0, 2)
    assert "Usage:" in done.out + done.err


def test_the_command_reference_is_fresh() -> None:
    generate = runpy.run_path(str(ROOT / "scripts" / "generate_cli_docs.py"))["generate"]
    assert (ROOT / "docs" / "cli.md").read_text() == generate(), "run `python scripts/generate_cli_docs.py`"
