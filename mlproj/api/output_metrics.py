"""Metrics in what a command wrote: read off its output as it comes, and from files that its entry point declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlproj.manifest.models import EntryPoint
from mlproj.runs.metric_lines import MetricPoint
from mlproj.runs.record import OutputRecord
from mlproj.text import one_line
from mlproj.tracking.metrics_file import append_points


def metrics_in(output: OutputRecord, artifacts: Path) -> Iterator[tuple[list[MetricPoint], list[str]]]:
    """The metrics in an output's files, and what is to be said of each."""
    if output.kind == "tensorboard":
        from mlproj.tracking.tensorboard_outputs import read_event_files

        points, notices = read_event_files(artifacts, [each.path for each in output.files])
        yield points, [f"output {one_line(output.name)}: {notice}" for notice in notices]
        return
    from mlproj.tracking.metrics_outputs import read_metrics_file

    for each in output.files:
        yield read_metrics_file(artifacts / each.path)


class OutputReading:
    """Metrics read off the output by the manifest's patterns, written where all metrics go."""

    def __init__(self, entry_point: EntryPoint, metrics: Path) -> None:
        self.metrics = metrics
        self.scanners: dict[str, Any] = {}
        self.trouble: dict[str, None] = {}
        self.observe = None
        if entry_point.metrics:
            from mlproj.tracking.patterns import LineScanner, compile_patterns

            patterns = compile_patterns(entry_point.metrics)
            self.scanners = {name: LineScanner(patterns) for name in ("stdout", "stderr")}
            self.observe = self._observe

    def _observe(self, stream: str, chunk: bytes) -> None:
        self._append(self.scanners[stream].feed(chunk))

    def _append(self, points: list[MetricPoint]) -> None:
        try:
            append_points(self.metrics, points)
        except OSError as error:  # a full disk stops no training
            self.trouble[f"metrics of the output could not be kept: {error.strerror}"] = None

    def close(self) -> list[str]:
        """Take in what is left of the last lines, and say what went wrong."""
        for scanner in self.scanners.values():
            self._append(scanner.close())
            self.trouble |= dict.fromkeys(scanner.notices)
        return list(self.trouble)
