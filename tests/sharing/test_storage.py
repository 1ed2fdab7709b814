"""What is said when something goes wrong between a remote and this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mlproj.errors import StoreError
from mlproj.sharing import storage
from mlproj.sharing.opening import RemoteError, open_storage
from mlproj.sharing.remotes import Remote
from mlproj.sharing.storage import fetch_objects, send_objects

DIGEST = "ab" * 32


def full(origin: Path, target: Path) -> None:
    """Stand in for `copy_file` onto a full disk, which a test cannot have without a mount of its own."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))


def test_the_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = open_storage(Remote("lab", str(tmp_path / "remote")))
    (tmp_path / "file").write_text("x")
    send_objects(remote, {DIGEST: tmp_path / "file"})
    monkeypatch.setattr(storage, "copy_file", full)
    with pytest.raises(StoreError, match="the disk of this machine's store is full"):
        fetch_objects(remote, {DIGEST: tmp_path / "fetched"})
    with pytest.raises(RemoteError, match="the remote lab: .*No space left"):
        send_objects(remote, {"cd" * 32: tmp_path / "file"})
