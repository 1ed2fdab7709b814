"""What a run leaves behind: its declared outputs, kept when it has ended, and the metrics that stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlproj.api.output_metrics import metrics_in
from mlproj.api.resolution import Resolved
from mlproj.locations import cache_folder
from mlproj.runs.artifacts import Collected, OutputRequest, Signature, collect, signatures
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import OutputRecord
from mlproj.runs.store import LiveRun
from mlproj.text import one_line
from mlproj.tracking.metrics_file import append_points


def outputs_before(resolved: Resolved, live: LiveRun) -> dict[str, Signature]:
    """What tells whether a run has written the outputs that are there before it begins."""
    return signatures(_declared(resolved), resolved.loaded.folder, _own_folders(resolved, live))


def keep_outputs(resolved: Resolved, live: LiveRun, before: Mapping[str, Signature]) -> Collected:
    """Copy the outputs into the run's artifacts, and add the metrics among them to its own.

    Raises ``OSError``, ``StoreError``.
    """
    collected = collect(
        _declared(resolved),
        resolved.loaded.folder,
        live.files.artifacts,
        before=before,
        excluded=_own_folders(resolved, live),
    )
    for output in collected.outputs:
        if output.kind in ("metrics", "tensorboard"):
            collected.notes.extend(_read_metrics(output, live.files))
    return collected


def _declared(resolved: Resolved) -> list[OutputRequest]:
    declared = resolved.entry_point.outputs
    return [OutputRequest(name, each.path, each.kind, each.optional) for name, each in declared.items()]


def _own_folders(resolved: Resolved, live: LiveRun) -> list[Path]:
    """What of mlproj's own may lie in the project, and is no output of it."""
    project = resolved.loaded.folder
    # A project that was fetched lies in the cache itself.
    return [each for each in (live.store.folder, cache_folder()) if not project.is_relative_to(each)]


def _read_metrics(output: OutputRecord, files: RunFiles) -> list[str]:
    told: list[str] = []
    count = 0
    for points, notices in metrics_in(output, files.artifacts):
        append_points(files.metrics, points)
        told += notices
        count += len(points)
    if not count and not told:
        return [f"output {output.name}: there is no number in {one_line(output.path)} to be a metric"]
    return told
