"""What logging by an MLflow client costs: to mlproj's gateway, and to a real ``mlflow server`` on SQLite.

    python benchmarks/tracking.py [--rounds 5] [--cache FOLDER] [--points 100000]

The same client, in the same environment, runs the same session in turns: start_run, 100 log_metric, 10 log_param and 5
artifacts; then log_batch of 1,000 metrics. A session begins with its first call and ends with its run; one before it,
which is not counted, has both servers import what they need. Last, points are logged and read back.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

MLFLOW = "mlflow>=3.5"
SESSION = """
import json, os, sys, tempfile, time
import mlflow
from mlflow.entities import Metric
rounds, points = int(sys.argv[1]), int(sys.argv[2])
client = mlflow.MlflowClient()
files = []
for index in range(5):
    path = os.path.join(tempfile.mkdtemp(), f"artifact-{index}.txt")
    with open(path, "w") as stream:
        stream.write("x" * 10_000)
    files.append(path)
def session():
    began = time.perf_counter()
    with mlflow.start_run():
        for step in range(100):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        for index in range(10):
            mlflow.log_param(f"param-{index}", index)
        for path in files:
            mlflow.log_artifact(path)
    return time.perf_counter() - began
def batch(run_id):
    metrics = [Metric(f"m{index % 10}", float(index), 1790000000000 + index, index) for index in range(1000)]
    began = time.perf_counter()
    client.log_batch(run_id, metrics=metrics)
    return time.perf_counter() - began
session()
found = {"sessions": [session() for _ in range(rounds)]}
with mlflow.start_run() as run:
    batch(run.info.run_id)
    found["batches"] = [batch(run.info.run_id) for _ in range(rounds)]
if points:
    with mlflow.start_run() as run:
        began = time.perf_counter()
        for first in range(0, points, 1000):
            steps = range(first, min(first + 1000, points))
            metrics = [Metric("loss", step / 7, 1790000000000 + step, step) for step in steps]
            client.log_batch(run.info.run_id, metrics=metrics)
        logged = time.perf_counter()
        history = client.get_metric_history(run.info.run_id, "loss")
        found["points"] = [logged - began, time.perf_counter() - logged]
        assert [(each.step, each.value, each.timestamp) for each in history] == [
            (step, step / 7, 1790000000000 + step) for step in range(points)
        ]
with open(sys.argv[3], "w") as stream:
    json.dump(found, stream)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="sessions of each in a turn [default: 5]")
    parser.add_argument("--turns", type=int, default=3, help="turns of each [default: 3]")
    parser.add_argument("--points", type=int, default=100_000, help="points to log and read back [default: 100000]")
    parser.add_argument("--cache", type=Path, help="where MLflow is installed [default: a temporary folder]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlproj-tracking-") as folder:
        scratch = Path(folder)
        python = installed((arguments.cache or scratch / "peers").resolve())
        (scratch / "session.py").write_text(SESSION)
        ours: list[dict[str, list[float]]] = []
        theirs: list[dict[str, list[float]]] = []
        with Server(python, scratch) as address:
            for turn in range(arguments.turns):
                points = arguments.points if turn == 0 else 0
                ours.append(through_mlproj(python, scratch, arguments.rounds, points))
                theirs.append(through_server(python, scratch, address, arguments.rounds))
        report(ours, theirs, arguments.points)


def installed(cache: Path) -> Path:
    """The interpreter of an environment with MLflow, server and all."""
    folder = cache / "tracking-mlflow"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", str(folder)], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "--python", str(folder), MLFLOW], check=True)
        (folder / "made").touch()
    return python


class Server:
    """A real MLflow server, on SQLite, with its artifacts by its own proxy."""

    def __init__(self, python: Path, scratch: Path) -> None:
        self.python, self.scratch = python, scratch

    def __enter__(self) -> str:
        folder = self.scratch / "server"
        folder.mkdir()
        command = [
            str(self.python.with_name("mlflow")), "server", "--port", "50917", "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts",
        ]  # fmt: skip
        variables = {**os.environ, "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True
            )
        address = "http://127.0.0.1:50917"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()
                return address
            except OSError:
                time.sleep(0.1)
        raise SystemExit((folder / "log").read_text())

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def through_mlproj(python: Path, scratch: Path, rounds: int, points: int) -> dict[str, list[float]]:
    project, result = scratch / "project", scratch / "ours.json"
    project.mkdir(exist_ok=True)
    command = [str(python), str(scratch / "session.py"), str(rounds), str(points), str(result)]
    (project / "mlproj.yaml").write_text(
        f"environment: {{system: {{}}}}\nentry_points: {{main: {{command: {json.dumps(command)}}}}}\n"
    )
    variables = {**os.environ, "MLPROJ_HOME": str(scratch / "home"), "PYTHONWARNINGS": "ignore"}
    variables.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", "mlproj", "run", str(project)],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(result.read_text()))


def through_server(python: Path, scratch: Path, address: str, rounds: int) -> dict[str, list[float]]:
    result = scratch / "theirs.json"
    command = [str(python), str(scratch / "session.py"), str(rounds), "0", str(result)]
    variables = {**os.environ, "MLFLOW_TRACKING_URI": address, "PYTHONWARNINGS": "ignore"}
    subprocess.run(command, env=variables, capture_output=True, check=True)
    return dict(json.loads(result.read_text()))


def report(ours: list[dict[str, list[float]]], theirs: list[dict[str, list[float]]], points: int) -> None:
    def median(found: list[dict[str, list[float]]], name: str) -> float:
        return statistics.median(each for turn in found for each in turn[name])

    for name, label, bar in (("sessions", "a session", 5), ("batches", "log_batch of 1,000", 10)):
        us, them = median(ours, name), median(theirs, name)
        print(f"{label:20} mlproj {us * 1000:8.1f} ms   mlflow server {them * 1000:8.1f} ms   "
              f"1/{them / us:.1f} of it (bar: 1/{bar})")  # fmt: skip
    if points:
        logged, read = ours[0]["points"]
        print(f"{points} points: logged in {logged:.2f} s, read back exactly in {read:.2f} s")


if __name__ == "__main__":
    main()
