"""Fit an elastic net on scikit-learn's diabetes data, and log it with MLflow, in a container that has both."""

import argparse
import json
from pathlib import Path

import mlflow
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--l1-ratio", type=float, required=True)
given = parser.parse_args()

data, target = load_diabetes(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(data, target, random_state=40)

with mlflow.start_run():
    model = ElasticNet(alpha=given.alpha, l1_ratio=given.l1_ratio, random_state=42).fit(train_x, train_y)
    predicted = model.predict(test_x)
    metrics = {
        "rmse": mean_squared_error(test_y, predicted) ** 0.5,
        "mae": mean_absolute_error(test_y, predicted),
        "r2": r2_score(test_y, predicted),
    }
    mlflow.log_params(vars(given))
    mlflow.log_metrics(metrics)
    Path("model.json").write_text(json.dumps(dict(zip(["alpha", "l1_ratio"], vars(given).values()))))
    mlflow.log_artifact("model.json")

shown = " ".join(f"{name}={value:.4f}" for name, value in metrics.items())
print(f"alpha={given.alpha:g} l1_ratio={given.l1_ratio:g} {shown}")
