"""Scalars of real event files, written by TensorBoard's own writer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from mlproj.tracking.tensorboard_outputs import read_event_files


def write_events(folder: Path, tag: str, values: list[float], *, as_tensor: bool = False) -> None:
    writer = EventFileWriter(str(folder))
    for step, value in enumerate(values):
        if as_tensor:
            metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
            summary = Summary.Value(tag=tag, tensor=make_tensor_proto(value), metadata=metadata)
        else:
            summary = Summary.Value(tag=tag, simple_value=value)
        writer.add_event(Event(wall_time=1790000000 + step, step=step * 10, summary=Summary(value=[summary])))
    writer.close()


def files_in(folder: Path) -> list[str]:
    return [each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()]


def test_scalars_of_both_kinds_with_their_steps_and_times(tmp_path: Path) -> None:
    write_events(tmp_path / "runs", "loss", [0.5, 0.25])
    write_events(tmp_path / "runs", "accuracy", [0.75], as_tensor=True)
    points, notices = read_event_files(tmp_path, files_in(tmp_path))
    assert notices == []
    assert [(each.name, each.value, each.step, each.at_ms) for each in points] == [
        ("loss", 0.5, 0, 1790000000000),
        ("loss", 0.25, 10, 1790000001000),
        ("accuracy", 0.75, 0, 1790000000000),
    ]


def test_folders_are_series_of_their_own(tmp_path: Path) -> None:
    for name in ("train", "validation/first"):
        write_events(tmp_path / "runs" / name, "loss", [0.5])
    points, _ = read_event_files(tmp_path, files_in(tmp_path))
    assert [each.name for each in points] == ["train/loss", "validation/first/loss"]


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(b"no event")
    points, notices = read_event_files(tmp_path, files_in(tmp_path))
    assert points == []
    assert read_event_files(tmp_path, ["other.txt"]) == ([], ["there are no event files in it"])
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    points, notices = read_event_files(tmp_path, files_in(tmp_path))
    assert (points, "mlproj[tensorboard]" in notices[0]) == ([], True)


def test_an_output_of_the_kind(mlproj: Any, project: Any, own_home: Path) -> None:
    script = "import shutil; shutil.copytree('made', 'runs')\n"
    folder = project(
        "environment: {system: {}}\nentry_points:\n  main:\n    command: [python, t.py]\n"
        "    outputs: {events: {path: runs/, kind: tensorboard}}\n",
        {"t.py": script},
    )
    write_events(folder / "made" / "train", "loss", [0.5, 0.125])
    done = mlproj("run", folder, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["metrics"], record["notices"]) == ({"loss": 0.125}, [])


def test_an_output_without_events(mlproj: Any, project: Any) -> None:
    folder = project(
        "environment: {system: {}}\nentry_points:\n  main:\n    command: [python, t.py]\n"
        "    outputs: {events: {path: runs/, kind: tensorboard}}\n",
        {"t.py": "import os; os.mkdir('runs'); open('runs/x', 'w').close()\n"},
    )
    done = mlproj("run", folder, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["notices"] == ["output events: there are no event files in it"]
