"""A report as one HTML file that needs nothing beside it."""

from __future__ import annotations

from mlproj.files import human_size
from mlproj.reporting.report import Report, figure
from mlproj.runs.spark import HEIGHT, WIDTH, spark_path
from mlproj.text import duration


def to_html(report: Report) -> str:
    """The whole report; what came from the run is escaped, and nothing in it can be run or fetched."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlproj.reporting", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        report=report,
        record=report.record,
        figure=figure,
        duration=duration,
        human_size=human_size,
        spark_path=spark_path,
        width=WIDTH,
        height=HEIGHT,
    )
