"""Metrics as text, a line each: what GitLab shows in a merge request (``artifacts:reports:metrics``)."""

from __future__ import annotations

import math
import re
from collections import defaultdict

from mlproj.reporting.report import Report


def to_metrics_text(report: Report) -> str:
    """The metrics in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).

    Where several names come to the same one in it, each has its own as a label.
    """
    of_clean = defaultdict[str, list[str]](list)
    for name in report.record.metrics:
        of_clean[_clean(name)].append(name)
    lines = []
    for clean, names in of_clean.items():
        for name in names:
            label = f'{{name="{_escaped(name)}"}}' if len(names) > 1 else ""
            lines.append(f"{clean}{label} {_number(report.record.metrics[name])}\n")
    return "".join(lines)


def _clean(name: str) -> str:
    clean = re.sub(r"[^A-Za-z0-9_:]", "_", name)
    return f"_{clean}" if clean[:1].isdigit() else clean


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("+Inf" if value > 0 else "-Inf") if math.isinf(value) else repr(float(value))
