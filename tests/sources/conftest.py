"""What the tests of sources share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.git_servers import Fetcher


@pytest.fixture
def git_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetcher]:
    """Fetch git sources, into a cache of the test's own, with no configuration but git's defaults."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    (tmp_path / "gitconfig").touch()
    fetcher = Fetcher(tmp_path / "cache")
    yield fetcher
    fetcher.release()
