from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mlproj.errors import StoreError
from mlproj.runs.database import MIGRATIONS, on_network_file_system, open_database
from mlproj.runs.query import search_ids
from mlproj.runs.store import Store, close_store, open_store, open_store_for_reading
from mlproj.runs.upkeep import rebuild

VERSION_1 = Path(__file__).parent / "stores" / "version-1.sql"


def test_a_new_database_has_the_newest_schema_in_wal_mode(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "mlproj.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_store_of_the_first_version_opens_with_its_runs(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "mlproj.db")
    connection.executescript(VERSION_1.read_text())
    connection.close()
    store = open_store(tmp_path)
    assert search_ids(store, "metrics.rmse < 60 and params.alpha = 0.1") == ["01a1fde10dcc73ef824522071c8015e3"]
    assert store.connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_each_migration_runs_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "mlproj.db"
    open_database(path).close()

    def adds_a_column(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE runs ADD COLUMN colour TEXT")

    def fills_it(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE runs SET colour = 'blue'")

    newer = (*MIGRATIONS, adds_a_column, fills_it)
    for _ in range(2):
        connection = open_database(path, newer)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
        connection.execute("SELECT colour FROM runs")
        connection.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mlproj.db"
    open_database(path).close()

    def breaks(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        connection.execute("SELECT * FROM nowhere")

    with pytest.raises(StoreError):
        open_database(path, (*MIGRATIONS, breaks))
    connection = open_database(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "mlproj.db"
    open_database(path, (*MIGRATIONS, lambda _: None)).close()
    for open_it in (open_store, open_store_for_reading):
        with pytest.raises(StoreError, match="written by a newer mlproj") as caught:
            open_it(tmp_path)
        assert "Upgrade" in (caught.value.hint or "")


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_database_says_how_it_is_mended(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlproj.db").write_bytes(content)
    with pytest.raises(StoreError, match="damaged") as caught:
        open_store(tmp_path)
    assert "mlproj store rebuild" in (caught.value.hint or "")


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        open_store_for_reading(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_cannot_write(store: Store) -> None:
    reader = open_store_for_reading(store.folder)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.connection.execute("DELETE FROM runs")


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("server:/home {point} nfs4 rw 0 0", True),
        ("//server/share {point} cifs rw 0 0", True),
        ("me@host: {point} fuse.sshfs rw 0 0", True),
        ("/dev/sda1 {point} ext4 rw 0 0", False),
        ("server:/other {point}-other nfs4 rw 0 0", False),
    ],
)
def test_network_file_systems_are_told_from_the_mounts(tmp_path: Path, mount: str, expected: bool) -> None:
    mounts = tmp_path / "mounts"
    point = str(tmp_path.resolve()).replace(" ", "\\040")
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\n{mount.format(point=point)}\n")
    assert on_network_file_system(tmp_path / "store", mounts) is expected


def test_on_a_network_file_system_the_journal_is_a_plain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlproj.runs.database.on_network_file_system", lambda _: True)
    store = open_store(tmp_path)
    assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_newer_store_is_not_rebuilt_over(tmp_path: Path) -> None:
    close_store(open_store(tmp_path))
    with sqlite3.connect(tmp_path / "mlproj.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer mlproj"):
        rebuild(tmp_path)
