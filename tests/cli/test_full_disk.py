"""A store's disk that fills up while a run comes in: nothing half-done counts, and with space the same command goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def fill(disk: Path, left: int) -> Path:
    """Fill a disk up to ``left`` bytes; gives the file that takes them."""
    filler, state = disk / "filler", os.statvfs(disk)
    filler.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - left)))
    return filler


def comes_in_with_space_alone(cli: Any, command: tuple[str, ...], run_id: str, disk: Path, left: int) -> None:
    """Assert that a command refuses a full disk and leaves no run there, and brings one in once there is space."""
    filler = fill(disk, left)
    refused = cli(*command)
    assert (refused.status, "store" in refused.err and "is full" in refused.err) == (125, True), refused.err
    assert cli("runs", "--json").json == []
    assert [each.name for each in disk.glob("home/runs/*") if not each.name.startswith(".new-")] == []
    filler.unlink()
    assert cli("store", "check").out == "the store is sound\n"
    done = cli(*command)
    assert done.status == 0, done.err
    assert cli("verify", run_id).status == 0
    assert [each.name for each in disk.glob("home/runs/*")] == [run_id]


@pytest.fixture
def on_small_disk(small_disk: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go to another machine, whose store is on a small disk."""

    def go() -> Path:
        monkeypatch.setenv("MLPROJ_HOME", str(small_disk / "home"))
        assert cli("runs", "--json").json == []  # makes the store
        return small_disk

    return go


# No space at all; space for some of the files' 1.2 MB, for all of them and not for what else there is to write.
@pytest.mark.parametrize(("form", "left"), [("zip", 0), ("folder", 700_000), ("zip", 1_205_000)])
def test_import(parts: Any, cli: Any, on_small_disk: Any, tmp_path: Path, form: str, left: int) -> None:
    run_id = parts(3, 400_000)
    crate = tmp_path / ("run.crate.zip" if form == "zip" else "crate")
    assert cli("export", "-o", crate).status == 0
    comes_in_with_space_alone(cli, ("import", str(crate)), run_id, on_small_disk(), left)


@pytest.mark.parametrize("left", [0, 1_205_000])
def test_pull(parts: Any, cli: Any, on_small_disk: Any, tmp_path: Path, left: int) -> None:
    run_id = parts(3, 400_000)
    assert cli("push", tmp_path / "remote").status == 0
    comes_in_with_space_alone(cli, ("pull", str(tmp_path / "remote")), run_id, on_small_disk(), left)


@pytest.mark.parametrize("kind", ["bucket", "google_bucket", "container", "sftp_server"])
def test_pull_from_a_server(
    parts: Any, cli: Any, on_small_disk: Any, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    server = request.getfixturevalue(kind)
    remote = f"{server}{tmp_path}/remote" if kind == "sftp_server" else server.url
    run_id = parts(3, 400_000)
    assert cli("push", remote).status == 0
    comes_in_with_space_alone(cli, ("pull", remote), run_id, on_small_disk(), 700_000)


def test_a_run_that_is_completed(parts: Any, cli: Any, on_small_disk: Any, tmp_path: Path) -> None:
    run_id = parts(3, 400_000)
    cli("push", tmp_path / "remote")
    cli("export", "--no-artifacts", "-o", tmp_path / "bare.crate.zip")
    disk = on_small_disk()
    cli("import", tmp_path / "bare.crate.zip")
    filler = fill(disk, 700_000)
    refused = cli("pull", tmp_path / "remote")
    assert (refused.status, "store is full" in refused.err) == (125, True), refused.err
    assert cli("verify", run_id, "--json").json[0]["not_brought"] == [f"artifacts/parts/{n}.bin" for n in range(3)]
    filler.unlink()
    assert cli("pull", tmp_path / "remote").status == 0
    assert cli("verify", run_id, "--json").json[0]["not_brought"] == []
