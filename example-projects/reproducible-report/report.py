"""Bootstrap the median of waiting times. Nothing in it depends on when, where or by whom it is run."""

import argparse
import csv
import io
import json
from pathlib import Path

import matplotlib
import numpy

matplotlib.use("svg")
# The ids in an SVG are random unless they are salted; its date is SOURCE_DATE_EPOCH's, which mlproj sets.
matplotlib.rcParams["svg.hashsalt"] = "reproducible-report"
from matplotlib import pyplot  # noqa: E402  the backend is chosen first


def medians_of(values, seed, samples):
    """The medians of resamples of ``values``, drawn by a generator of their own."""
    generator = numpy.random.default_rng(seed)
    drawn = generator.choice(values, size=(samples, len(values)), replace=True)
    return numpy.median(drawn, axis=1)


def figure_of(medians):
    """A histogram as the text of an SVG."""
    figure, axes = pyplot.subplots(figsize=(6, 3))
    axes.hist(medians, bins=30)
    axes.set_xlabel("median waiting time (minutes)")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    arguments = parser.parse_args()
    with open("data/waiting.csv", encoding="utf-8") as stream:
        values = numpy.array([float(row["minutes"]) for row in csv.DictReader(stream)])
    medians = medians_of(values, arguments.seed, arguments.samples)
    low, high = numpy.percentile(medians, [2.5, 97.5])
    metrics = {"median": float(numpy.median(values)), "low": float(low), "high": float(high)}
    numpy.save("medians.npy", medians)
    Path("metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    Path("report.html").write_text(
        f"<h1>Waiting</h1>\n<p>Median {metrics['median']:.1f} minutes, 95 % between {low:.2f} and {high:.2f}.</p>\n"
        f"{figure_of(medians)}",
        encoding="utf-8",
    )
    print(f"median {metrics['median']:.1f}, 95 % between {low:.2f} and {high:.2f}")


if __name__ == "__main__":
    main()
