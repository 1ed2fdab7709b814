"""Fit y = a x + b by gradient descent."""

import argparse
import csv
import json
import os

from tabulate import tabulate

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--steps", type=int, required=True)
arguments = parser.parse_args()

with open("data/points.csv") as stream:
    points = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(stream)]
a = b = 0.0
losses = []
for _ in range(arguments.steps):
    errors = [a * x + b - y for x, y in points]
    losses.append(sum(each * each for each in errors) / len(points))
    a -= arguments.rate * 2 * sum(each * x for each, (x, _) in zip(errors, points)) / len(points)
    b -= arguments.rate * 2 * sum(errors) / len(points)

rmse = losses[-1] ** 0.5
with open(os.environ["MLPROJ_METRICS"], "a") as stream:
    stream.writelines(
        json.dumps({"name": "loss", "value": loss, "step": step}) + "\n" for step, loss in enumerate(losses)
    )
with open("model.json", "w") as stream:
    json.dump({"a": a, "b": b}, stream)
with open("metrics.json", "w") as stream:
    json.dump({"rmse": rmse}, stream)
print(tabulate([["a", a], ["b", b], ["rmse", rmse]], floatfmt=".4f"))
