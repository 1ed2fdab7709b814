"""The store's SQLite database: how it is opened, its schema and migrations, and what its errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from mlproj import locks
from mlproj.errors import StoreError
from mlproj.text import one_line

DATABASE_NAME = "mlproj.db"
BUSY_TIMEOUT_MS = 30_000
REBUILD_HINT = "`mlproj store rebuild` makes a new database from the runs' own folders; no run is lost."

Migration = Callable[[sqlite3.Connection], None]


def _first_schema(connection: sqlite3.Connection) -> None:
    for statement in (
        """CREATE TABLE runs (
            number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT, project TEXT, experiment TEXT,
            entry_point TEXT, status TEXT NOT NULL, exit_status INTEGER, user TEXT, host TEXT, parent TEXT,
            started_at TEXT, ended_at TEXT, duration_s REAL, source_kind TEXT, source_commit TEXT,
            source_branch TEXT, source_digest TEXT, source_dirty INTEGER, environment_kind TEXT,
            environment_key TEXT, max_memory_bytes INTEGER, deleted_at TEXT,
            metrics_offset INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX runs_by_status ON runs (status)",
        "CREATE INDEX runs_by_name ON runs (name)",
        "CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL",
        """CREATE TABLE params (run INTEGER NOT NULL, name TEXT NOT NULL, value TEXT, number REAL,
            PRIMARY KEY (run, name)) WITHOUT ROWID""",
        "CREATE INDEX params_by_name ON params (name, number)",
        """CREATE TABLE tags (run INTEGER NOT NULL, name TEXT NOT NULL, value TEXT,
            PRIMARY KEY (run, name)) WITHOUT ROWID""",
        "CREATE INDEX tags_by_name ON tags (name, value)",
        # SQLite keeps NaN as NULL, so the NULL of a metric's value means NaN.
        """CREATE TABLE metrics (run INTEGER NOT NULL, name TEXT NOT NULL, value REAL, step INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, minimum REAL, maximum REAL, points INTEGER NOT NULL,
            PRIMARY KEY (run, name)) WITHOUT ROWID""",
        "CREATE INDEX metrics_by_name ON metrics (name, value)",
        """CREATE TABLE metric_points (run INTEGER NOT NULL, name TEXT NOT NULL, step INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, value REAL)""",
        "CREATE INDEX metric_points_by_run ON metric_points (run, name, step)",
    ):
        connection.execute(statement)


def _index_groups(connection: sqlite3.Connection) -> None:
    # `mlproj ui` counts the runs of each experiment and project on every page.
    connection.execute("CREATE INDEX runs_by_experiment ON runs (experiment, project) WHERE deleted_at IS NULL")
    connection.execute("CREATE INDEX runs_by_project ON runs (project, experiment) WHERE deleted_at IS NULL")


def _index_results(connection: sqlite3.Connection) -> None:
    # `mlproj run --reuse` asks for the runs of a key.
    connection.execute("ALTER TABLE runs ADD COLUMN result_key TEXT")
    connection.execute("CREATE INDEX runs_by_result ON runs (result_key) WHERE result_key IS NOT NULL")


# Entry i leads from schema version i to i + 1. An entry that was ever released is never edited again.
MIGRATIONS: tuple[Migration, ...] = (_first_schema, _index_groups, _index_results)


def open_database(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Open the database for reading and writing, created or brought to the newest schema where needed.

    Raises StoreError when it cannot be opened, is damaged, or was written by a newer mlproj.
    """
    with explained(path.parent):
        # Threads may take turns with a connection (`Intake` does); who opened it makes no difference to SQLite.
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            journal = "delete" if on_network_file_system(path.parent) else "wal"
            current = (_version(connection), connection.execute("PRAGMA journal_mode").fetchone()[0])
            if current != (len(migrations), journal):
                # Changing the journal does not wait for others as a transaction does; the file lock does.
                with locks.exclusive(path.parent / "store.lock"):
                    _set_up(connection, journal, migrations)
            connection.execute("PRAGMA synchronous = NORMAL" if journal == "wal" else "PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the database to read it only, also on a disk that nothing may be written to. Raises StoreError."""
    with explained(path.parent):
        address = path.absolute().as_uri()
        connection = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None)
        try:
            version = _version(connection)
        except sqlite3.OperationalError:
            # A WAL database on a read-only disk has nowhere to put its shared memory:
            # read the file as it stands.
            connection.close()
            connection = sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
            version = _version(connection)
        if version != len(MIGRATIONS):
            connection.close()
            raise _other_version(path.parent, version, len(MIGRATIONS))
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _set_up(connection: sqlite3.Connection, journal: str, migrations: Sequence[Migration]) -> None:
    folder = Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent
    if _version(connection) > len(migrations):
        raise _other_version(folder, _version(connection), len(migrations))
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations[_version(connection) :]:
            migration(connection)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def refuse_newer(path: Path) -> None:
    """Raise StoreError when the database can be read and is a newer mlproj's."""
    if not path.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        found = _version(connection)
        if found > len(MIGRATIONS):
            raise _other_version(path.parent, found, len(MIGRATIONS))


def _other_version(folder: Path, found: int, known: int) -> StoreError:
    if found > known:
        return StoreError(
            f"the store {one_line(folder)} was written by a newer mlproj "
            f"(its schema is {found}, the newest known here is {known})",
            hint="Upgrade mlproj, or choose another store with $MLPROJ_HOME.",
        )
    return StoreError(
        f"the store {one_line(folder)} is of an older mlproj (schema {found}) and cannot be written to",
        hint="Make it writable, or copy it: it is brought up to date when it is first written to.",
    )


@contextmanager
def transaction(folder: Path, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One write transaction: all of the block's changes, or none. Raises StoreError."""
    with explained(folder):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system in the block, as a StoreError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explanation(folder, str(error)) from error
    except OSError as error:
        kinds = {errno.ENOSPC: "disk is full", errno.EDQUOT: "disk is full", errno.EROFS: "readonly"}
        kinds |= {errno.EACCES: "readonly", errno.EPERM: "readonly"}
        raise _explanation(folder, kinds.get(error.errno or 0, str(error))) from error


def _explanation(folder: Path, problem: str) -> StoreError:
    shown = one_line(folder)
    if "is full" in problem:
        return StoreError(
            f"the disk of the store {shown} is full",
            hint="Free some space (`mlproj gc` empties the trash), or set $MLPROJ_HOME to another folder.",
        )
    if "readonly" in problem or "unable to open" in problem:
        return StoreError(
            f"the store {shown} cannot be opened or written to",
            hint="Check who owns it and whether its disk is read-only, or choose another with $MLPROJ_HOME.",
        )
    if "locked" in problem:
        return StoreError(
            f"the database of the store {shown} was in use by another process for too long",
            hint="Try again; if it stays so, look for a process that hangs with the store open.",
        )
    if any(word in problem for word in ("malformed", "not a database", "no such", "already exists", "corrupt")):
        return StoreError(f"the database of the store {shown} is damaged: {one_line(problem)}", hint=REBUILD_HINT)
    return StoreError(f"the store {shown} cannot be used: {one_line(problem)}")


_NETWORK_KINDS = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb2",
            "smb3",
            "smbfs",
            "afs",
            "ceph",
            "lustre",
            "gpfs",
            "beegfs",
            "glusterfs",
        ),
        *("9p", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs"),
    )
)


def on_network_file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether ``folder`` is on a network file system, where WAL's shared memory does not work.

    Known on Linux only. Elsewhere the answer is no, and the store is best kept on a local disk.
    """
    if not sys.platform.startswith("linux"):
        return False
    real = os.path.realpath(folder)
    best, kind = "", ""
    try:
        with mounts.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                words = line.split(" ")
                point = words[1].replace("\\040", " ") if len(words) > 2 else ""
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, words[2]
    except OSError:
        return False
    return kind in _NETWORK_KINDS


def integrity_problems(path: Path) -> list[str]:
    """What SQLite's own check finds wrong with the database file; empty when it is sound."""
    try:
        with closing(open_for_reading(path)) as connection:
            rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except StoreError as error:
        return [error.message]
    except sqlite3.Error as error:
        return [str(error)]
    return [] if rows == ["ok"] else rows
