"""``mlproj verify`` and ``mlproj why``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

MANIFEST = """\
name: wine
entry_points:
  train:
    command: [python, train.py, "{alpha}"]
    parameters: {alpha: {type: float, default: 0.5}}
    outputs: {model: model/}
"""
TRAIN = "import os, sys\nos.makedirs('model', exist_ok=True)\nopen('model/w.txt', 'w').write(sys.argv[1])\n"


@pytest.fixture
def wine(project: Any) -> Path:
    return project(MANIFEST, {"train.py": TRAIN})


class TestVerify:
    def test_a_run_as_it_was_recorded(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        done = cli("verify", "@last")
        assert done.status == 0
        assert "3 files: as recorded" in done.out
        assert cli("verify", "--all").status == 0

    @pytest.mark.parametrize("what", ["changed", "missing", "not recorded", "no regular file"])
    def test_every_kind_of_damage_is_named(self, cli: Any, wine: Path, own_home: Path, what: str) -> None:
        cli("run", wine, "-q")
        run = cli("show", "@last", "--json").json["id"]
        model = own_home / "runs" / run / "artifacts" / "model"
        if what == "changed":
            (model / "w.txt").write_text("0.6")
        elif what == "not recorded":
            (model / "more.txt").write_text("x")
        else:
            (model / "w.txt").unlink()
        if what == "no regular file":
            (model / "w.txt").symlink_to("/etc/hostname")
        done = cli("verify", run, "--json")
        assert done.status == 1
        name = "more.txt" if what == "not recorded" else "w.txt"
        damage = {"path": f"artifacts/model/{name}", "what": what}
        assert done.json == [{"run": run, "files": 3, "damages": [damage], "not_brought": []}]
        assert f"artifacts/model/{name}: {what}" in cli("verify", "--all").out

    def test_a_run_that_goes_on_is_said_not_to_be_looked_at(self, mlproj: Any, project: Any) -> None:
        code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'mlproj', 'verify', '@last'], check=True)"
        folder = project(f'entry_points: {{main: {{command: [{sys.executable}, -c, "{code}"]}}}}\n')
        done = mlproj("run", folder)
        assert done.returncode == 0, done.stderr
        assert "is still running: it is not looked at" in done.stderr

    def test_it_wants_runs_or_all(self, cli: Any) -> None:
        assert "verify takes runs, or --all" in cli("verify").err
        assert cli("verify", "--all", "abc").status == 2


class TestWhy:
    def test_what_went_in_and_was_not_the_same(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        cli("run", wine, "-q", "-P", "alpha=0.7")
        done = cli("why", "@last~1", "@last")
        assert done.status == 0
        assert "came out differently: output model (model/w.txt): other bytes of the same size" in done.out
        assert "  1. parameters: alpha 0.5 → 0.7" in done.out
        told = cli("why", "@last~1", "@last", "--json").json
        assert told["causes"] == [{"of": "parameters", "told": "alpha 0.5 → 0.7"}]
        assert told["verdict"] == "different"

    def test_files_of_a_folder_that_changed_are_named(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        (wine / "notes.txt").write_text("new")
        cli("run", wine, "-q")
        causes = cli("why", "@last~1", "@last", "--json").json["causes"]
        assert [each["of"] for each in causes] == ["source", "source"]
        assert causes[0]["told"].startswith("content ")
        assert causes[1]["told"] == "notes.txt added"

    def test_runs_that_came_out_the_same(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        cli("run", wine, "-q")
        assert cli("why", "@last~1", "@last").out.strip().endswith("came out the same")

    def test_a_run_that_is_not_there(self, cli: Any, wine: Path) -> None:
        cli("run", wine, "-q")
        assert cli("why", "@last", "abcdef").status == 2
