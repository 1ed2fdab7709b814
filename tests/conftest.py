"""What all tests have in common: a store and a cache of their own, and projects written from text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

# The fixtures of a real engine, a real channel and real servers are had by every test that names them.
from tests.azure_server import azure_server, container  # noqa: F401
from tests.docker_engine import (  # noqa: F401
    engine,
    nonce,
    public_images,
    registry,
    relay,
    small,
    stand_in,
    start_registry,
)
from tests.environments.conda_channel import conda_channel  # noqa: F401
from tests.gs_server import google_bucket, gs_server  # noqa: F401
from tests.mlflow_server import guarded_server, mlflow_server, older_server, python_of, relay_to  # noqa: F401
from tests.s3_server import bucket, faults_before, faulty, s3_server  # noqa: F401
from tests.sftp_server import sftp_server  # noqa: F401


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and a cache that nobody else uses, and no run around this one."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MLPROJ_HOME", str(home))
    for variable in (
        "MLPROJ_CACHE",
        "MLPROJ_RUN_ID",
        "MLPROJ_METRICS",
        "MLPROJ_ARTIFACTS",
        "NO_COLOR",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(variable, raising=False)
    return home


WriteProject = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> WriteProject:
    """Write a project: its manifest's text, and other files by name."""

    def write(manifest: str | bytes, files: Mapping[str, str] | None = None) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        content = manifest.encode() if isinstance(manifest, str) else manifest
        (folder / "mlproj.yaml").write_bytes(content)
        for name, text in (files or {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return write


def mlproj(*arguments: str | Path, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a process of its own; stdin is empty unless given."""
    environment = {**os.environ, **options.pop("env", {})}
    options.setdefault("stdin", subprocess.DEVNULL) if "input" not in options else None
    return subprocess.run(
        [sys.executable, "-m", "mlproj", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        **options,
    )


@pytest.fixture(name="mlproj")
def mlproj_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line."""
    return mlproj


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        reason = f"cannot mount a small disk: {mounted.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
