"""Autologging, models, datasets, registry and traces, as far as a version of MLflow's client has them."""

import json
import os
import warnings

warnings.filterwarnings("ignore")

import mlflow
import numpy
import pandas
from sklearn.linear_model import ElasticNet

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
RUN = os.environ["MLPROJ_RUN_ID"]
found = {}
frame = pandas.DataFrame(numpy.arange(60.0).reshape(20, 3) % 7, columns=list("abc"))
target = frame["a"] * 2 + frame["b"]

mlflow.sklearn.autolog()
model = ElasticNet(alpha=0.1).fit(frame, target)
mlflow.sklearn.autolog(disable=True)
mlflow.end_run()
client = mlflow.MlflowClient()
read = client.get_run(RUN).data
found["autolog"] = ["training_r2_score" in read.metrics, read.params["alpha"], read.params["selection"]]

with mlflow.start_run(run_id=RUN):
    place = {"name": "mine"} if VERSION >= (3, 0) else {"artifact_path": "mine"}
    info = mlflow.sklearn.log_model(model, **place)
    expected = model.predict(frame[:2]).tolist()
    found["within"] = [
        mlflow.sklearn.load_model(info.model_uri).predict(frame[:2]).tolist() == expected,
        mlflow.pyfunc.load_model(f"runs:/{RUN}/mine").predict(frame[:2]).tolist() == expected,
    ]
    found["uri"] = info.model_uri
    if VERSION >= (2, 4):
        mlflow.log_table({"a": [1, 2]}, "table.json")
        mlflow.log_table({"a": [3]}, "table.json")
        found["table"] = mlflow.load_table("table.json", run_ids=[RUN])["a"].tolist()
        data = mlflow.data.from_pandas(frame, source="fruit.csv", name="fruit")
        mlflow.log_input(data, context="training")
        inputs = client.get_run(RUN).inputs.dataset_inputs
        found["datasets"] = sorted([each.dataset.name, each.tags[0].value] for each in inputs)
    if VERSION >= (2, 0):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot([1, 2])
        mlflow.log_figure(figure, "figure.png")
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype="uint8"), "image.png")
    version = mlflow.register_model(info.model_uri, "wine").version
    found["registered"] = mlflow.sklearn.load_model(f"models:/wine/{version}").predict(frame[:2]).tolist() == expected
    if VERSION >= (2, 3):
        client.set_registered_model_alias("wine", "champion", version)
        found["alias"] = mlflow.sklearn.load_model("models:/wine@champion").predict(frame[:2]).tolist() == expected
    else:
        client.transition_model_version_stage("wine", version, "Staging")
        found["alias"] = mlflow.sklearn.load_model("models:/wine/Staging").predict(frame[:2]).tolist() == expected

if VERSION >= (2, 14):

    @mlflow.trace
    def squared(number):
        return number * number

    squared(3)
    if VERSION >= (3, 0):
        mlflow.flush_trace_async_logging()
        trace_id = mlflow.get_last_active_trace_id()
    else:
        trace_id = mlflow.get_last_active_trace().info.request_id
    found["trace"] = [client.get_trace(trace_id).data.spans[0].name, len(mlflow.search_traces())]

if VERSION >= (3, 0):
    import xgboost

    mlflow.xgboost.autolog()
    with mlflow.start_run(run_id=RUN):
        xgboost.train(
            {"max_depth": 2},
            xgboost.DMatrix(frame, target),
            num_boost_round=3,
            evals=[(xgboost.DMatrix(frame, target), "train")],
        )
    found["xgboost"] = len(client.get_metric_history(RUN, "train-rmse"))
    found["models"] = sorted(each.name for each in mlflow.search_logged_models(output_format="list"))

# On a line of its own, whatever is written to stderr meanwhile.
print("\n" + json.dumps(found), flush=True)
