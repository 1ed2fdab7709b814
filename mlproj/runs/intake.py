"""Taking a run's ``metrics.jsonl`` into the database while it grows: whole lines, in batches, never fatal."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproj.errors import StoreError
from mlproj.runs.database import explained, transaction
from mlproj.runs.index import number_of, param_columns, plain
from mlproj.runs.metric_lines import LARGEST_STEP, Mask, MetricPoint, parse_line
from mlproj.runs.record import DatasetRecord, ModelRecord
from mlproj.runs.store import Store
from mlproj.runs.totals import Summary, Totals
from mlproj.text import one_line, plural

LONGEST_LINE = 1 << 20
BYTES_PER_POLL = 4 << 20
MOST_METRICS = 10_000
SHOWN_BAD_LINES = 3
POLL_PATIENCE_MS = 500
MOST_UNWRITTEN = 16


@dataclass
class _Batch:
    """What a read of the file brings; the database gets one after the other."""

    offset: int
    line_number: int
    skipping: bool
    new_metrics: int = 0
    points: list[tuple[int, str, int, int, float]] = field(default_factory=list)
    summaries: dict[str, Summary] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    datasets: dict[str, DatasetRecord] = field(default_factory=dict)
    models: dict[str, ModelRecord] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)


class Intake:
    """The open end of one run's metrics file. Made by ``open_intake``; threads may share it."""

    def __init__(
        self,
        store: Store,
        number: int,
        path: Path,
        offset: int,
        summaries: dict[str, Summary],
        mask: Mask | None,
    ) -> None:
        self._store, self._number, self._path, self._mask = store, number, path, mask
        self._lock = threading.Lock()
        self._offset, self._line_number, self._skipping = offset, 0, False
        self._summaries = summaries
        self._params: dict[str, Any] = {}
        self._tags: dict[str, str | None] = {}
        self._datasets: dict[str, DatasetRecord] = {}
        self._models: dict[str, ModelRecord] = {}
        self._bad: list[str] = []
        self._bad_count = 0
        self._last_bad = ""
        self._points = sum(each.points for each in summaries.values())
        self._notices: dict[str, None] = {}
        self._identity: tuple[int, int] | None = None
        self._seen_size = -1
        self._unwritten: list[_Batch] = []

    def poll(self) -> None:
        """Take in what whole lines there are, at most ``BYTES_PER_POLL``. Costs a ``stat`` when there is
        nothing new.

        A store that is full or locked is told among the notices, and what could not be stored is tried
        again by the next poll: the file keeps it.
        """
        with self._lock:
            self._take_in()
            self._write_out(POLL_PATIENCE_MS)

    def so_far(self) -> Totals:
        """What was logged up to now, all that is in the file included; the database may have less."""
        with self._lock:
            while self._take_in():
                pass
            return self._totals()

    def summary(self, name: str) -> Summary | None:
        """What is known of one metric by now."""
        with self._lock:
            while self._take_in():
                pass
            return self._summaries.get(name)

    def refused(self) -> tuple[int, str]:
        """Of all lines in the file, how many log nothing, and why the last one of them does not."""
        with self._lock:
            while self._take_in():
                pass
            return self._bad_count, self._last_bad

    def store_all(self) -> None:
        """Have the database hold all that is in the file, as far as it can be written to."""
        with self._lock:
            while self._take_in():
                self._write_out(POLL_PATIENCE_MS)
            self._write_out(POLL_PATIENCE_MS)

    def _take_in(self) -> bool:
        """Read on in the file; gives whether there was anything."""
        try:
            status = self._path.lstat()
        except OSError:
            return False
        if (status.st_dev, status.st_ino, status.st_size) == (*(self._identity or (0, 0)), self._seen_size):
            return False
        if len(self._unwritten) >= MOST_UNWRITTEN and not self._write_out(POLL_PATIENCE_MS):
            return False
        batch = self._read(status, final=False)
        if batch is not None:
            self._accept(batch)
        if self._offset == status.st_size or batch is None:
            self._seen_size = status.st_size
        return batch is not None

    def _write_out(self, patience_ms: int) -> bool:
        """Write what was taken in into the database; gives whether that could be done."""
        if not self._unwritten:
            return True
        try:
            self._write(patience_ms)
        except StoreError as error:
            self._notices[f"metrics are not in the database for now: {error.message}"] = None
            return False
        self._unwritten = []
        return True

    def close(self) -> Totals:
        """Take in all that is left, also a last line without its end, and say what was logged in all.

        Never raises: what the database cannot take is in the totals all the same.
        """
        with self._lock:
            return self._close()

    def _close(self) -> Totals:
        failed, end = False, None
        while end is None or self._offset < end:
            try:
                status = self._path.lstat()
            except OSError:
                break
            # Should a process be left that goes on writing, it does not keep the run from its end.
            end = status.st_size if end is None else end
            batch = self._read(status, final=True)
            if batch is not None:
                self._accept(batch)
            try:
                if not failed:
                    self._write(10_000)
            except StoreError as error:
                failed = True
                self._notices[
                    f"metrics are missing in the database: {error.message}; `mlproj store rebuild` adds them"
                ] = None
            self._unwritten = []
            if batch is None:
                break
        return self._totals()

    def _read(self, status: os.stat_result, *, final: bool) -> _Batch | None:
        if not stat.S_ISREG(status.st_mode):
            self._notices["the metrics file is no regular file any more and is not read"] = None
            return None
        identity = (status.st_dev, status.st_ino)
        if status.st_size < self._offset or self._identity not in (None, identity):
            self._notices["the metrics file was written anew while the run ran; it is meant to be appended to"] = None
            self._offset, self._line_number, self._skipping = 0, 0, False
        self._identity = identity
        if status.st_size <= self._offset:
            return None
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read(BYTES_PER_POLL)
        except OSError as error:
            self._notices[f"the metrics file cannot be read: {one_line(error.strerror)}"] = None
            return None
        return self._parsed(data, ends_file=final and len(data) < BYTES_PER_POLL)

    def _parsed(self, data: bytes, *, ends_file: bool) -> _Batch | None:
        batch = _Batch(self._offset, self._line_number, self._skipping)
        whole = len(data) if ends_file else data.rfind(b"\n") + 1
        if whole == 0 and len(data) > LONGEST_LINE:
            # The line is over the limit already: drop what is there, and the rest of it as it comes.
            if not batch.skipping:
                batch.line_number += 1
                self._complain(batch, f"a line of more than {LONGEST_LINE} bytes")
            batch.skipping, batch.offset = True, batch.offset + len(data)
            return batch
        if whole == 0:
            return None
        now_ms = int(time.time() * 1000)
        for line in data[:whole].split(b"\n")[: None if not data[:whole].endswith(b"\n") else -1]:
            if batch.skipping:
                batch.skipping = False
                continue
            batch.line_number += 1
            if len(line) > LONGEST_LINE:
                self._complain(batch, f"a line of more than {LONGEST_LINE} bytes")
            elif line.strip():
                self._take(batch, line, now_ms)
        batch.offset += whole
        return batch

    def _take(self, batch: _Batch, line: bytes, now_ms: int) -> None:
        try:
            logged = parse_line(line, self._mask)
            held = sum(map(len, (self._params, self._tags, self._datasets, self._models)))
            held += sum(map(len, (batch.params, batch.tags, batch.datasets, batch.models)))
            if not logged.points and held > MOST_METRICS:
                raise ValueError(f"more than {MOST_METRICS} parameters, tags, datasets and models")
            for point in logged.points:
                self._add(batch, point, now_ms)
        except ValueError as error:
            self._complain(batch, str(error))
            return
        for name, value in logged.params.items():
            batch.params.setdefault(name, value)
        batch.tags.update(logged.tags)
        batch.datasets.update(logged.datasets)
        batch.models.update(logged.models)

    def _add(self, batch: _Batch, point: MetricPoint, now_ms: int) -> None:
        before = batch.summaries.get(point.name) or self._summaries.get(point.name)
        at_ms = now_ms if point.at_ms is None else point.at_ms
        value = point.value
        low, high = (math.inf, -math.inf) if math.isnan(value) else (value, value)
        if before is None:
            if len(self._summaries) + batch.new_metrics >= MOST_METRICS:
                raise ValueError(f"more than {MOST_METRICS} different metrics")
            batch.new_metrics += 1
            step = 0 if point.step is None else point.step
            summary = Summary(value, step, at_ms, low, high, 1)
        else:
            step = min(before.step + 1, LARGEST_STEP) if point.step is None else point.step
            last = before if step < before.step else Summary(value, step, at_ms, 0, 0, 0)
            lowest, highest = min(before.minimum, low), max(before.maximum, high)
            summary = Summary(last.value, last.step, last.at_ms, lowest, highest, before.points + 1)
        batch.summaries[point.name] = summary
        batch.points.append((self._number, plain(point.name), step, at_ms, value))

    def _complain(self, batch: _Batch, reason: str) -> None:
        batch.bad.append(f"line {batch.line_number}: {reason}")

    def _write(self, patience_ms: int) -> None:
        connection = self._store.connection
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
        try:
            with transaction(self._store.folder, connection):
                for batch in self._unwritten:
                    _write_points(connection, self._number, batch)
        finally:
            connection.execute("PRAGMA busy_timeout = 30000")

    def _accept(self, batch: _Batch) -> None:
        self._unwritten.append(batch)
        self._offset, self._line_number, self._skipping = batch.offset, batch.line_number, batch.skipping
        self._summaries.update(batch.summaries)
        self._points += len(batch.points)
        self._params = {**batch.params, **self._params}
        self._tags.update(batch.tags)
        self._datasets.update(batch.datasets)
        self._models.update(batch.models)
        self._bad_count += len(batch.bad)
        self._last_bad = batch.bad[-1] if batch.bad else self._last_bad
        self._bad.extend(batch.bad[: SHOWN_BAD_LINES - len(self._bad)])

    def _totals(self) -> Totals:
        notices = list(self._notices)
        if self._bad_count:
            lines = plural(self._bad_count, "line")
            more = "; …" if self._bad_count > len(self._bad) else ""
            notices.append(f"{lines} of the metrics file could not be read: {'; '.join(self._bad)}{more}")
        return Totals(
            summaries=dict(self._summaries),
            params=self._params,
            tags={name: value for name, value in self._tags.items() if value is not None},
            removed_tags=[name for name, value in self._tags.items() if value is None],
            datasets=list(self._datasets.values()),
            models=list(self._models.values()),
            notices=notices,
            points=self._points,
        )


def open_intake(store: Store, run_id: str, path: Path, mask: Mask | None = None) -> Intake:
    """Begin, or go on after a crash, to take in the metrics file ``path`` of a run that is in the store.

    ``mask`` takes secrets out of the texts in it.
    """
    with explained(store.folder):
        number = number_of(store.connection, run_id)
        row = store.connection.execute("SELECT metrics_offset FROM runs WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise StoreError(f"run {one_line(run_id)} is not in the store")
    return Intake(store, number, path, row[0], summaries_of(store, run_id), mask)


def summaries_of(store: Store, run_id: str) -> dict[str, Summary]:
    """What the database knows of each metric of a run. Raises StoreError."""
    with explained(store.folder):
        rows = store.connection.execute(
            "SELECT name, value, step, at_ms, minimum, maximum, points FROM metrics WHERE run = ?",
            (number_of(store.connection, run_id),),
        )
        return {
            name: Summary(
                math.nan if value is None else value,
                step,
                at_ms,
                math.inf if low is None else low,
                -math.inf if high is None else high,
                points,
            )
            for name, value, step, at_ms, low, high, points in rows
        }


def _write_points(connection: sqlite3.Connection, number: int, batch: _Batch) -> None:
    connection.executemany("INSERT INTO metric_points VALUES (?, ?, ?, ?, ?)", batch.points)
    connection.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(number, batch))
    params = [(number, plain(name), *param_columns(value)) for name, value in batch.params.items()]
    connection.executemany("INSERT OR IGNORE INTO params VALUES (?, ?, ?, ?)", params)
    for name, tag in batch.tags.items():
        if tag is None:
            connection.execute("DELETE FROM tags WHERE run = ? AND name = ?", (number, plain(name)))
        else:
            connection.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", (number, plain(name), plain(tag)))
    connection.execute("UPDATE runs SET metrics_offset = ? WHERE number = ?", (batch.offset, number))


def _rows(number: int, batch: _Batch) -> Iterable[tuple[object, ...]]:
    for name, each in batch.summaries.items():
        # A metric that was never anything but NaN has no extremes.
        low, high = (None, None) if each.minimum > each.maximum else (each.minimum, each.maximum)
        yield (number, plain(name), each.value, each.step, each.at_ms, low, high, each.points)
