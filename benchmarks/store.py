"""What the store costs: searching 10 000 runs, taking in 100 000 metric points, recording one run.

    python benchmarks/store.py [--runs 10000] [--keep FOLDER]

Generates a store of runs with 20 parameters and 20 metrics each and prints the figures against their budgets.
The searches are timed as whole processes, as a person at a shell waits for them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mlproj.files import write_atomically
from mlproj.runs.identifiers import next_id
from mlproj.runs.index import index_record
from mlproj.runs.intake import open_intake
from mlproj.runs.layout import live_files
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import EnvironmentRecord, RunRecord, to_json
from mlproj.runs.store import Store, begin, close_store, finish, new_run_id, open_store
from mlproj.runs.times import now_text, time_text

PACKAGES = {f"package-{index}": f"{index}.0.1" for index in range(40)}
SEARCH = """
import sys
from pathlib import Path
from mlproj.runs.query import search
from mlproj.runs.store import open_store
found = search(open_store(Path(sys.argv[1])), sys.argv[2], sys.argv[3], 20)
assert found.records, found
"""


def generate(folder: Path, count: int) -> None:
    store, newest = open_store(folder), None
    store.connection.execute("BEGIN")
    for index in range(count):
        newest = next_id(newest)
        record = RunRecord(
            id=newest,
            name=f"run-{index}",
            project="bench",
            entry_point="train",
            status="failed" if index % 10 == 0 else "finished",
            exit_status=0,
            parameters={f"param{each}": random.random() for each in range(20)},
            metrics={f"metric{each}": random.random() for each in range(20)},
            started_at=time_text(1_700_000_000 + index),
            duration_s=1.0,
            environment=EnvironmentRecord(packages=PACKAGES),
        )
        files = live_files(folder, record.id)
        files.folder.mkdir(parents=True)
        write_atomically(files.record, json.dumps(to_json(record)))
        index_record(store.connection, record)
    store.connection.execute("COMMIT")
    close_store(store)


def whole_process(*words: str) -> float:
    return median_of(7, lambda: subprocess.run([sys.executable, "-c", *words], check=True))


def median_of(times: int, action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def take_in(store: Store, count: int) -> float:
    live = begin(store, RunRecord(id=new_run_id(store), started_at=now_text()))
    lines = ({"name": f"loss{step % 4}", "value": 1 / (step + 1), "step": step // 4} for step in range(count))
    append_lines(live.files.metrics, lines)
    intake = open_intake(store, live.id, live.files.metrics)
    began = time.perf_counter()
    totals = intake.close()
    took = time.perf_counter() - began
    assert totals.points == count
    finish(live, RunRecord(id=live.id, status="finished", metrics=totals.metrics))
    return took


def record_one(folder: Path) -> None:
    store = open_store(folder)
    record = RunRecord(
        id=new_run_id(store),
        started_at=now_text(),
        parameters={f"param{each}": each for each in range(20)},
        environment=EnvironmentRecord(packages=PACKAGES),
    )
    live = begin(store, record)
    append_lines(live.files.metrics, ({"name": f"metric{each}", "value": each} for each in range(20)))
    totals = open_intake(store, live.id, live.files.metrics).close()
    finish(live, replace(record, status="finished", exit_status=0, metrics=totals.metrics))
    close_store(store)


def show(what: str, seconds: float, budget: float) -> None:
    print(f"{what:<58} {seconds * 1000:>9.1f} ms  {seconds / budget:>6.2f} of its {budget * 1000:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the store here, or use the one that is here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch) / "store"
        if not (folder / "mlproj.db").exists():
            began = time.perf_counter()
            generate(folder, chosen.runs)
            print(f"made {chosen.runs} runs in {time.perf_counter() - began:.1f} s")
        show("python -c pass, for comparison (whole process)", whole_process("pass"), 0.3)
        for what, filter_text, order in [
            ("newest 20 (whole process)", "", ""),
            ("a metric, a parameter and a status (whole process)", FILTER, ""),
            ("a filter that few answer (whole process)", "metrics.metric3 < 0.003", ""),
            ("best 20 by a metric (whole process)", "status = finished", "metrics.metric3"),
            (
                "or, not, like (whole process)",
                "not metrics.metric1 < 0.5 or name like '%99'",
                "-params.param2",
            ),
        ]:
            show(what, whole_process(SEARCH, str(folder), filter_text, order), 0.3)
        show("recording one run among them", median_of(21, lambda: record_one(folder)), 0.020)
        show("taking in 100 000 metric points", take_in(open_store(folder), 100_000), 5.0)


FILTER = "metrics.metric3 < 0.2 and params.param5 > 0.5 and status = finished"

if __name__ == "__main__":
    main()
