"""Runs brought in from MLflow's stores and sent to them: servers, SQLite files, folders; nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_server import MlflowServer

# What a team has had for years: made by MLflow alone.
MADE = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment(sys.argv[2])
with mlflow.start_run(run_name="grid", tags={"team": "blue"}) as grid:
    mlflow.log_param("trees", 7)
    for step in range(300):
        mlflow.log_metric("loss", 1 / (step + 1), step=step, timestamp=1700000000000 + step)
    mlflow.log_text("text", "notes/one.txt")
    with mlflow.start_run(run_name="fold", nested=True):
        mlflow.log_metric("score", float("nan"))
try:
    with mlflow.start_run(run_name="broken"):
        raise KeyError
except KeyError:
    pass
print(grid.info.run_id)
"""


def made_by_mlflow(python: Path, uri: str, experiment: str) -> str:
    """Have MLflow alone log three runs; gives the id of the first."""
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [str(python), "-c", MADE, uri, experiment], capture_output=True, text=True, env=environment, cwd=python.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def records(mlproj: Any) -> dict[str, dict[str, Any]]:
    """The runs in the store, by name."""
    return {each["name"]: each for each in json.loads(mlproj("runs", "--json").stdout)}


def check(mlproj: Any, uri: str, first: str, experiment: str) -> None:
    found = records(mlproj)
    assert set(found) == {"grid", "fold", "broken"}
    grid, fold = found["grid"], found["fold"]
    assert (grid["experiment"], grid["status"], grid["parameters"]) == (experiment, "finished", {"trees": "7"})
    assert grid["tags"]["team"] == "blue"
    assert grid["metrics"] == {"loss": 1 / 300}
    assert grid["tracking"] == {**grid["tracking"], "uri": uri, "run_id": first, "sent": True}
    assert fold["parent"] == grid["id"]
    assert fold["metrics"] == {"score": "nan"}
    assert found["broken"]["status"] == "failed"
    drawn = json.loads(mlproj("plot", grid["id"], "loss", "--json").stdout)
    assert json.dumps(drawn).count("0.0033333333333333335") >= 1


def test_a_server(mlproj: Any, mlflow_server: MlflowServer, python_of: Any, tmp_path: Path) -> None:
    first = made_by_mlflow(python_of("server"), mlflow_server.uri, "imported")
    done = mlproj("import-mlflow", mlflow_server.uri, "--experiment", "imported")
    assert done.stdout == "3 new runs, 0 brought up to date, 0 as before\n", done.stderr
    check(mlproj, mlflow_server.uri, first, "imported")
    assert mlproj("artifacts", "get", "grid", "notes/one.txt", "--to", tmp_path / "one.txt").returncode == 0
    assert (tmp_path / "one.txt").read_text() == "text"
    kept = [file["path"] for each in records(mlproj)["grid"]["outputs"] for file in each["files"]]
    assert kept == ["notes/one.txt"]
    again = mlproj("import-mlflow", mlflow_server.uri, "--experiment", "imported")
    assert again.stdout == "0 new runs, 0 brought up to date, 3 as before\n"
    # What changes there comes in, and only that.
    client = mlflow_server.client()
    client.set_tag(first, "reviewed", "yes")
    client.log_metric(first, "late", 5.0)
    changed = mlproj("import-mlflow", mlflow_server.uri, "--experiment", "imported", "--json")
    assert [len(json.loads(changed.stdout)[key]) for key in ("new", "changed")] == [0, 1]
    grid = records(mlproj)["grid"]
    assert (grid["tags"]["reviewed"], grid["metrics"]["late"]) == ("yes", 5.0)
    assert mlproj("store", "check").returncode == 0
    assert mlproj("import-mlflow", mlflow_server.uri, "--experiment", "imports").returncode == 2


def test_a_folder(mlproj: Any, tmp_path: Path, python_of: Any) -> None:
    folder = tmp_path / "mlruns"
    first = made_by_mlflow(python_of("server"), folder.as_uri(), "old")
    done = mlproj("import-mlflow", "mlruns", cwd=tmp_path)
    assert done.stdout == "3 new runs, 0 brought up to date, 0 as before\n", done.stderr
    check(mlproj, folder.as_uri(), first, "old")
    assert mlproj("import-mlflow", folder).stdout == "0 new runs, 0 brought up to date, 3 as before\n"


def test_an_sqlite_file(mlproj: Any, tmp_path: Path, python_of: Any) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first = made_by_mlflow(python_of("server"), uri, "old")
    done = mlproj("import-mlflow", uri)
    assert done.stdout == "3 new runs, 0 brought up to date, 0 as before\n", done.stderr
    check(mlproj, uri, first, "old")


def test_an_import_that_is_killed_is_gone_on_with(
    mlproj: Any, mlflow_server: MlflowServer, relay_to: Any, python_of: Any
) -> None:
    made_by_mlflow(python_of("server"), mlflow_server.uri, "cut off")
    relay = relay_to(mlflow_server)
    for after in range(2, 12, 3):
        relay.fails_after, relay.answer = after, None
        mlproj("import-mlflow", relay.uri, "--experiment", "cut off", env={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})
    relay.fails_after, relay.answer = None, None
    assert mlproj("import-mlflow", relay.uri, "--experiment", "cut off").returncode == 0
    grid = records(mlproj)["grid"]
    assert [file["path"] for each in grid["outputs"] for file in each["files"]] == ["notes/one.txt"]
    assert len(records(mlproj)) == 3
    assert mlproj("store", "check").returncode == 0


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("nowhere", "is neither a server's (http://…) nor a folder that is there"),
        ("./nowhere", "there is no MLflow store at"),
        ("sqlite:///nowhere.db", "there is no MLflow store at"),
        (".", "is no MLflow store: it has no experiment"),
        ("http://127.0.0.1:1", "Connection refused"),
        ("gopher://x", "gopher"),
    ],
)
def test_what_is_no_store(mlproj: Any, tmp_path: Path, uri: str, problem: str) -> None:
    done = mlproj("import-mlflow", uri, cwd=tmp_path, env={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})
    assert done.returncode in (2, 125)
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


class TestExport:
    def test_there_and_back(self, project: Any, mlproj: Any, tmp_path: Path) -> None:
        script = (
            "import json, os\n"
            "with open(os.environ['MLPROJ_METRICS'], 'a') as stream:\n"
            "    for step in range(5):\n"
            "        stream.write(json.dumps({'name': 'loss', 'value': 1 / (step + 1), 'step': step}) + '\\n')\n"
            "open('model.txt', 'w').write('weights')\n"
        )
        folder = project(
            "entry_points: {main: {command: [python3, t.py], outputs: {model: model.txt}}}\n", {"t.py": script}
        )
        made = json.loads(mlproj("run", folder, "--name", "first", "--json").stdout)
        store = tmp_path / "mlruns"
        for _ in range(2):
            done = mlproj("export-mlflow", store, "@last")
            assert done.stdout.startswith(f"{made['id'][:12]} is on {store.as_uri()} as "), done.stderr
        assert len(list(store.glob("*/*/meta.yaml"))) == 1
        (points,) = store.glob("*/*/metrics/loss")
        assert len(points.read_text().splitlines()) == 5
        # Another store of ours knows it by the id that it has here.
        elsewhere = {"MLPROJ_HOME": str(tmp_path / "elsewhere")}
        assert mlproj("import-mlflow", store, env=elsewhere).stdout.startswith("1 new run,")
        there = json.loads(mlproj("runs", "--json", env=elsewhere).stdout)[0]
        assert (there["id"], there["name"], there["metrics"]) == (made["id"], "first", {"loss": 0.2})
        assert [file["path"] for each in there["outputs"] for file in each["files"]] == ["model.txt"]

    def test_what_to_export_has_to_be_said(self, mlproj: Any, tmp_path: Path) -> None:
        done = mlproj("export-mlflow", tmp_path / "mlruns")
        assert done.returncode == 2
        assert "takes runs, or --filter" in done.stderr

    def test_sync_of_a_run_that_has_no_server(self, project: Any, mlproj: Any) -> None:
        assert mlproj("run", project("entry_points: {main: {command: ['true']}}\n")).returncode == 0
        done = mlproj("sync", "@last")
        assert done.returncode == 2
        assert "export-mlflow URI" in done.stderr
        assert mlproj("sync").returncode == 2
        assert mlproj("sync", "--all").stdout == "nothing is left to send\n"


def test_mlproj_never_imports_mlflow_itself(project: Any) -> None:
    folder = project("entry_points: {main: {command: ['true']}}\n")
    words = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "mlproj",
        "run",
        str(folder),
        "--tracking-uri",
        "http://127.0.0.1:1",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    )
    assert done.returncode == 0
    assert " mlflow" not in done.stderr.replace("mlproj", "")
