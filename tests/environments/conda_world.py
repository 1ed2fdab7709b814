"""What the tests of conda environments stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import Environment, Policy
from mlproj.manifest.models import Conda, EnvironmentSpec
from tests.environments.conda_channel import index_channel, write_package


@pytest.fixture
def own_conda(conda_channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A condarc of one's own, by which `conda-forge` is the local channel."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    condarc = tmp_path / "condarc"
    condarc.write_text(f"channel_alias: file://{conda_channel}\nchannels: [conda-forge]\n")
    monkeypatch.setenv("CONDARC", str(condarc))
    for variable in ("CONDA_OVERRIDE_CUDA", "CONDA_OVERRIDE_GLIBC", "CONDA_CHANNEL_ALIAS"):
        monkeypatch.delenv(variable, raising=False)
    return condarc


class AskingForConda:
    """A project's conda environment, asked for again and again; what was reported the last time is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def file(self, *dependencies: str, **keys: Any) -> None:
        """Write the project's environment file; ``lines`` are put under its dependencies as they are."""
        lines = ["channels: [conda-forge]", "dependencies:", *(f"  - {each}" for each in dependencies)]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in keys.items()]
        (self.folder / "environment.yml").write_text("\n".join(lines) + "\n")

    def spec(self, *dependencies: str, **keys: Any) -> EnvironmentSpec:
        if not dependencies and "pip" not in keys:
            keys = {"file": "environment.yml", **keys}
        return EnvironmentSpec(conda=Conda(**{"dependencies": list(dependencies), **keys}))

    def prepare(
        self, *dependencies: str, policy: Policy | None = None, name: str | None = None, **keys: Any
    ) -> Environment:
        found = self.prepare_unheld(*dependencies, policy=policy, name=name, **keys)
        assert found.held is not None
        found.held.release()
        return found

    def prepare_unheld(
        self, *dependencies: str, policy: Policy | None = None, name: str | None = None, **keys: Any
    ) -> Environment:
        """The environment as it comes: held by its reader, but for one in a cache that cannot be written."""
        self.said = []
        spec = self.spec(*dependencies, **keys)
        return environments.prepare(spec, name, self.folder, policy or Policy(), self.said.append)

    def lock(
        self,
        *dependencies: str,
        upgrade: bool = False,
        upgrade_packages: Sequence[str] = (),
        name: str | None = None,
        **keys: Any,
    ) -> Any:
        self.said = []
        spec = self.spec(*dependencies, **keys)
        return environments.lock(spec, name, self.folder, upgrade, upgrade_packages, self.said.append)

    def plan(self, *dependencies: str, policy: Policy | None = None, **keys: Any) -> Any:
        return environments.plan(self.spec(*dependencies, **keys), None, self.folder, policy or Policy())


@pytest.fixture
def conda(project: Path) -> AskingForConda:
    return AskingForConda(project)


@pytest.fixture
def own_channel(tmp_path: Path) -> Callable[..., str]:
    """Writes a channel of one's own of packages without content, `NAME VERSION [NEEDS…]` each, and gives its URL."""

    def write(name: str, *packages: str) -> str:
        folder = tmp_path / "channels" / name
        for package in packages:
            named, version, *needs = package.split(" ")
            write_package(folder, named, version, {f"share/{named}": version.encode()}, depends=tuple(needs))
        index_channel(folder)
        return f"file://{folder}"

    return write
