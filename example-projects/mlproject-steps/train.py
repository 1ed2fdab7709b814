"""The last step: the model."""

import argparse
import csv
import json
from pathlib import Path

import mlflow
from sklearn.linear_model import ElasticNet

parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--alpha", type=float)
arguments = parser.parse_args()

with open(arguments.data, newline="") as stream:
    rows = list(csv.DictReader(stream))
features = [[float(row[name]) for name in ("age", "bmi", "bp")] for row in rows]
with mlflow.start_run():
    model = ElasticNet(alpha=arguments.alpha, random_state=0).fit(features, [float(row["target"]) for row in rows])
    Path("model.json").write_text(json.dumps({"rows": len(rows), "coefficients": list(model.coef_)}))
    mlflow.log_artifact("model.json")
print(f"train rows={len(rows)} coefficients={' '.join(f'{each:.4f}' for each in model.coef_)}")
