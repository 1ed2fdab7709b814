"""`mlproj run --dry-run`: the whole plan, and nothing done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_the_plan_for_people(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "-P", "alpha=0.1", "--dry-run", "--", "--fast")
    assert done.status == 0
    rows = [line.split(None, 1) for line in done.out.splitlines()]
    assert ["command", "python train.py --alpha 0.1 --solver cd --fast"] in rows
    assert ["project", "wine"] in rows
    assert ["folder", str(wine)] in rows
    assert ["parameter", "alpha = 0.1"] in rows
    assert ["output", "model: model/"] in rows


def test_the_plan_for_programs(wine: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINE_API_KEY", "s3cr3t-0f-the-winery")
    done = cli("run", "-e", "train", "--dry-run", "--json", "--timeout", "1m")
    plan = done.json
    assert plan["argv"] == ["python", "train.py", "--alpha", "0.5", "--solver", "cd"]
    assert plan["environment"]["kind"] == "system"
    assert plan["environment"]["built"] is True
    assert plan["source"]["digest"]
    assert plan["environment_variables"] == {"WINE_API_KEY": "•••"}
    assert plan["timeout_s"] == 60
    assert "s3cr3t" not in done.out + done.err


def test_nothing_on_disk_changes(wine: Path, own_home: Path, cli: Any, tree: Any, tmp_path: Path) -> None:
    before = tree(tmp_path), tree(own_home)
    assert cli("run", "-e", "train", "--dry-run").status == 0
    assert cli("run", "-e", "train", "--dry-run", "--json").status == 0
    assert cli("run", "-e", "train", "--dry-run", "-P", "alpha=x").status == 2
    assert (tree(tmp_path), tree(own_home)) == before


def test_nothing_is_built_for_a_virtualenv(
    project: Any, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPROJ_CACHE", str(tmp_path / "cache"))
    folder = project("environment: {virtualenv: {}}\nentry_points: {main: {command: [python, -V]}}\n")
    plan = cli("run", folder, "--dry-run", "--json").json
    assert plan["environment"]["built"] is False
    assert plan["environment"]["key"]
    assert not Path(plan["environment"]["folder"]).exists()


def test_quiet_prints_the_plan_alone(project: Any, cli: Any) -> None:
    folder = project("entry_points: {main: {command: [python, -V], parameters: {unused: {default: a}}}}")
    assert "unused" in cli("run", folder, "--dry-run").err
    assert cli("run", folder, "--dry-run", "--quiet").err == ""


def test_a_value_cannot_forge_a_row_of_the_plan(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "-P", "features=a\nproject  forged", "-P", "features=b", "--dry-run")
    assert not any(line.startswith("project  forged") for line in done.out.splitlines())
