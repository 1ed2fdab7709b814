"""Curves the size of a word."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 80, 20


def spark_path(values: Sequence[float]) -> str:
    """The path of an SVG of ``WIDTH`` by ``HEIGHT`` that draws ``values``; a NaN or an infinity breaks the line."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    span = (high / 2 - low / 2) or 1.0
    parts, drawing = [], False
    for index, value in enumerate(values):
        if not math.isfinite(value):
            drawing = False
            continue
        x = 1 + index * (WIDTH - 2) / (len(values) - 1)
        y = HEIGHT - 2 - (value / 2 - low / 2) / span * (HEIGHT - 4)
        parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
        drawing = True
    return "".join(parts)
