"""Metrics as text, a line each: what GitLab shows in a merge request (``artifacts:reports:metrics``)."""

from __future__ import annotations

import math
import re

from mlproj.reporting.report import Report


def to_metrics_text(report: Report) -> str:
    """The metrics in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    lines = {}
    for name, value in report.record.metrics.items():
        clean = re.sub(r"[^A-Za-z0-9_:]", "_", name)
        clean = f"_{clean}" if clean[:1].isdigit() else clean
        lines[clean] = f"{clean} {_number(value)}"
    return "".join(f"{line}\n" for line in lines.values())


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("+Inf" if value > 0 else "-Inf") if math.isinf(value) else repr(float(value))
