"""``mlproj reproduce`` of a run that has begun others: these are compared too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

MANIFEST = "name: sweep\nentry_points: {main: {command: [python, sweep.py]}}\n"
# What is different the second time comes from variables that no record holds.
SWEEP = """\
import os
import mlflow
with mlflow.start_run():
    mlflow.log_metric("fixed", 1)
    for number in range(int(os.environ.get("TRIALS", 2))):
        with mlflow.start_run(nested=True, run_name=os.environ.get("NAME") and f"trial {number}"):
            mlflow.log_metric("loss", number)
            if number == 1:
                mlflow.log_metric("loss", float(os.environ.get("LOSS", 0.5)))
                mlflow.log_text(os.environ.get("TEXT", "a"), "notes.txt")
"""


@pytest.fixture
def recorded(cli: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NAME", "yes")
    done = cli("run", project(MANIFEST, {"sweep.py": SWEEP}), "--json")
    assert done.status == 0, done.err
    return str(done.json["id"])


def test_the_same_ones_are_identical(cli: Any, recorded: str) -> None:
    done = cli("reproduce", recorded, "-q")
    assert done.status == 0, done.out
    assert "3 metrics and 1 file of it and 2 nested runs compared" in done.out


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("LOSS", "0.25", "nested run trial 1: metric loss: 0.5 → 0.25 (-0.25, 50.00%)"),
        ("TEXT", "b", "nested run trial 1: artifact notes.txt: other bytes of the same size"),
        ("TRIALS", "3", "nested runs: 2 → 3"),
        ("TRIALS", "1", "nested runs: 2 → 1"),
    ],
)
def test_what_is_other_in_one_of_them_makes_it_different(
    cli: Any, recorded: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = cli("reproduce", recorded, "-q")
    assert done.status == 1
    assert f"  ≠ {told}\n" in done.out


def test_those_without_a_name_of_their_own_are_paired_in_their_order(
    cli: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", project(MANIFEST, {"sweep.py": SWEEP}), "-q")
    assert cli("reproduce", "@last", "-q").status == 0
    monkeypatch.setenv("LOSS", "0.25")
    assert "metric loss: 0.5 → 0.25" in cli("reproduce", "@last~1", "-q").out


def test_several_attempts_tell_which_vary(cli: Any, project: Any, tmp_path: Path) -> None:
    script = SWEEP.replace('os.environ.get("LOSS", 0.5)', "__import__('random').random()")
    cli("run", project(MANIFEST, {"sweep.py": script}), "-q")
    told = cli("reproduce", "@last", "-q", "--repeat", "2", "--json").json["variation"]
    assert [each.rpartition(": ")[2] for each in told["varying"]] == ["metric loss"]
    assert not told["steady"]


def test_whoever_shares_the_outer_one_is_told_that_they_stay(cli: Any, recorded: str, tmp_path: Path) -> None:
    done = cli("export", recorded, "-o", tmp_path / "run.crate.zip", "--json")
    assert any("2 nested runs of" in each and "left out" in each for each in done.json["notices"])
    cli("remote", "add", "lab", tmp_path / "lab")
    assert "2 nested runs of" in cli("push", "lab", recorded).err
    assert "nested" not in cli("push", "lab").err


def test_those_that_did_not_come_with_an_imported_run_are_not_compared(
    cli: Any, recorded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("export", recorded, "-o", tmp_path / "run.crate.zip")
    monkeypatch.setenv("MLPROJ_HOME", str(tmp_path / "elsewhere"))
    cli("import", tmp_path / "run.crate.zip")
    done = cli("reproduce", recorded, "-q", "--json")
    assert done.status == 0
    told = json.loads(done.out)
    assert told["not_compared"] == ["nested runs (not all of them came with the imported run)"]
