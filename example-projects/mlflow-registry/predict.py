"""Load the champion from the registry, wherever this run's MLflow client is led, and use it."""

import argparse

import mlflow
from sklearn.datasets import load_wine

parser = argparse.ArgumentParser()
parser.add_argument("--model")
arguments = parser.parse_args()

data, target = load_wine(return_X_y=True, as_frame=True)
champion = mlflow.sklearn.load_model(f"models:/{arguments.model}@champion")
with mlflow.start_run():
    mlflow.log_metric("accuracy", champion.score(data, target))
print("first cultivars:", *champion.predict(data[:5]))
