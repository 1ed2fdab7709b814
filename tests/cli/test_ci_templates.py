"""The action for GitHub and the job for GitLab, their steps run by bash as a runner would run them.

Neither runner can be had here: the steps that `uses:` other actions are passed over.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
MANIFEST = """\
name: wine
entry_points:
  train:
    command: [python, train.py, "{alpha}", "{note}"]
    parameters: {alpha: {type: float, default: 0.5}, note: {default: ""}}
    outputs: {model: model.txt, metrics: {path: metrics.json, kind: metrics}}
"""
TRAIN = (
    "import sys, json\nopen('model.txt', 'w').write(sys.argv[2])\n"
    "open('metrics.json', 'w').write(json.dumps({'rmse': float(sys.argv[1])}))\n"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checked-out repository with a project in it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "mlproj.yaml").write_text(MANIFEST)
    (folder / "train.py").write_text(TRAIN)
    return folder


class Runner:
    """What of a runner the steps see: contexts, files for outputs, a path."""

    def __init__(self, checkout: Path, temporary: Path, inputs: dict[str, str]) -> None:
        self.checkout = checkout
        self.temporary = temporary
        temporary.mkdir()
        self.output, self.summary = temporary / "output", temporary / "summary.md"
        defaults = {name: each.get("default", "") for name, each in ACTION["inputs"].items()}
        assert inputs.keys() <= defaults.keys()
        self.contexts = {f"inputs.{name}": value for name, value in {**defaults, **inputs}.items()}
        self.contexts |= {"github.action_path": str(ROOT), "runner.temp": str(temporary)}

    def resolved(self, text: str) -> str:
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: self.contexts[found[1]], text)

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        step = next(each for each in ACTION["runs"]["steps"] if each["name"] == name)
        assert step["shell"] == "bash"
        variables = {each: self.resolved(str(value)) for each, value in step.get("env", {}).items()}
        # What comes from outside reaches a script as variables alone: in its text it would be code.
        assert "${{" not in step["run"]
        ours = {
            "RUNNER_TEMP": str(self.temporary), "GITHUB_OUTPUT": str(self.output), "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_WORKSPACE": str(self.checkout),
            "GITHUB_PATH": str(self.temporary / "path"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }  # fmt: skip
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            words, cwd=self.checkout, env={**os.environ, **ours, **variables}, capture_output=True, text=True
        )

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


def test_a_job_on_github_that_keeps_its_limits(checkout: Path, tmp_path: Path) -> None:
    note = "two words; $(touch hacked) `touch hacked` 'quoted' \"twice\" --assert"
    inputs = {
        "locked": "false",
        "params": f"alpha=0.1\nnote={note}\n\n",
        "assert": "metrics.rmse < 1\nparams.alpha = 0.1\n",
    }
    runner = Runner(checkout, tmp_path / "runner", inputs)
    found = runner.step("Find the cache")
    assert found.returncode == 0, found.stderr
    assert runner.outputs()["key"].startswith(runner.outputs()["restore-key"])
    done = runner.step("Run")
    assert done.returncode == 0, done.stderr
    record = json.loads(Path(runner.outputs()["record"]).read_text())
    assert record["parameters"] == {"alpha": 0.1, "note": note}
    assert runner.outputs()["run-id"] == record["id"]
    assert runner.outputs()["status"] == "finished"
    reports = tmp_path / "runner" / "mlproj-report"
    assert {path.name for path in reports.iterdir()} == {
        "report.md", "report.html", "metrics.txt", "junit.xml", "run.json", "artifacts"
    }  # fmt: skip
    assert (reports / "artifacts/model.txt").read_text() == note
    assert runner.summary.read_text().startswith("## ✅ wine: train")
    assert not (checkout / "hacked").exists()


def test_a_job_on_github_that_does_not(checkout: Path, tmp_path: Path) -> None:
    (checkout / "baseline.json").write_text('{"rmse": 0.2}')
    inputs = {"locked": "false", "assert": "metrics.rmse < 0.3", "baseline": "baseline.json", "tolerance": "rmse=1%"}
    runner = Runner(checkout, tmp_path / "runner", inputs)
    done = runner.step("Run")
    assert done.returncode == 3
    assert "::error title=wine%3A train is not accepted::metrics.rmse < 0.3" in done.stderr
    assert "baseline: rmse: 0.2 → 0.5" in done.stderr
    assert runner.outputs()["status"] == "finished"


def test_a_broken_manifest_is_shown_beside_its_lines(checkout: Path, tmp_path: Path) -> None:
    (checkout / "mlproj.yaml").write_text("entry_points: {main: {comand: x}}")
    runner = Runner(checkout, tmp_path / "runner", {})
    done = runner.step("Run")
    assert done.returncode == 2
    assert "::error file=mlproj.yaml,line=1," in done.stderr
    assert not runner.output.exists()


def test_a_project_or_a_word_cannot_become_an_option(checkout: Path, tmp_path: Path) -> None:
    done = Runner(checkout, tmp_path / "runner", {"project": "--help", "locked": "false"}).step("Run")
    assert done.returncode == 2
    assert "no folder `./--help`" in done.stderr
    done = Runner(checkout, tmp_path / "other", {"entry-point": "--help", "locked": "false"}).step("Run")
    assert done.returncode == 2


def test_the_action_installs_what_stands_beside_it() -> None:
    install = next(each for each in ACTION["runs"]["steps"] if each["name"] == "Install mlproj")
    assert 'pip install --quiet "$ACTION"' in install["run"]
    assert install["env"] == {"ACTION": "${{ github.action_path }}"}
    assert (ROOT / "pyproject.toml").is_file()


def test_a_job_on_gitlab(checkout: Path, tmp_path: Path) -> None:
    job = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())[".mlproj"]
    variables = {**job["variables"], "CI_PROJECT_DIR": str(checkout), "LOCKED": "false", "ASSERT": "metrics.rmse < 1"}
    variables = {name: str(value).replace("$CI_PROJECT_DIR", str(checkout)) for name, value in variables.items()}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])],
        cwd=checkout, env={**os.environ, **variables, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for report in job["artifacts"]["reports"].values():
        assert (checkout / report).stat().st_size
    assert (checkout / "mlproj-report/metrics.txt").read_text() == "rmse 0.5\n"


def test_gitlab_keeps_the_store_and_the_cache_between_jobs() -> None:
    job = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())[".mlproj"]
    kept = {f"$CI_PROJECT_DIR/{path}" for cache in job["cache"] for path in cache["paths"]}
    assert kept == {job["variables"]["MLPROJ_HOME"], job["variables"]["MLPROJ_CACHE"]}
