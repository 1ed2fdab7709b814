"""By what two runs are compared: tolerances for metrics, and for each output how its files are looked at."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

# What MLflow measures of the machine while a run goes on is no result of it.
_OF_THE_MACHINE = "system/*"


@dataclass(frozen=True)
class Tolerance:
    """How much a number may differ: ``rtol`` relative to the recorded one, ``atol`` in its own unit.

    As NumPy's ``isclose`` has it: ``|again - recorded| <= atol + rtol * |recorded|``.
    """

    rtol: float = 0.0
    atol: float = 0.0

    def allows(self, recorded: float, again: float) -> bool:
        """Whether ``again`` may stand for ``recorded``; NaN is as good as NaN, an infinity as the same one."""
        if same_number(recorded, again):
            return True
        if not (math.isfinite(recorded) and math.isfinite(again)):
            return False
        return abs(again - recorded) <= self.atol + self.rtol * abs(recorded)


@dataclass(frozen=True)
class OutputRule:
    """How an output is compared: ``bytes``, ``json``, ``csv``, ``numpy``, ``image``, ``metrics`` or ``ignore``.

    ``ignored`` are keys, columns, arrays or metrics in it that do not count.
    """

    how: str = "bytes"
    tolerance: Tolerance = Tolerance()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """The rules of one entry point: for outputs by name, for metrics by name or glob (``None``: not compared).

    ``artifacts`` are rules by glob for what the entry point logs itself.
    """

    outputs: Mapping[str, OutputRule] = field(default_factory=dict)
    metrics: Mapping[str, Tolerance | None] = field(default_factory=dict)
    artifacts: Mapping[str, OutputRule] = field(default_factory=dict)

    def for_artifact(self, path: str) -> OutputRule | None:
        """The rule of a file that the entry point logged: of the first glob that fits its path."""
        return next((rule for glob, rule in self.artifacts.items() if fnmatch.fnmatchcase(path, glob)), None)

    def for_metric(self, name: str) -> Tolerance | None:
        """The tolerance of a metric: of its very name, else of the first glob that fits; ``None``: not compared."""
        if name in self.metrics:
            return self.metrics[name]
        for pattern, tolerance in {**self.metrics, _OF_THE_MACHINE: None}.items():
            if fnmatch.fnmatchcase(name, pattern):
                return tolerance
        return Tolerance()


def same_number(one: float, other: float) -> bool:
    """Whether two numbers are the same bit for bit, as far as it can be told of a decimal: every NaN is the same."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other and math.copysign(1, one) == math.copysign(1, other)
