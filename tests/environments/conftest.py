"""What the tests of environments stand on: an index of tiny wheels in a folder, and no network."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import Environment, Policy
from mlproj.manifest.models import EnvironmentSpec, Virtualenv
from tests.environments.conda_world import conda, own_channel, own_conda  # noqa: F401

_BACKEND = Path(__file__).with_name("wheels.py")


@pytest.fixture
def write_wheel() -> Callable[..., Path]:
    write: Callable[..., Path] = runpy.run_path(str(_BACKEND))["write_wheel"]
    return write


@pytest.fixture
def index(tmp_path: Path, write_wheel: Callable[..., Path]) -> Path:
    """A folder with apple 1.0 and 2.0, and pear 1.0, which needs an apple."""
    folder = tmp_path / "index"
    write_wheel(folder, "apple", "1.0")
    write_wheel(folder, "apple", "2.0")
    write_wheel(folder, "pear", "1.0", ["apple>=1"])
    return folder


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, index: Path, uv_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of one's own for all that is kept, and uv told to look for packages in ``index`` alone."""
    monkeypatch.setenv("MLPROJ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLPROJ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    (tmp_path / "configuration" / "uv").mkdir(parents=True)
    (tmp_path / "configuration" / "uv" / "uv.toml").write_text("no-index = true\n")
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    return tmp_path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def source_project() -> Callable[..., Path]:
    """Makes a folder that is a package: built by ``wheels.py``, which alone knows its requirements."""

    def make(folder: Path, name: str, version: str = "1.0", requires: Sequence[str] = ()) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_BACKEND, folder / "backend.py")
        (folder / "about.txt").write_text(f"name={name}\nversion={version}\nrequires={';'.join(requires)}\n")
        (folder / f"{name}.py").write_text(f"def main():\n    print('{name} as it was')\n")
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\ndynamic = ["version", "dependencies"]\n\n'
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        return folder

    return make


class Asking:
    """A project's environment, asked for again and again; what was reported the last time is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def spec(self, **keys: Any) -> EnvironmentSpec:
        return EnvironmentSpec(virtualenv=Virtualenv(**keys))

    def prepare(self, policy: Policy | None = None, **keys: Any) -> Environment:
        self.said = []
        found = environments.prepare(self.spec(**keys), None, self.folder, policy or Policy(), self.said.append)
        assert found.held is not None
        found.held.release()
        return found

    def lock(self, *, upgrade: bool = False, upgrade_packages: Sequence[str] = (), **keys: Any) -> Any:
        self.said = []
        return environments.lock(self.spec(**keys), None, self.folder, upgrade, upgrade_packages, self.said.append)

    def plan(self, policy: Policy | None = None, **keys: Any) -> Any:
        return environments.plan(self.spec(**keys), None, self.folder, policy or Policy())


@pytest.fixture
def asking(project: Path) -> Asking:
    return Asking(project)


@pytest.fixture
def run_in() -> Callable[..., str]:
    """Runs a command in an environment as a run would, and gives what it printed."""

    def run(environment: Environment, *argv: str) -> str:
        import os

        variables = {name: value for name, value in os.environ.items() if name not in environment.removed_variables}
        variables.update(environment.variables)
        variables["PATH"] = os.pathsep.join([*environment.path_entries, variables["PATH"]])
        return subprocess.run(argv, env=variables, check=True, capture_output=True, text=True).stdout.strip()

    return run
