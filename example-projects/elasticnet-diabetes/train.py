"""Fit an elastic net on the diabetes data; leave the model, its metrics and two plots behind."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import joblib
from matplotlib import pyplot
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--l1_ratio", type=float, default=0.5)
    parser.add_argument("--positive", action="store_true")
    arguments = parser.parse_args()

    data = load_diabetes(scaled=False)
    train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, test_size=0.25, random_state=42)
    net = ElasticNet(alpha=arguments.alpha, l1_ratio=arguments.l1_ratio, positive=arguments.positive)
    model = make_pipeline(StandardScaler(), net)
    model.fit(train_x, train_y)
    predicted = model.predict(test_x)

    metrics = {
        "rmse": float(mean_squared_error(test_y, predicted) ** 0.5),
        "mae": float(mean_absolute_error(test_y, predicted)),
        "r2": float(r2_score(test_y, predicted)),
    }
    print("  " + "  ".join(f"{name} {value:.2f}" for name, value in metrics.items()))

    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    Path("model").mkdir(exist_ok=True)
    joblib.dump(model, "model/model.joblib")
    Path("plots").mkdir(exist_ok=True)
    plot_coefficients(data.feature_names, net.coef_)
    plot_predictions(test_y, predicted)


def plot_coefficients(names: list[str], coefficients: list[float]) -> None:
    figure, axes = pyplot.subplots(figsize=(5, 4), layout="constrained")
    axes.barh(names, coefficients)
    axes.set_xlabel("coefficient (standardised features)")
    figure.savefig("plots/coefficients.png")


def plot_predictions(measured: list[float], predicted: list[float]) -> None:
    figure, axes = pyplot.subplots(figsize=(5, 4), layout="constrained")
    axes.scatter(measured, predicted, s=12)
    axes.axline((150, 150), slope=1, linestyle="--", linewidth=1, color="grey")
    axes.set(xlabel="measured", ylabel="predicted")
    figure.savefig("plots/predictions.png")


if __name__ == "__main__":
    main()
