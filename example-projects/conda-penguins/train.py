"""Tell three species of penguins apart by a decision tree; leave the tree, as text, and its metrics behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier, export_text

MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def read_penguins(path: str) -> tuple[list[list[float]], list[str]]:
    with open(path, newline="") as stream:
        whole = [row for row in csv.DictReader(stream) if all(row[name] not in ("", "NA") for name in MEASURES)]
    return [[float(row[name]) for name in MEASURES] for row in whole], [row["species"] for row in whole]


@click.command()
@click.option("--depth", type=int, required=True)
@click.option("--seed", type=int, required=True)
def main(depth: int, seed: int) -> None:
    measures, species = read_penguins("data/penguins.csv")
    split = train_test_split(measures, species, test_size=0.3, random_state=seed, stratify=species)
    train_x, test_x, train_y, test_y = split
    tree = DecisionTreeClassifier(max_depth=depth, random_state=seed).fit(train_x, train_y)
    metrics = {
        "accuracy": float(accuracy_score(test_y, tree.predict(test_x))),
        "train_accuracy": float(accuracy_score(train_y, tree.predict(train_x))),
        "leaves": int(tree.get_n_leaves()),
    }
    Path("tree.txt").write_text(export_text(tree, feature_names=MEASURES))
    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    click.echo("  " + "  ".join(f"{name} {value:.3g}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
