"""`mlproj store`: where it is, whether it is sound, and all runs back from a database that is not."""

from __future__ import annotations

import gc
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


def test_path(own_home: Path, cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cli("store", "path").out == f"{own_home}\n"
    monkeypatch.setenv("MLPROJ_HOME", str(tmp_path / "other"))
    assert cli("store", "path").out == f"{tmp_path / 'other'}\n"
    assert not (tmp_path / "other").exists()


def test_a_sound_store(trained: list[str], cli: Any) -> None:
    done = cli("store", "check")
    assert (done.status, done.out, done.err) == (0, "the store is sound\n", "")


def test_check_finds_an_artifact_that_is_gone_and_a_record_that_is_damaged(
    trained: list[str], own_home: Path, cli: Any
) -> None:
    (own_home / "runs" / trained[0] / "artifacts" / "model" / "weights.txt").unlink()
    (own_home / "runs" / trained[2] / "run.json").write_text("{")
    done = cli("store", "check")
    assert done.status == 1
    assert f"run {trained[0]}: the artifact model/weights.txt is gone or of another size" in done.out
    assert trained[2] in done.out


@pytest.mark.parametrize("damage", ["no database", "an empty one", "rubbish", "a page overwritten"])
def test_rebuild_gets_all_runs_back(trained: list[str], own_home: Path, cli: Any, damage: str) -> None:
    cli("delete", trained[2])
    before = cli("runs", "--json").json
    database = own_home / "mlproj.db"
    gc.collect()  # the connections of the commands above, which ran in this process
    for companion in own_home.glob("mlproj.db-*"):
        companion.unlink()
    if damage == "no database":
        database.unlink()
    elif damage == "an empty one":
        database.write_bytes(b"")
    elif damage == "rubbish":
        database.write_bytes(b"rubbish" * 1000)
    else:
        content = bytearray(database.read_bytes())
        content[100:4096] = bytes(3996)
        database.write_bytes(content)
        for command in (("runs",), ("store", "check")):
            done = cli(*command)
            assert done.status != 0
            assert "damaged" in done.out + done.err
            assert "`mlproj store rebuild`" in done.out + done.err
    done = cli("store", "rebuild")
    assert (done.status, done.out) == (0, "the database holds 3 runs\n")
    assert cli("runs", "--json").json == before
    assert [each["id"] for each in cli("runs", "--json", "--trash").json] == [trained[2]]
    assert "3 points" in cli("show", "better").out  # the curve too
    assert cli("store", "check").out == "the store is sound\n"


def test_rebuild_tells_of_a_run_that_cannot_be_read(trained: list[str], own_home: Path, cli: Any) -> None:
    (own_home / "runs" / trained[1] / "run.json").write_text("not JSON")
    done = cli("store", "rebuild")
    assert done.status == 1
    assert "the database holds 2 runs" in done.out
    assert trained[1] in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [("exit_status", 10**30), ("duration_s", 10**30), ("metrics", {"rmse": 10**400}), ("ended_at", "yesterday")]
    + [("name", ["better"]), ("tags", ["stage"])],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_a_record_that_no_database_holds_is_told_as_damage(
    trained: list[str], own_home: Path, cli: Any, name: str, value: Any, indexed: bool
) -> None:
    path = own_home / "runs" / trained[1] / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    if not indexed:
        with closing(sqlite3.connect(own_home / "mlproj.db")) as connection, connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (trained[1],))
    assert cli("runs", "--json").status == 0 or indexed
    checked = cli("store", "check")
    assert (checked.status, f"the record of run {trained[1]} is damaged" in checked.out) == (1, True), checked.err
    rebuilt = cli("store", "rebuild")
    assert (rebuilt.status, rebuilt.out) == (1, "the database holds 2 runs\n")
    assert f"the record of run {trained[1]} is damaged" in rebuilt.err
    assert [each["id"] for each in cli("runs", "--json").json] == [trained[2], trained[0]]
    assert cli("run", "-e", "train", "-q").status == 0
    assert cli("gc").status == 0


def test_a_store_of_a_newer_mlproj_is_refused(trained: list[str], own_home: Path, cli: Any) -> None:
    connection = sqlite3.connect(own_home / "mlproj.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = cli("runs")
    assert done.status == 125
    assert "was written by a newer mlproj" in done.err


def test_a_store_that_is_a_file(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLPROJ_HOME", str(tmp_path / "file"))
    done = cli("runs")
    assert (done.status, done.err.startswith("error: the store ")) == (125, True)


def test_check_finds_metrics_that_are_others_in_the_database_than_in_the_record(
    trained: list[str], cli: Any, own_home: Path
) -> None:
    record = own_home / "runs" / trained[0] / "run.json"
    content = json.loads(record.read_text())
    content["metrics"] = {"rmse": 123.0, "more": "nan"}
    record.write_text(json.dumps(content))
    done = cli("store", "check")
    assert done.status == 1
    told = f"run {trained[0]}: its metrics in the database are not those of its run.json: more, rmse"
    assert done.out.splitlines() == [f"{told}; `mlproj store rebuild` takes them from there"]
    assert cli("store", "rebuild").status == 0
    assert cli("runs", "--filter", "metrics.rmse = 123", "--json").json[0]["id"] == trained[0]
    assert cli("store", "check").status == 0
