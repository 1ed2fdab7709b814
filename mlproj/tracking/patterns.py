"""Metrics read off a command's output by regular expressions that the manifest declares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlproj.errors import UsageError
from mlproj.regexes import LIMIT_S, Limited, TooSlowError, limited
from mlproj.runs.metric_lines import MetricPoint
from mlproj.text import one_line

# Python's `re` backtracks: what a bad pattern can cost is bounded by how much text it is shown and by a limit in time,
# and one that took too long once is not asked again.
LONGEST_LINE = 2000
_LINE_END = re.compile(rb"[\r\n]")
# CSI sequences (colours, cursor), OSC sequences (titles, links), and two-character escapes.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")


@dataclass(frozen=True)
class MetricPattern:
    """A metric, and the expression whose group ``value`` (and, if there, ``step``) finds it in a line."""

    name: str
    expression: re.Pattern[str]


def compile_patterns(patterns: Mapping[str, str]) -> list[MetricPattern]:
    """The manifest's ``metrics:`` mapping, ready to use. Raises UsageError that names the wrong one."""
    compiled = []
    for name, text in patterns.items():
        try:
            expression = re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(f"metrics: {one_line(name)}: not a regular expression: {one_line(error)}") from error
        if "value" not in expression.groupindex:
            hint = r"For example: loss: 'loss[:= ]+(?P<value>\S+)'"
            raise UsageError(f"metrics: {one_line(name)}: the expression has no group `value`", hint=hint)
        compiled.append(MetricPattern(name, expression))
    return compiled


class LineScanner:
    """Finds metrics in bytes as they come. One for each stream: a line must not be mixed from two.

    ``notices`` tells the user of patterns that were too slow to go on with.
    """

    def __init__(self, patterns: Sequence[MetricPattern]) -> None:
        self.notices: list[str] = []
        self._patterns = list(patterns)
        self._rest = b""

    def feed(self, data: bytes) -> list[MetricPoint]:
        """The points in the lines that ``data`` completes; a carriage return ends a line too, as in
        progress bars.
        """
        if not self._patterns:
            return []
        points: list[MetricPoint] = []
        *lines, rest = _LINE_END.split(data)
        with limited() as match:
            for line in lines:
                points += self._in_line(self._rest + line, match)
                self._rest = b""
        # What is beyond the limit is never looked at, so it need not be kept; four bytes make a character.
        self._rest = (self._rest + rest)[: 4 * LONGEST_LINE]
        return points

    def close(self) -> list[MetricPoint]:
        """The points in a last line that had no end."""
        rest, self._rest = self._rest, b""
        with limited() as match:
            return self._in_line(rest, match)

    def _in_line(self, line: bytes, match: Limited) -> list[MetricPoint]:
        if not line:
            return []
        text = _ESCAPES.sub("", line[: 4 * LONGEST_LINE].decode("utf-8", "replace"))[:LONGEST_LINE]
        points = [self._in_text(pattern, text, match) for pattern in tuple(self._patterns)]
        return [point for point in points if point is not None]

    def _in_text(self, pattern: MetricPattern, text: str, match: Limited) -> MetricPoint | None:
        try:
            found = match(pattern.expression.search, text)
        except TooSlowError:
            self._patterns.remove(pattern)
            name = one_line(pattern.name)
            self.notices.append(f"the pattern of metric {name} took {LIMIT_S} s on one line and was not used again")
            return None
        return None if found is None else _point(pattern.name, found)


def _point(name: str, match: re.Match[str]) -> MetricPoint | None:
    value = _number(match["value"])
    if value is None:
        return None
    step = _number(match["step"]) if "step" in match.re.groupindex else None
    return MetricPoint(name, value, int(step) if step is not None and step.is_integer() else None)


def _number(text: str | None) -> float | None:
    # What stands after a number in a sentence or a table is no part of it: `loss=0.31,`, `acc: 97.2%`.
    cleaned = (text or "").strip().rstrip(",;:%)]}|").lstrip("([{=:|")
    try:
        return float(cleaned)
    except ValueError:
        return None
