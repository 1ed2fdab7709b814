"""``mlproj plot`` and ``mlproj compare``: curves as text and as files, runs side by side."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.cli.curves import Curve, _drawable
from mlproj.runs.intake import open_intake
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import RunRecord
from mlproj.runs.store import begin, finish, new_run_id, open_store
from mlproj.runs.totals import with_totals

Recorded = Callable[..., str]


@pytest.fixture
def recorded(own_home: Path) -> Recorded:
    """Put a run with curves into the store; gives its id."""

    def record(name: str, curves: dict[str, list[float]], **parameters: Any) -> str:
        store = open_store(own_home)
        begun = RunRecord(id=new_run_id(store), name=name, started_at="2026-11-21T10:00:00.000Z", parameters=parameters)
        live = begin(store, begun)
        began = 1795255200000
        append_lines(
            live.files.metrics,
            [
                {"points": [[metric, value, step, began + step * 1000] for step, value in enumerate(values)]}
                for metric, values in curves.items()
            ],
        )
        record = with_totals(begun, open_intake(store, live.id, live.files.metrics).close())
        finish(live, RunRecord(**{**record.__dict__, "status": "finished", "duration_s": 2.0}))
        return live.id

    return record


def test_curves_on_a_pipe_have_no_colours(mlproj: Any, recorded: Recorded) -> None:
    run = recorded("first", {"loss": [1.0, 0.5, 0.25], "val_loss": [2.0, 1.0, 0.5]})
    done = mlproj("plot", run, "loss", "val_loss")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert f"first {run[:12]}" in lines[0]
    assert "val_loss" in done.stdout and lines[-1].strip() == "step"
    assert max(map(len, lines)) <= 100
    coloured = mlproj("plot", run, "loss", env={"FORCE_COLOR": "1"})
    assert "\x1b" in coloured.stdout


def test_over_time_and_as_json(mlproj: Any, recorded: Recorded) -> None:
    run = recorded("first", {"loss": [1.0, 0.5, math.nan]})
    shown = json.loads(mlproj("plot", run, "loss", "--x", "time", "--json").stdout)
    assert shown == [{"metric": "loss", "time": [0.0, 1.0, 2.0], "value": [1.0, 0.5, "nan"]}]
    assert "seconds" in mlproj("plot", run, "loss", "--x", "time").stdout


@pytest.mark.parametrize("values", [[1.0], [math.nan, math.inf], [0.0, -1.0], [1e308, -1e308], [3.0] * 5])
def test_odd_curves_are_drawn_all_the_same(mlproj: Any, recorded: Recorded, values: list[float]) -> None:
    run = recorded("odd", {"loss": values})
    for options in ([], ["--log"]):
        done = mlproj("plot", run, "loss", *options)
        assert (done.returncode, done.stderr) == (0, ""), options


def test_a_metric_that_is_not_there(mlproj: Any, recorded: Recorded) -> None:
    run = recorded("first", {"loss": [1.0]})
    done = mlproj("plot", run, "los")
    assert done.returncode == 2
    assert "there is no metric `los`" in done.stderr and "Did you mean `loss`?" in done.stderr


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_into_a_file(mlproj: Any, recorded: Recorded, tmp_path: Path, name: str, magic: bytes) -> None:
    run = recorded("first", {"loss": [1.0, 0.5]})
    done = mlproj("plot", run, "loss", "--out", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_file_that_cannot_be(mlproj: Any, recorded: Recorded, tmp_path: Path) -> None:
    run = recorded("first", {"loss": [1.0, 0.5]})
    assert "found `a.gif`" in mlproj("plot", run, "loss", "--out", tmp_path / "a.gif").stderr
    missing = mlproj("plot", run, "loss", "--out", tmp_path / "none" / "a.png")
    assert (missing.returncode, "cannot be written" in missing.stderr) == (125, True)


def test_without_matplotlib_it_says_what_to_install(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from mlproj.cli.app import main

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot", recorded("first", {"loss": [1.0]}), "loss", "--out", str(tmp_path / "a.png")]) == 125
    assert "mlproj[plots]" in capsys.readouterr().err


def test_runs_side_by_side(mlproj: Any, recorded: Recorded) -> None:
    first = recorded("first", {"loss": [1.0, 0.5], "accuracy": [0.9]}, alpha=0.1, depth=3)
    second = recorded("second", {"loss": [1.0, 0.25], "accuracy": [0.8], "odd": [1.0]}, alpha=0.2, depth=3)
    done = mlproj("compare", first, second, "--plot", "loss")
    assert done.returncode == 0, done.stderr
    heading, one, two = done.stdout.splitlines()[-3:]
    assert heading.split() == ["id", "name", "status", "duration", "alpha", "loss", "accuracy", "odd"]
    assert one.split()[1:] == ["first", "finished", "2.0", "s", "0.1", "0.5", "0.9", "*", "-"]
    assert two.split()[1:] == ["second", "finished", "2.0", "s", "0.2", "0.25", "*", "0.8", "1"]
    assert "step" in done.stdout
    assert json.loads(mlproj("compare", first, second, "--json").stdout)["ids"] == [first, second]
    assert mlproj("compare", first).returncode == 2


def test_very_many_points_keep_their_extremes() -> None:
    ys = [0.0] * 100_000
    ys[54_321], ys[77_777] = 9.0, -9.0
    xs, kept = _drawable(Curve("loss", list(range(100_000)), ys), 400, logarithmic=False)
    assert len(kept) <= 400
    assert (max(kept), min(kept), xs) == (9.0, -9.0, sorted(xs))
