"""What a script logs by any version of MLflow's client; prints what it reads back, as JSON."""

import json
import os

import mlflow
from mlflow.exceptions import MlflowException

MAJOR = int(mlflow.__version__.split(".")[0])
found = {"version": mlflow.__version__}

mlflow.set_experiment("fruit")
with mlflow.start_run() as run:
    found["joined"] = run.info.run_id == os.environ["MLPROJ_RUN_ID"]
    mlflow.log_param("alpha", 0.1)
    mlflow.log_params({"depth": 3, "names": ["a", "b"]})
    try:
        mlflow.log_param("alpha", 0.2)
    except MlflowException as error:
        found["refused"] = [error.error_code, str(error).splitlines()[0]]
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"nan": float("nan"), "up": float("inf")})
    mlflow.set_tags({"team": "blue", "gone": "soon"})
    mlflow.delete_tag("gone")
    with open("note.txt", "w") as stream:
        stream.write("hello")
    mlflow.log_artifact("note.txt", "notes")
    mlflow.log_text("text", "text.txt")
    mlflow.log_dict({"a": 1}, "folder/some.json")
    with mlflow.start_run(nested=True) as child:
        mlflow.log_metric("fold", 1)
        mlflow.log_text("child", "child.txt")
    found["child"] = child.info.run_id

client = mlflow.MlflowClient() if hasattr(mlflow, "MlflowClient") else mlflow.tracking.MlflowClient()
read = client.get_run(run.info.run_id)
found["params"] = dict(read.data.params)
found["loss"] = read.data.metrics["loss"]
found["status"] = read.info.status
found["history"] = [[each.step, each.value] for each in client.get_metric_history(run.info.run_id, "loss")]
found["artifacts"] = [[each.path, each.is_dir, each.file_size] for each in client.list_artifacts(run.info.run_id)]
found["text"] = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/text.txt")
local = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/folder")
found["downloaded"] = sorted(os.listdir(local))

with mlflow.start_run() as second:
    mlflow.log_param("alpha", 7)
found["second"] = second.info.run_id
with mlflow.start_run(run_id=second.info.run_id):
    mlflow.log_metric("late", 1)

experiment = client.get_experiment_by_name("fruit")
runs = client.search_runs([experiment.experiment_id], "metrics.loss < 0.5", order_by=["metrics.loss ASC"])
found["searched"] = [each.info.run_id for each in runs]
nested = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
found["nested"] = sorted(each.info.run_id for each in client.search_runs([experiment.experiment_id], nested))

direct = client.create_run(experiment.experiment_id, tags={"by": "client"})
client.log_batch(direct.info.run_id, metrics=[mlflow.entities.Metric("m", 2.0, 1790000000000, 1)])
client.set_terminated(direct.info.run_id, "KILLED")
client.delete_run(direct.info.run_id)
found["deleted"] = client.get_run(direct.info.run_id).info.lifecycle_stage
client.restore_run(direct.info.run_id)
found["direct"] = direct.info.run_id

if (MAJOR, int(mlflow.__version__.split(".")[1])) >= (2, 9):
    mlflow.start_run(run_id=run.info.run_id)
    for step in range(20):
        mlflow.log_metric("async", step, step=step, synchronous=False)
    mlflow.end_run()
    if hasattr(mlflow, "flush_async_logging"):
        mlflow.flush_async_logging()

# On a line of its own, whatever is written to stderr meanwhile.
print("\n" + json.dumps(found), flush=True)
