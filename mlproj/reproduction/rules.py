"""By what two runs are compared: tolerances for metrics, and for each output how its files are looked at."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

# What MLflow measures of the machine while a run goes on is no result of it.
_OF_THE_MACHINE = "system/*"
_LARGEST_IN_FLOATS = 1 << 53


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
        if not (_is_finite(recorded) and _is_finite(again)):
            return False
        if _is_exact(recorded) or _is_exact(again):  # an integer that no float holds is reckoned with as it is
            limit = Fraction(self.atol) + Fraction(self.rtol) * abs(Fraction(recorded))
            return abs(Fraction(again) - Fraction(recorded)) <= limit
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
    """Whether two numbers are the same bit for bit, as far as it can be told of a decimal: every NaN is the same.

    An integer is the same as the decimal of its very value, however large it is.
    """
    if one != one or other != other:
        return one != one and other != other
    return one == other and (one != 0 or math.copysign(1, one) == math.copysign(1, other))


def _is_finite(number: float) -> bool:
    return isinstance(number, int) or math.isfinite(number)


def _is_exact(number: float) -> bool:
    return isinstance(number, int) and abs(number) > _LARGEST_IN_FLOATS
