"""Spans of time as manifests write them: ``90``, ``90s``, ``15m``, ``2h``, ``1h30m``, ``1d``."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[dhms])\s*")


def parse_duration(value: Any) -> float:
    """The span in seconds.

    Raises ``ValueError`` with what was expected when ``value`` is no positive span of time.
    """
    expected = "a span of time such as `90s`, `15m`, `2h` or `1h30m`, or a number of seconds"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and re.fullmatch(rf"(?:{_PART.pattern})+", value.strip()):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    else:
        raise ValueError(expected)
    if not 0 < seconds < 1e9:
        raise ValueError(expected)
    return seconds
