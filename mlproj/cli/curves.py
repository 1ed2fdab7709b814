"""Curves of metrics: read from the store, drawn on a terminal as text (plotext) or into a file (matplotlib)."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlproj.cli.console import out, wants_colour
from mlproj.errors import MlprojError, UsageError
from mlproj.text import did_you_mean, one_line

Axis = Literal["step", "time"]
FORMATS = (".png", ".svg", ".pdf")
_PIPED_WIDTH = 100
_HEIGHT = 20
# Their difference is a number still.
_LARGEST = 1e300
_MISSING = "`pip install 'mlproj[plots]'` where mlproj is installed has matplotlib"


@dataclass(frozen=True)
class Curve:
    """Points of one metric of one run; a value that is no finite number is a gap."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]


def curve(store: Any, record: Any, metric: str, axis: Axis, label: str) -> Curve | None:
    """A run's curve of a metric over its steps, or over the seconds since the run began; ``None`` when it has none."""
    from mlproj.runs.metric_history import metric_history
    from mlproj.runs.times import seconds_of

    points = metric_history(store, record.id, metric)
    if not points:
        value = record.metrics.get(metric)
        return None if value is None else Curve(label, [0.0], [value])
    # A run of another tool may not tell when it began.
    began = seconds_of(record.started_at) if record.started_at else (points[0].at_ms or 0) / 1000
    xs = [float(each.step or 0) if axis == "step" else (each.at_ms or 0) / 1000 - began for each in points]
    return Curve(label, xs, [each.value for each in points])


def refuse_unknown(metric: str, records: Sequence[Any]) -> None:
    """Raise ``UsageError`` for a metric that none of the runs has."""
    known = sorted({name for record in records for name in record.metrics})
    if metric not in known:
        near = did_you_mean(metric, known)
        listed = ", ".join(f"`{one_line(name)}`" for name in known) or "none"
        raise UsageError(
            f"there is no metric `{one_line(metric)}` in what is to be drawn.{near}", hint=f"There are {listed}."
        )


def draw(curves: Sequence[Curve], title: str, axis: Axis, *, logarithmic: bool) -> None:
    """Draw curves on stdout: as wide as the terminal, in colours where they are wanted."""
    import plotext

    size = shutil.get_terminal_size((_PIPED_WIDTH, _HEIGHT + 4)) if sys.stdout.isatty() else None
    width, height = (size.columns, min(_HEIGHT, size.lines - 4)) if size else (_PIPED_WIDTH, _HEIGHT)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, max(8, height))
    drawn = [_drawable(each, width * 4, logarithmic=logarithmic) for each in curves]
    if not any(xs for xs, _ in drawn):
        out(f"{one_line(title)}: there is no {'positive ' if logarithmic else ''}number to draw")
        return
    for number, (each, (xs, ys)) in enumerate(zip(curves, drawn)):
        if xs:
            plotext.plot(xs, ys, label=one_line(each.label), marker="braille", color=_COLOURS[number % len(_COLOURS)])
    plotext.title(one_line(title))
    plotext.xlabel("step" if axis == "step" else "seconds")
    if logarithmic:
        plotext.yscale("log")
    text = plotext.build()
    out((text if wants_colour(sys.stdout) else plotext.uncolorize(text)).rstrip())


_COLOURS = ("blue", "orange", "green", "red", "magenta", "cyan", "gray")


def save(curves: Sequence[Curve], title: str, axis: Axis, path: Path, *, logarithmic: bool) -> None:
    """Draw curves into a file. Raises ``UsageError`` for a format that is none, ``MlprojError`` when it cannot be."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--out takes a file that ends in {', '.join(FORMATS)}; found `{one_line(path.name)}`")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MlprojError("matplotlib draws into files, and is not installed", hint=_MISSING) from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for each in curves:
        axes.plot(each.xs, each.ys, label=one_line(each.label), marker="." if len(each.xs) == 1 else "")
    axes.set_title(one_line(title))
    axes.set_xlabel("step" if axis == "step" else "seconds")
    axes.grid(alpha=0.3)
    if logarithmic:
        axes.set_yscale("log")
    axes.legend()
    scratch = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        figure.savefig(scratch)
        scratch.replace(path)
    except OSError as error:
        raise MlprojError(f"{one_line(path)} cannot be written: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)


def _drawable(curve_: Curve, most: int, *, logarithmic: bool) -> tuple[list[float], list[float]]:
    """The points that can be drawn; of very many, the lowest and the highest of each share."""
    points = [
        (x, y)
        for x, y in zip(curve_.xs, curve_.ys)
        if math.isfinite(x) and abs(y) < _LARGEST and (y > 0 or not logarithmic)
    ]
    if len(points) > most:
        share = math.ceil(len(points) / (most // 2))
        kept: list[tuple[float, float]] = []
        for first in range(0, len(points), share):
            group = points[first : first + share]
            kept += sorted({min(group, key=lambda each: each[1]), max(group, key=lambda each: each[1])})
        points = kept
    return [x for x, _ in points], [y for _, y in points]
