"""What the database holds of a record, so that runs can be searched: never more than ``run.json`` says."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass
from typing import Any

from mlproj.errors import StoreError
from mlproj.runs.record import RunRecord
from mlproj.runs.times import seconds_of

_COLUMNS = (
    "id", "name", "project", "experiment", "entry_point", "status", "exit_status", "user", "host", "parent",
    "started_at", "ended_at", "duration_s", "source_kind", "source_commit", "source_branch", "source_digest",
    "source_dirty", "environment_kind", "environment_key", "max_memory_bytes", "deleted_at", "result_key",
)  # fmt: skip
_INSERT = "INSERT INTO runs ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}".format(  # noqa: S608  the names above
    ", ".join(_COLUMNS),
    ", ".join("?" * len(_COLUMNS)),
    ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[1:]),
)


_LARGEST_INTEGER = (1 << 63) - 1


class UnindexableRecordError(StoreError):
    """A record says what the database cannot hold, and what no record of mlproj's says."""


@dataclass(frozen=True)
class _Rows:
    run: list[Any]
    params: list[tuple[Any, ...]]
    tags: list[tuple[Any, ...]]
    metrics: list[tuple[Any, ...]]


def check_indexable(record: RunRecord) -> None:
    """Raise ``UnindexableRecordError`` for a record that the database cannot hold."""
    _rows(record)


def _rows(record: RunRecord) -> _Rows:
    """What the database is to hold of a record, without the run's number."""
    try:
        at_ms = int(seconds_of(record.ended_at or record.started_at) * 1000) if record.started_at else 0
        rows = _Rows(
            [_storable(value) for value in _row(record)],
            [(plain(name), *param_columns(value)) for name, value in record.parameters.items()],
            [(plain(name), plain(str(value))) for name, value in record.tags.items()],
            [(plain(name), value, at_ms, value, value) for name, value in record.metrics.items()],
        )
        for row in (rows.run, *rows.metrics):
            for value in row:
                _check_value(value)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UnindexableRecordError(f"the record of run {record.id} is damaged: {error}") from None
    return rows


def _check_value(value: Any) -> None:
    if not isinstance(value, (str, int, float, type(None))):
        raise TypeError(f"{type(value).__name__} in place of a text or a number")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise ValueError("a number of more than 64 bits")


def index_record(connection: sqlite3.Connection, record: RunRecord) -> int:
    """Make the database say what ``record`` says, inside the caller's transaction; returns
    the run's number. Raises ``UnindexableRecordError``.
    """
    rows = _rows(record)
    connection.execute(_INSERT, rows.run)
    number = number_of(connection, record.id)
    if record.status != "running":
        # While it runs, the intake adds what is logged, which its record does not have before it ends.
        connection.execute("DELETE FROM params WHERE run = ?", (number,))
        connection.execute("DELETE FROM tags WHERE run = ?", (number,))
    connection.executemany("INSERT OR REPLACE INTO params VALUES (?, ?, ?, ?)", [(number, *row) for row in rows.params])
    connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(number, *row) for row in rows.tags])
    # A metric with points has its row from them already, with what the record does not
    # have: step and extremes.
    connection.executemany(
        "INSERT INTO metrics VALUES (?, ?, ?, 0, ?, ?, ?, 1) "
        "ON CONFLICT (run, name) DO UPDATE SET value = excluded.value",
        [(number, *row) for row in rows.metrics],
    )
    return number


def forget_run(connection: sqlite3.Connection, run_id: str) -> None:
    """Remove all that the database holds of a run, inside the caller's transaction."""
    number = number_of(connection, run_id)
    for table in ("params", "tags", "metrics", "metric_points"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (number,))  # noqa: S608  one of four constants
    connection.execute("DELETE FROM runs WHERE number = ?", (number,))


def forget_metrics(connection: sqlite3.Connection, number: int) -> None:
    """Forget what was taken in of a run's metrics file, to read it anew, in the caller's transaction."""
    connection.execute("DELETE FROM metric_points WHERE run = ?", (number,))
    connection.execute("DELETE FROM metrics WHERE run = ?", (number,))
    connection.execute("UPDATE runs SET metrics_offset = 0 WHERE number = ?", (number,))


def number_of(connection: sqlite3.Connection, run_id: str) -> int:
    """The number that stands for a run inside the database, or -1 when it has no row."""
    row = connection.execute("SELECT number FROM runs WHERE id = ?", (run_id,)).fetchone()
    return -1 if row is None else int(row[0])


def param_columns(value: Any) -> tuple[str, float | None]:
    """A parameter's value as text (a string as it is, anything else as JSON) and, where it
    reads as one, a number.
    """
    text = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return text, number_in(text)


def number_in(text: str) -> float | None:
    """The number that a text is, or ``None``. NaN is none: nothing compares with it."""
    try:
        number = float(text) if len(text) < 400 else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else number


def plain(text: str) -> str:
    """``text`` as SQLite can hold it: lone surrogates, from file names that are no UTF-8, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _row(record: RunRecord) -> tuple[Any, ...]:
    source, environment = record.source, record.environment
    return (
        record.id, record.name, record.project, record.experiment, record.entry_point, record.status,
        record.exit_status, record.user, record.host, record.parent, record.started_at, record.ended_at,
        record.duration_s, source.kind, source.commit, source.branch, source.digest, source.dirty,
        environment.kind, environment.key, record.resources.max_memory_bytes, record.deleted_at, record.result_key,
    )  # fmt: skip


def _storable(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value
