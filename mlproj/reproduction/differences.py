"""A difference between two runs as a value: of what, how large, and whether it is one that is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlproj.errors import MlprojError


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in both runs.

    ``what`` names it (``metric rmse``, ``output model/weights.npy``), ``how`` says by how much, in words; ``allowed``:
    it is within the tolerances that the manifest gives.
    """

    what: str
    how: str
    recorded: Any = None
    again: Any = None
    allowed: bool = False

    @property
    def of_nested(self) -> bool:
        """Whether it is about a run that was begun within the one."""
        return self.what.startswith("nested run")

    def __str__(self) -> str:
        return f"{self.what}: {self.how}"


@dataclass(frozen=True)
class Step:
    """One place in which two files differ, in words, and whether a tolerance allows it."""

    told: str
    allowed: bool


class UnreadableError(MlprojError):
    """A file is not of the form that the manifest says it has."""


def by_how_much(recorded: float, again: float) -> str:
    """The distance of two numbers in words: ``57.63 → 57.71 (+0.08, 0.14 %)``."""
    told = f"{recorded:.10g} → {again:.10g}"
    if told.split(" → ")[0] == told.split(" → ")[1]:
        told = f"{recorded!r} → {again!r}"
    if not (math.isfinite(recorded) and math.isfinite(again)):
        return told
    distance = again - recorded
    relative = f", {abs(distance / recorded):.2%}" if recorded and 1e-6 < abs(distance / recorded) < 1e4 else ""
    return f"{told} ({distance:+.3g}{relative})"
