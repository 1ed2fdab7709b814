"""The first step: the raw data."""

import argparse
import csv
from pathlib import Path

import mlflow
from sklearn.datasets import load_diabetes

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int)
rows = parser.parse_args().rows

data = load_diabetes(scaled=False)
with mlflow.start_run(), Path("raw.csv").open("w", newline="") as stream:
    writer = csv.writer(stream)
    writer.writerow([*data.feature_names, "target"])
    writer.writerows([*values, target] for values, target in list(zip(data.data, data.target))[:rows])
    stream.flush()
    mlflow.log_artifact("raw.csv")
