"""The second step: what is of use of the raw data."""

import argparse
import csv
from pathlib import Path

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--raw")
raw = parser.parse_args().raw

with open(raw, newline="") as stream:
    rows = [row for row in csv.DictReader(stream) if float(row["bmi"]) < 40]
with mlflow.start_run(), Path("data.csv").open("w", newline="") as stream:
    writer = csv.DictWriter(stream, ["age", "bmi", "bp", "target"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    stream.flush()
    mlflow.log_artifact("data.csv")
