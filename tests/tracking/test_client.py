from __future__ import annotations

import json
import math
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from mlproj.runs.metric_lines import MetricPoint, parse_line
from mlproj.tracking.client import log_artifact, log_metric, log_metrics, log_params, set_tags


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that this process is the entry point of."""
    folder = tmp_path / "run"
    (folder / "artifacts").mkdir(parents=True)
    monkeypatch.setenv("MLPROJ_METRICS", str(folder / "metrics.jsonl"))
    monkeypatch.setenv("MLPROJ_ARTIFACTS", str(folder / "artifacts"))
    return folder


def lines(run: Path) -> list[bytes]:
    return (run / "metrics.jsonl").read_bytes().splitlines()


def test_what_is_logged_is_what_the_intake_reads(run: Path) -> None:
    log_metric("loss", 0.5, step=3)
    log_metrics({"acc": 1, "nanny": math.nan})
    log_params({"depth": 3, "path": Path("a"), "names": ["a", ("b",)]})
    set_tags({"team": "blue", "n": 3})
    first, second, third, fourth = (parse_line(line) for line in lines(run))
    assert [(point.name, point.value, point.step) for point in first.points] == [("loss", 0.5, 3)]
    assert first.points[0].at_ms is not None
    assert [point.name for point in second.points] == ["acc", "nanny"]
    assert math.isnan(second.points[1].value)
    assert third.params == {"depth": 3, "path": "a", "names": ["a", ["b"]]}
    assert fourth.tags == {"team": "blue", "n": "3"}


def test_numbers_of_other_libraries_are_numbers(run: Path) -> None:
    class Tensor:
        def __float__(self) -> float:
            return 2.5

    log_metric("loss", Tensor())
    assert parse_line(lines(run)[0]).points[0].value == 2.5


def test_mistakes_show_outside_of_a_run_too() -> None:
    with pytest.raises(TypeError, match="a name is text"):
        log_metric(3, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="could not convert"):
        log_metric("loss", "high")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"no file or folder 'gone.txt'"):
        log_artifact("gone.txt")


def test_outside_of_a_run_logging_does_and_prints_nothing(tmp_path: Path) -> None:
    script = (
        "import os; os.environ.pop('MLPROJ_METRICS', None); os.environ.pop('MLPROJ_ARTIFACTS', None)\n"
        "from mlproj.tracking.client import *; log_metric('loss', 1); log_params({'a': 1})\n"
        "set_tags({'a': 1})\n"
        "log_artifact(__file__)"
    )
    (tmp_path / "train.py").write_text(script)
    ended = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]


def log_many(index: int) -> None:
    for step in range(200):
        log_metrics({f"worker{index}": step, "long" * 50: 1.0}, step)


def test_processes_that_log_at_once_do_not_mix_their_lines(run: Path) -> None:
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=log_many, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # One that looked while another wrote has taken its line for one that was cut short, and begun a new one.
    points = [parse_line(line).points[0] for line in lines(run) if line]
    assert sorted((point.name, point.step or 0) for point in points) == [
        (f"worker{index}", step) for index in range(4) for step in range(200)
    ]


def test_artifacts_are_copies_and_the_last_one_counts(run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    for content in ("first", "second"):
        model.write_text(content)
        log_artifact(model)
    model.write_text("third")
    assert (run / "artifacts" / "model.bin").read_text() == "second"
    log_artifact(model, as_="checkpoints/3/model.bin")
    folder = tmp_path / "plots"
    folder.mkdir()
    (folder / "a.png").touch()
    log_artifact(folder)
    kept = sorted(str(path.relative_to(run / "artifacts")) for path in (run / "artifacts").rglob("*") if path.is_file())
    assert kept == ["checkpoints/3/model.bin", "model.bin", "plots/a.png"]


@pytest.mark.parametrize("as_", ["../up", "/etc/passwd", "a/../../b", ""])
def test_an_artifact_stays_in_its_folder(run: Path, tmp_path: Path, as_: str) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ValueError, match="below the artifacts folder"):
        log_artifact(tmp_path / "model.bin", as_)


def test_an_entry_point_needs_no_mlproj(run: Path) -> None:
    script = """
import json, os
with open(os.environ["MLPROJ_METRICS"], "a") as metrics:
    print(json.dumps({"name": "loss", "value": 0.3, "step": 7}), file=metrics)
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
    assert parse_line(lines(run)[0]).points == [MetricPoint("loss", 0.3, 7)]
    assert json.loads(lines(run)[0])["value"] == 0.3
