"""What `mlproj ui` takes over a store of 100 000 runs, beside `mlflow ui` on the same runs.

    python benchmarks/ui.py [--runs 100000] [--keep FOLDER] [--mlflow PYTHON]

Times are the server's: from the request on a connection that is open to the last byte of the answer. ``--mlflow`` is an
interpreter with MLflow; what its page asks its server for the same is asked of it, on a SQLite store of the same runs.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

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


FILTER = "metrics.metric3 < 0.2 and params.param5 > 0.5 and status = finished"
MLFLOW_FILTER = "metrics.metric3 < 0.2 and params.param5 LIKE '0.%' and attributes.status = 'FINISHED'"
MOST_S, PAGE_BYTES = 0.3, 300_000
GIVEN_UP_S = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def process(words: list[str], port: int, **environment: str) -> Iterator[http.client.HTTPConnection]:
    """A server while it answers, and a connection to it."""
    running = subprocess.Popen(
        words,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield connection
    finally:
        os.killpg(running.pid, 15)
        running.wait()


def asked(connection: http.client.HTTPConnection, address: str, body: object = None) -> bytes:
    sent = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", address, sent, {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, (address, answer.status, content[:300])
    return content


def median(action: Callable[[], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def ours(folder: Path, newest: str) -> dict[str, float]:
    """The times of `mlproj ui`, and what its pages weigh."""
    port = free_port()
    words = [sys.executable, "-m", "mlproj", "ui", "--port", str(port)]
    figures = {}
    with process(words, port, MLPROJ_HOME=str(folder)) as connection:
        for what, query in (
            ("first table", {}),
            ("filter", {"q": FILTER}),
            ("filter that few answer", {"q": "metrics.metric3 < 0.003"}),
            ("sort by a metric", {"sort": "-metrics.metric3"}),
            ("filter and sort", {"q": FILTER, "sort": "metrics.metric7"}),
            ("page 1000", {"page": "1000"}),
            ("group by", {"group": "experiment"}),
        ):
            address = f"/?{urlencode(query)}"
            figures[what] = median(lambda: asked(connection, address))  # noqa: B023
        curve = f"/api/curves?{urlencode({'run': newest, 'metric': 'loss', 'points': 1000})}"
        figures["1 M points"] = median(lambda: asked(connection, curve))
        weight(connection, "table", "/")
        weight(connection, "run", f"/runs/{newest}", curve)
    return figures


def weight(connection: http.client.HTTPConnection, what: str, *addresses: str) -> None:
    """Print the bytes of a page and of all that it names, as sent and as gzip would have them."""
    text = asked(connection, addresses[0]).decode()
    static = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
    # Modules name each other.
    named = [name for name in static if name.endswith(".js")]
    for name in named:
        found = re.findall(r'from "\./([^"]+)"', asked(connection, name).decode())
        named += [f"/static/{each}" for each in found if f"/static/{each}" not in named]
    parts = [asked(connection, each) for each in [*addresses, *sorted(static | set(named))]]
    total, packed = sum(map(len, parts)), sum(len(gzip.compress(part)) for part in parts)
    sizes = f"{total / 1000:.0f} kB ({packed / 1000:.0f} kB as gzip)"
    print(f"weight of the {what} page: {sizes}; bar {PAGE_BYTES // 1000} kB")


def mlflow_store(python: str, database: Path, ours_database: Path, newest: str) -> str:
    """The same runs in a SQLite store of MLflow's own making; the id of the run with the points."""
    address = f"sqlite:///{database}"
    if not database.exists():
        subprocess.run([python, "-m", "mlflow", "db", "upgrade", address], check=True, capture_output=True)
        mine = sqlite3.connect(ours_database)
        its = sqlite3.connect(database)
        its.execute("PRAGMA synchronous = OFF")
        its.execute(
            "INSERT OR IGNORE INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
            "VALUES (1, 'bench', '/tmp/none', 'active')"
        )
        ids = dict(mine.execute("SELECT number, id FROM runs"))
        statuses = mine.execute("SELECT number, name, status FROM runs").fetchall()
        its.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
            "start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
            "VALUES (?, ?, 'LOCAL', '', 'train', 'bench', ?, ?, ?, '', 'active', '/tmp/none', 1)",
            (
                (
                    ids[number],
                    name,
                    status.upper(),
                    1_700_000_000_000 + number * 1000,
                    1_700_000_001_000 + number * 1000,
                )
                for number, name, status in statuses
            ),
        )
        its.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', ?, ?)",
            ((name, ids[number]) for number, name, _ in statuses),
        )
        its.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            ((name, value, ids[run]) for run, name, value in mine.execute("SELECT run, name, value FROM params")),
        )
        metrics = "SELECT run, name, value, at_ms, step FROM metrics WHERE points = 1"
        rows = [(name, value, at, step, ids[run]) for run, name, value, at, step in mine.execute(metrics)]
        its.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)", rows
        )
        its.executemany(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)", rows
        )
        points = mine.execute("SELECT name, value, at_ms, step FROM metric_points")
        its.executemany(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)",
            ((*row, newest) for row in points),
        )
        its.execute(
            "INSERT INTO latest_metrics SELECT key, value, timestamp, max(step), 0, run_uuid FROM metrics "
            "WHERE run_uuid = ? AND key = 'loss'",
            (newest,),
        )
        its.commit()
    return address


def theirs(python: str, address: str, newest: str) -> dict[str, float]:
    """What `mlflow ui` takes for what its pages ask of it: the first 100 runs, and a curve thinned to 320 points."""
    words = [python, "-m", "mlflow", "ui", "--backend-store-uri", address, "--workers", "1", "--port"]
    search = "/ajax-api/2.0/mlflow/runs/search"

    def body(filter_text: str = "", order: str = "attributes.start_time DESC") -> dict[str, object]:
        return {"experiment_ids": ["1"], "filter": filter_text, "max_results": 100, "order_by": [order]}

    curve = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={newest}&metric_key=loss&max_results=320"
    questions = {
        "first table": (search, body()),
        "sort by a metric": (search, body("", "metrics.metric3 DESC")),
        "filter": (search, body(MLFLOW_FILTER)),
        "filter that few answer": (search, body("metrics.metric3 < 0.003")),
        "1 M points": (curve, None),
    }
    figures = {}
    for what, (question, sent) in questions.items():
        # One that is given up on goes on in the server: each has a server of its own.
        port = free_port()
        with process([*words, str(port)], port) as connection:
            connection.sock.settimeout(GIVEN_UP_S)
            began = time.perf_counter()
            try:
                asked(connection, question, sent)
            except TimeoutError:
                print(f"mlflow ui: {what}: given up on")
            figures[what] = time.perf_counter() - began
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="make the stores here, or use those that are here")
    parser.add_argument("--mlflow", default="", metavar="PYTHON", help="an interpreter with MLflow")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch) / "store"
        if not (folder / "mlproj.db").exists():
            generate(folder, chosen.runs)
        store = open_store(folder)
        newest = str(store.connection.execute("SELECT max(id) FROM runs").fetchone()[0])
        close_store(store)
        mine = ours(folder, newest)
        its: dict[str, float] = {}
        if chosen.mlflow:
            address = mlflow_store(chosen.mlflow, folder / "mlflow.db", folder / "mlproj.db", newest)
            its = theirs(chosen.mlflow, address, newest)
        for what, seconds in mine.items():
            bar = 1.0 if what == "1 M points" else MOST_S
            beside = f"   mlflow ui {its[what] * 1000:8.1f} ms, {its[what] / seconds:6.1f} ×" if what in its else ""
            print(f"{what:<24} {seconds * 1000:8.1f} ms  bar {bar * 1000:.0f} ms{beside}")


if __name__ == "__main__":
    main()
