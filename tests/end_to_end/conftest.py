"""Examples run as a user runs them; the environments that they need are built once for all tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "example-projects"

Mlproj = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of environments for the whole session: workers side by side share it, as users do."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def shared_cache(own_home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLPROJ_CACHE", str(cache))
    monkeypatch.delenv("HELLO_TOKEN", raising=False)
    # Big packages are imported many times here: with their bytecode kept, that takes a third of the time.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return cache


@pytest.fixture(scope="session")
def why_no_index() -> str | None:
    """Why no package can be had, if none can."""
    asked = [uv.find_uv_bin(), "pip", "compile", "--no-cache", "--quiet", "-"]
    found = subprocess.run(asked, input="tabulate==0.9.0\n", capture_output=True, text=True)
    return None if found.returncode == 0 else found.stderr.strip()


@pytest.fixture
def index(why_no_index: str | None) -> None:
    """The test installs packages. Where there is no index it is skipped; CI has one."""
    if why_no_index is not None:
        answer = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        answer(f"the package index does not answer: {why_no_index}")


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of an example project, in no git repository."""

    def copy(name: str) -> Path:
        left_behind = shutil.ignore_patterns("model", "plots", "mlruns", "*.json", "__pycache__")
        return Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=left_behind))

    return copy


@pytest.fixture
def record(mlproj: Mlproj) -> Callable[..., dict[str, Any]]:
    """Run a project, and give its record; the run must have finished."""

    def run(*arguments: str | Path, **options: Any) -> dict[str, Any]:
        ran = mlproj("run", *arguments, "--json", **options)
        assert ran.returncode == 0, ran.stderr
        made: dict[str, Any] = json.loads(ran.stdout)
        assert made["status"] == "finished"
        return made

    return run
