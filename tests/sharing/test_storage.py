"""What is said when something goes wrong between a remote and this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlproj.errors import StoreError
from mlproj.sharing.opening import RemoteError, open_storage
from mlproj.sharing.remotes import Remote
from mlproj.sharing.storage import fetch_objects, send_objects

DIGEST = "ab" * 32


def test_the_disk_that_is_full_is_named(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5_000_000))
    remote = open_storage(Remote("lab", str(tmp_path / "remote")))
    send_objects(remote, {DIGEST: tmp_path / "file"})
    with pytest.raises(StoreError, match="the disk of this machine's store is full"):
        fetch_objects(remote, {DIGEST: small_disk / "fetched"})
    (small_disk / "fetched").unlink()
    full = open_storage(Remote("lab", str(small_disk / "remote")))
    with pytest.raises(RemoteError, match="the remote lab: .*No space left"):
        send_objects(full, {DIGEST: tmp_path / "file"})
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
