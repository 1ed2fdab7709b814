"""example-projects/elasticnet-diabetes: the example that everyone begins with."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("index")


def test_a_run_and_its_record(mlproj, example):
    project = example("elasticnet-diabetes")
    ran = mlproj("run", project, "-P", "alpha=0.1", "--name", "first", "--tag", "why=to see")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("  rmse ") and "  r2 0." in ran.stdout
    assert "train: alpha=0.1 l1_ratio=0.5 positive=false" in ran.stderr
    assert "outputs: model (1 file), plots (2 files)" in ran.stderr

    made = json.loads(mlproj("show", "first", "--json").stdout)
    assert (made["status"], made["exit_status"], made["entry_point"]) == ("finished", 0, "train")
    assert made["parameters"] == {"alpha": 0.1, "l1_ratio": 0.5, "positive": False}
    assert made["tags"] == {"why": "to see"}
    assert 45 < made["metrics"]["rmse"] < 60 and 0.3 < made["metrics"]["r2"] < 0.6
    assert f"rmse {made['metrics']['rmse']:.2f}" in ran.stdout
    assert {"scikit-learn", "matplotlib", "joblib", "numpy"} <= made["environment"]["packages"].keys()
    assert made["command"]["argv"][:2] == ["python", "train.py"]


def test_the_second_run_is_warm_and_comes_to_the_same(mlproj, record, example):
    project = example("elasticnet-diabetes")
    first = record(project)
    again = mlproj("run", project)
    assert again.returncode == 0
    assert "resolving" not in again.stderr and "installing" not in again.stderr
    second = json.loads(mlproj("show", "@last", "--json").stdout)
    assert second["metrics"] == first["metrics"]
    assert second["outputs"] == first["outputs"], "to the byte"
    assert second["environment"]["key"] == first["environment"]["key"]


def test_the_artifacts_can_be_had(mlproj, record, example, tmp_path):
    made = record(example("elasticnet-diabetes"))
    listed = json.loads(mlproj("artifacts", "list", "@last", "--json").stdout)
    assert [each["path"] for each in listed] == [
        "model/model.joblib", "plots/coefficients.png", "plots/predictions.png", "metrics.json"
    ]  # fmt: skip
    assert mlproj("artifacts", "get", made["id"][:12], "plots", "--to", tmp_path / "got").returncode == 0
    got = sorted((tmp_path / "got").rglob("*.png"))
    assert [path.name for path in got] == ["coefficients.png", "predictions.png"]
    digests = {each["path"].rpartition("/")[2]: each["sha256"] for each in listed}
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == digests[path.name] for path in got)
    model = Path(mlproj("artifacts", "path", "@last", "model").stdout.strip())
    assert (model / "model.joblib").is_file()


def test_runs_are_found_ordered_and_compared(mlproj, record, example):
    project = example("elasticnet-diabetes")
    weak, strong = record(project, "-P", "alpha=0.1"), record(project, "-P", "alpha=20")
    assert weak["metrics"]["rmse"] < strong["metrics"]["rmse"]

    good = mlproj("runs", "--json", "--filter", "metrics.rmse < 60 and params.alpha = 0.1 and status = finished")
    assert [each["id"] for each in json.loads(good.stdout)] == [weak["id"]]
    by_rmse = mlproj("runs", "--csv", "--columns", "id,params.alpha", "--order-by", "metrics.rmse")
    assert [line.split(",")[1] for line in by_rmse.stdout.split()[1:]] == ["0.1", "20.0"]
    table = mlproj("runs").stdout
    assert table.index(strong["id"][:8]) < table.rindex(weak["id"][:8]), "newest first"
    # `@best` cannot know which way is better by the name of a metric that it has never heard of; `@min` is told.
    assert json.loads(mlproj("show", "@min:rmse", "--json").stdout)["id"] == weak["id"]

    found = json.loads(mlproj("diff", weak["id"], strong["id"], "--json").stdout)
    differing = {each["name"]: each for each in found["parameters"] if not each["same"]}
    assert differing.keys() == {"alpha"} and differing["alpha"]["values"] == [0.1, 20.0]
    assert next(each for each in found["metrics"] if each["name"] == "rmse")["delta"] > 0
    assert all(each["same"] for each in found["environment"] + found["packages"])
    assert "alpha" in mlproj("diff", weak["id"], strong["id"]).stdout


def test_its_outputs_leave_a_git_repository_clean(record, example):
    project = example("elasticnet-diabetes")
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(project)]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *command], check=True)
    record(project)
    source = record(project)["source"]
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert (source["kind"], source["commit"], source["branch"]) == ("git", head.stdout.strip(), "main")
    assert source["dirty"] is False and source["patch"] is None
    assert source["author"] == "Ada <ada@example.org>"

    (project / "train.py").write_text((project / "train.py").read_text() + "print('changed')\n")
    changed = record(project)
    assert changed["source"]["dirty"] is True and changed["source"]["patch"] == "source.patch"


def test_a_lock_makes_ci_certain(mlproj, example):
    project = example("elasticnet-diabetes")
    missing = mlproj("run", project, "--locked")
    assert missing.returncode == 125 and "mlproj lock" in missing.stderr
    assert mlproj("lock", project).returncode == 0
    assert mlproj("run", project, "--locked").returncode == 0
    manifest = project / "mlproj.yaml"
    manifest.write_text(manifest.read_text().replace("joblib>=1.4", "joblib>=1.4.1"))
    stale = mlproj("run", project, "--locked")
    assert stale.returncode == 125 and "joblib" in stale.stderr


def test_a_value_out_of_bounds_is_refused_before_anything_is_built(mlproj, example, tmp_path):
    empty = tmp_path / "cache"
    ran = mlproj("run", example("elasticnet-diabetes"), "-P", "l1_ratio=2", env={"MLPROJ_CACHE": str(empty)})
    assert ran.returncode == 2 and "at most 1" in ran.stderr
    assert not (empty / "environments").exists()


@pytest.mark.parametrize(("script", "exit_status"), [("raise SystemExit('broken')", 1), ("print('did nothing')", 1)])
def test_a_run_does_not_take_over_what_the_run_before_left(mlproj, example, script: str, exit_status: int):
    project = example("elasticnet-diabetes")
    assert mlproj("run", project).returncode == 0
    (project / "train.py").write_text(script)
    idle = mlproj("run", project)
    assert idle.returncode == exit_status
    made = json.loads(mlproj("show", "@last", "--json").stdout)
    assert (made["status"], made["metrics"], made["outputs"]) == ("failed", {}, [])
