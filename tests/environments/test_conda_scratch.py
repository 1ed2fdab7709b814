"""What a killed process has left is cleared away, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

from mlproj.environments.scratch import scratch_folder, sweep


def deepen(folder: Path) -> None:
    """Make a folder of more levels than Python goes down, and longer than a path may be."""
    before = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(2500):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(before)


def test_a_deep_folder_goes(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        deepen(folder)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_deep_folder_of_a_killed_process_goes(tmp_path: Path) -> None:
    left = tmp_path / "scratch" / "0123"
    left.mkdir(parents=True)
    deepen(left)
    sweep(tmp_path)
    assert not left.exists()
