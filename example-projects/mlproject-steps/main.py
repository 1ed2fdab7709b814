"""The workflow: each step is an entry point of this project, run by MLflow, which hands one's artifact to the next."""

import argparse
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int)
parser.add_argument("--alpha", type=float)
arguments = parser.parse_args()


def step(entry_point, **parameters):
    """Run an entry point and give the folder of its artifacts."""
    print(f"step {entry_point}", flush=True)
    submitted = mlflow.projects.run(".", entry_point, parameters=parameters, env_manager="local", synchronous=True)
    return mlflow.artifacts.download_artifacts(run_id=submitted.run_id)


with mlflow.start_run():
    raw = step("load_raw_data", rows=arguments.rows)
    data = step("etl_data", raw=str(Path(raw, "raw.csv")))
    model = step("train", data=str(Path(data, "data.csv")), alpha=arguments.alpha)
    Path("model.json").write_text(Path(model, "model.json").read_text())
    print(f"runs {len(MlflowClient().search_runs(['0']))}")
