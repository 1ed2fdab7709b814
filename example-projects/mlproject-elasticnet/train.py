"""Fit an elastic net on scikit-learn's diabetes data, and log it with MLflow, as its tutorial does."""

import json
import sys
from pathlib import Path

import mlflow
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

alpha = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
l1_ratio = float(sys.argv[2]) if len(sys.argv) > 2 else 0.5

data, target = load_diabetes(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(data, target, random_state=40)

with mlflow.start_run():
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, random_state=42).fit(train_x, train_y)
    predicted = model.predict(test_x)
    metrics = {
        "rmse": mean_squared_error(test_y, predicted) ** 0.5,
        "mae": mean_absolute_error(test_y, predicted),
        "r2": r2_score(test_y, predicted),
    }
    mlflow.log_metrics(metrics)
    Path("model.json").write_text(json.dumps({"argv": sys.argv[1:], "coefficients": list(model.coef_)}))
    mlflow.log_artifact("model.json")

shown = " ".join(f"{name}={value:.4f}" for name, value in metrics.items())
print(f"alpha={alpha:g} l1_ratio={l1_ratio:g} {shown}")
