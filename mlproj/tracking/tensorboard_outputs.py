"""Scalars in event files that the run wrote (an output of ``kind: tensorboard``), by TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlproj.runs.metric_lines import LONGEST_NAME, MetricPoint
from mlproj.text import one_line

_EVENTS = "tfevents"
_MISSING = "its scalars were not read: `pip install 'mlproj[tensorboard]'` where mlproj is installed has a reader"


def read_event_files(folder: Path, files: Iterable[str]) -> tuple[list[MetricPoint], list[str]]:
    """The scalars of the event files among ``files`` of ``folder``, and what is to be said; never an exception.

    A folder of event files is a series of its own in TensorBoard: below the folder that they have in common, its path
    goes before the scalars' names (``train/loss``).
    """
    folders = sorted({Path(each).parent for each in files if _EVENTS in Path(each).name})
    if not folders:
        return [], ["there are no event files in it"]
    try:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        return [], [_MISSING]
    common = _common(folders)
    points: list[MetricPoint] = []
    notices: list[str] = []
    for each in folders:
        prefix = each.relative_to(common).as_posix()
        before = "" if prefix == "." else f"{prefix}/"
        try:
            events = EventAccumulator(str(folder / each), size_guidance={SCALARS: 0, TENSORS: 0})
            events.Reload()
            tags = events.Tags()
            for tag in tags[SCALARS]:
                points += _points(before + tag, ((e.step, e.value, e.wall_time) for e in events.Scalars(tag)))
            for tag in tags[TENSORS]:
                if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
                    values = ((e.step, make_ndarray(e.tensor_proto).item(), e.wall_time) for e in events.Tensors(tag))
                    points += _points(before + tag, values)
        except Exception as error:  # what a damaged file makes of the reader, it does not tell
            notices.append(f"event files in {one_line(each)} cannot be read: {one_line(error)}")
    return points, notices


def _common(folders: list[Path]) -> Path:
    common = folders[0]
    while not all(each.is_relative_to(common) for each in folders):
        common = common.parent
    return common


def _points(name: str, values: Iterable[tuple[int, float, float]]) -> Iterable[MetricPoint]:
    if len(name) > LONGEST_NAME:
        return
    for step, value, seconds in values:
        yield MetricPoint(name, float(value), int(step), int(seconds * 1000))
