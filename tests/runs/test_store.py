from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mlproj.errors import StoreError
from mlproj.runs.intake import open_intake
from mlproj.runs.metric_history import metric_history
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.query import search
from mlproj.runs.record import RunRecord
from mlproj.runs.store import (
    Store,
    begin,
    close_store,
    finish,
    is_live,
    load,
    new_run_id,
    open_store,
    open_store_for_reading,
    save,
    shown_id,
)
from mlproj.runs.times import now_text
from mlproj.runs.upkeep import check, rebuild, settle_lost, sweep


def whole_run(folder: Path, name: str = "run") -> None:
    """What a runner does to the store, from first to last."""
    store = open_store(folder)
    record = RunRecord(id=new_run_id(store), name=name, started_at=now_text(), host="here", parameters={"alpha": 0.1})
    live = begin(store, record)
    append_lines(live.files.metrics, [{"name": "loss", "value": 1 / step, "step": step} for step in range(1, 6)])
    intake = open_intake(store, live.id, live.files.metrics)
    intake.poll()
    save(live, replace(record, tags={"stage": "half"}))
    totals = intake.close()
    finish(live, replace(record, status="finished", exit_status=0, metrics=totals.metrics, duration_s=0.1))


def test_a_run_is_found_while_it_runs_and_after(store: Store) -> None:
    record = RunRecord(id=new_run_id(store), started_at=now_text())
    live = begin(store, record)
    assert is_live(store, live.id)
    append_lines(live.files.metrics, [{"name": "loss", "value": 0.5}, {"param": "depth", "value": 3}])
    open_intake(store, live.id, live.files.metrics).poll()
    assert load(store, live.id).metrics == {"loss": 0.5}
    assert load(store, live.id).parameters == {"depth": "3"}
    finish(live, replace(record, status="failed", exit_status=3))
    assert not is_live(store, live.id)
    assert load(store, live.id).exit_status == 3
    assert sorted(path.name for path in live.files.folder.iterdir()) == [
        "alive.lock", "artifacts", "metrics.jsonl", "run.json",
    ]  # fmt: skip


def test_saving_a_run_that_runs_keeps_what_it_logged(store: Store) -> None:
    record = RunRecord(id=new_run_id(store), parameters={"alpha": 0.1})
    live = begin(store, record)
    append_lines(live.files.metrics, [{"param": "depth", "value": 3}, {"tag": "team", "value": "blue"}])
    open_intake(store, live.id, live.files.metrics).poll()
    save(live, replace(record, tags={"stage": "half"}))
    assert load(store, live.id).tags == {"team": "blue", "stage": "half"}
    assert search(store, "params.depth = 3 and params.alpha = 0.1").records[0].id == live.id


def test_the_shown_id_is_the_shortest_that_is_unique(store: Store, record_run: Callable[..., RunRecord]) -> None:
    ids = [record_run().id for _ in range(20)]
    for run_id in ids:
        prefix = shown_id(store, run_id)
        assert [each for each in ids if each.startswith(prefix)] == [run_id]
        assert len(prefix) >= 8


def test_file_names_that_are_no_utf8_survive(store: Store) -> None:
    name = os.fsdecode(b"caf\xe9")
    record = RunRecord(id=new_run_id(store), name=name, parameters={"path": name}, tags={"x": name})
    finish(begin(store, record), replace(record, status="finished"))
    assert load(store, record.id).parameters == {"path": name}


def test_eight_processes_at_once_record_eight_runs(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=whole_run, args=(tmp_path / "store", f"run-{index}")) for index in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    found = search(open_store(tmp_path / "store"), "status = finished")
    assert sorted(record.name for record in found.records) == [f"run-{index}" for index in range(8)]
    assert check(open_store(tmp_path / "store")) == []


def killed_at_line(folder: Path, line: int) -> bool:
    """Do a whole run in a process that dies by SIGKILL before the given executed line; False when it got
    through.
    """
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if "mlproj/" not in frame.f_code.co_filename:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            whole_run(folder)
        finally:
            sys.settrace(None)
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_kill_9_before_any_line_leaves_a_store_that_opens_and_finds_the_run(tmp_path: Path) -> None:
    statuses, line = [], 1
    while killed_at_line(tmp_path / str(line), line):
        store = open_store(tmp_path / str(line))
        lost = settle_lost(store, "here")
        records = search(store).records
        assert [record.id for record in records if record.status == "lost"] == [record.id for record in lost]
        assert [problem for problem in check(store) if "before they began" not in problem] == []
        assert settle_lost(store, "here") == []
        statuses.append([record.status for record in records])
        whole_run(store.folder)
        assert len(search(store, "status = finished").records) == 1 + (statuses[-1] == ["finished"])
        close_store(store)
        line += 7
    # First nothing of it, then a run that is lost, at the very end a run that is finished.
    stages = [status for index, status in enumerate(statuses) if index == 0 or status != statuses[index - 1]]
    assert stages == [[], ["lost"], ["finished"]]


def test_what_a_lost_run_logged_is_kept(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from mlproj.runs.store import *
from mlproj.runs.record import RunRecord, SupervisorRecord
store = open_store(Path(sys.argv[1]))
supervisor = SupervisorRecord(pid=os.getpid(), child_pid=4711)
record = RunRecord(id=new_run_id(store), started_at="2026-01-01T00:00:00.000Z", supervisor=supervisor)
live = begin(store, record)
first, second = '{"name": "loss", "value": 3, "step": 1}', '{"name": "loss", "value": 2, "step": 2}'
live.files.metrics.write_text(f'{first}\\n{second}\\n{{"na')
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)])
    assert died.returncode == -signal.SIGKILL
    store = open_store(tmp_path)
    [lost] = settle_lost(store, "here")
    assert (lost.status, lost.metrics, lost.supervisor.child_pid) == ("lost", {"loss": 2.0}, 4711)
    assert lost.ended_at is not None
    assert abs(time.time() - Path(tmp_path / "runs" / lost.id / "metrics.jsonl").stat().st_mtime) < 60
    assert load(store, lost.id).status == "lost"
    assert search(store, "metrics.loss = 2 and status = lost").records[0].id == lost.id


def test_a_lost_run_keeps_what_its_runner_had_taken_in_already(store: Store) -> None:
    live = begin(store, RunRecord(id=new_run_id(store), started_at=now_text()))
    lines = [{"param": "depth", "value": 3}, {"tag": "team", "value": "blue"}, {"name": "loss", "value": 1}]
    append_lines(live.files.metrics, lines)
    open_intake(store, live.id, live.files.metrics).poll()
    live.lock.release()
    [lost] = settle_lost(store, "here")
    assert (lost.parameters, lost.tags, lost.metrics) == ({"depth": 3}, {"team": "blue"}, {"loss": 1.0})
    assert load(store, live.id) == lost
    assert len(metric_history(store, live.id, "loss")) == 1


def test_a_live_run_is_not_taken_for_lost(store: Store) -> None:
    live = begin(store, RunRecord(id=new_run_id(store), host="here", started_at=now_text()))
    assert settle_lost(open_store(store.folder), "here") == []
    live.lock.release()
    assert [record.id for record in settle_lost(store, "here")] == [live.id]


def test_on_a_network_disk_the_runs_of_another_host_are_left_to_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store, RunRecord(id=new_run_id(store), host="there", started_at=now_text())).lock.release()
    monkeypatch.setattr("mlproj.runs.upkeep.on_network_file_system", lambda _: True)
    assert settle_lost(store, "here") == []
    assert len(settle_lost(store, "there")) == 1


def test_what_died_before_it_began_is_swept_away(store: Store) -> None:
    leftover = store.folder / "runs" / f".new-{new_run_id(store)}"
    (leftover / "artifacts").mkdir(parents=True)
    assert sweep(store) == 0, "it may be a run that begins this moment"
    os.utime(leftover, (1, 1))
    assert "died before they began" in check(store)[0]
    assert sweep(store) == 1
    assert check(store) == []


def test_a_corrupt_database_is_rebuilt_with_all_runs(store: Store, record_run: Callable[..., RunRecord]) -> None:
    runs = [record_run({"rmse": float(index)}, name=f"run-{index}", tags={"n": str(index)}) for index in range(3)]
    close_store(store)
    database = store.folder / "mlproj.db"
    database.write_bytes(b"\0" * 100 + database.read_bytes()[100:5000])
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    with pytest.raises(StoreError):
        open_store(store.folder)
    assert rebuild(store.folder) == (3, [])
    mended = open_store(store.folder)
    assert search(mended).records == runs[::-1]
    assert [record.name for record in search(mended, "metrics.rmse >= 1 and tags.n = 2").records] == ["run-2"]
    assert check(mended) == []
    assert len(list(store.folder.glob("mlproj.db.old-*"))) == 1


def test_a_missing_database_is_rebuilt_and_damaged_folders_are_told(
    store: Store, record_run: Callable[..., RunRecord]
) -> None:
    good, bad, empty = record_run(), record_run(), record_run()
    close_store(store)
    (store.folder / "mlproj.db").unlink()
    (store.folder / "runs" / bad.id / "run.json").write_text('{"id": "half')
    (store.folder / "runs" / empty.id / "run.json").unlink()
    count, problems = rebuild(store.folder)
    assert count == 1
    assert [bad.id in problems[0], empty.id in problems[1], len(problems)] == [True, True, 2]
    mended = open_store(store.folder)
    assert [record.id for record in search(mended).records] == [good.id]
    assert len(check(mended)) == 2


def test_check_finds_rows_without_folders_and_artifacts_that_are_gone(
    store: Store, record_run: Callable[..., RunRecord]
) -> None:
    from mlproj.runs.record import FileRecord, OutputRecord

    record_run(outputs=[OutputRecord("model", "model", files=[FileRecord("model.bin", 3, "0" * 64)])])
    gone = record_run()
    (store.folder / "runs" / gone.id).rename(store.folder / "elsewhere")
    problems = check(store)
    assert any("model.bin is gone" in problem for problem in problems)
    assert any(gone.id in problem and "folder is gone" in problem for problem in problems)
    assert search(store).unread[0].startswith(f"run {gone.id} has lost its record")


def fill(disk: Path) -> None:
    """Take every byte that the disk has left."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (65536, 1):
            with suppress(OSError):
                while filler.write(b"x" * size):
                    pass


def test_a_run_whose_disk_fills_up_goes_on_says_so_and_is_closed_as_finished(small_disk: Path) -> None:
    store = open_store(small_disk / "store")
    record = RunRecord(id=new_run_id(store), started_at=now_text())
    live = begin(store, record)
    intake = open_intake(store, live.id, live.files.metrics)
    append_lines(live.files.metrics, [{"name": "loss", "value": 1 / step} for step in range(1, 2000)])
    fill(small_disk)
    intake.poll()
    totals = intake.close()
    assert totals.metrics["loss"] == 1 / 1999
    assert any("is full" in notice for notice in totals.notices)
    try:
        finish(live, replace(record, status="finished", exit_status=0, metrics=totals.metrics))
    except StoreError as error:
        assert "is full" in error.message
    (small_disk / "filler").unlink()
    again = open_store(store.folder)
    assert settle_lost(again, "here") == []
    assert [each.status for each in search(again, "metrics.loss < 0.001").records] == ["finished"]
    assert check(again) == []


def test_a_full_disk_is_told_when_a_run_begins_and_leaves_nothing(small_disk: Path) -> None:
    store = open_store(small_disk / "store")
    fill(small_disk)
    with pytest.raises(StoreError, match="is full") as caught:
        begin(store, RunRecord(id=new_run_id(store)))
    assert "Free some space" in (caught.value.hint or "")
    assert list((store.folder / "runs").iterdir()) == []


def test_a_read_only_disk_can_be_read_and_says_that_it_cannot_be_written(small_disk: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=whole_run, args=(small_disk / "store",))
    process.start()
    process.join()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match="cannot be opened or written to"):
        store = open_store(small_disk / "store")
        begin(store, RunRecord(id=new_run_id(store)))
    reader = open_store_for_reading(small_disk / "store")
    assert [record.status for record in search(reader).records] == ["finished"]
