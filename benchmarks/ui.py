"""What `mlproj ui` takes over a store of 100 000 runs, beside `mlflow ui` on the same runs.

    python benchmarks/ui.py [--runs 100000] [--keep FOLDER] [--mlflow PYTHON]

Times are the server's: from the request on a connection that is open to the last byte of the answer. ``--mlflow`` is an
interpreter with MLflow; what its page asks its server for the same is asked of it, on a SQLite store of the same runs.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path

from mlproj.files import write_atomically
from mlproj.runs.identifiers import next_id
from mlproj.runs.index import index_record, number_of
from mlproj.runs.layout import live_files
from mlproj.runs.record import EnvironmentRecord, RunRecord
from mlproj.runs.store import close_store, open_store
from mlproj.runs.times import time_text

PACKAGES = {f"package-{index}": f"{index}.0.1" for index in range(40)}
POINTS = 1_000_000


def generate(folder: Path, count: int) -> str:
    """A store of runs with 20 parameters and 20 metrics each; the id of the newest, which has a million points."""
    store, newest = open_store(folder), None
    draw = random.Random(7)
    store.connection.execute("BEGIN")
    for index in range(count):
        newest = next_id(newest)
        record = RunRecord(
            id=newest,
            name=f"run-{index}",
            project=f"project-{index % 5}",
            experiment=f"experiment-{index % 12}",
            entry_point="train",
            status="failed" if index % 10 == 0 else "finished",
            exit_status=0,
            parameters={f"param{each}": draw.random() for each in range(20)},
            metrics={f"metric{each}": draw.random() for each in range(20)},
            user="bench",
            started_at=time_text(1_700_000_000 + index),
            duration_s=1.0,
            environment=EnvironmentRecord(packages=PACKAGES),
        )
        files = live_files(folder, record.id)
        files.folder.mkdir(parents=True)
        write_atomically(files.record, json.dumps(asdict(record)))
        index_record(store.connection, record)
    number = number_of(store.connection, newest or "")
    points = ((number, "loss", step, step, 1 / (1 + step / 1e5) + draw.random() / 10) for step in range(POINTS))
    store.connection.executemany("INSERT INTO metric_points VALUES (?, ?, ?, ?, ?)", points)
    store.connection.execute(
        "INSERT INTO metrics SELECT run, name, value, max(step), at_ms, min(value), max(value), count(*) "
        "FROM metric_points WHERE run = ?",
        (number,),
    )
    store.connection.execute("COMMIT")
    close_store(store)
    return newest or ""
