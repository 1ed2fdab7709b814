"""Estimate pi from random points, and print a table: mlproj reads the metrics off it."""

from __future__ import annotations

import argparse
import math
import random

from tabulate import tabulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()

    generator = random.Random(arguments.seed)
    inside = 0
    rows: list[tuple[int, float]] = []
    for number in range(1, arguments.points + 1):
        inside += math.hypot(generator.random(), generator.random()) <= 1
        if number % (arguments.points // 10) == 0:
            rows.append((number, 4 * inside / number))
    print(tabulate(rows, headers=["points", "estimate"], floatfmt=".4f", tablefmt="simple"))
    print(f"error: {abs(math.pi - rows[-1][1]):.6f}")


if __name__ == "__main__":
    main()
