"""The system environment: recorded as it is, cheaply."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlproj import environments
from mlproj.environments import Environment, Policy
from mlproj.manifest.models import EnvironmentSpec, System


def prepare(folder: Path) -> Environment:
    return environments.prepare(EnvironmentSpec(system=System()), None, folder, Policy(), print)


@pytest.fixture
def own_python_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


def test_the_callers_python_is_recorded(project: Path, own_python_first: None) -> None:
    found = prepare(project)
    assert (found.kind, found.folder, found.held) == ("system", None, None)
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert "pytest" in found.packages and "pydantic" in found.packages
    assert (found.variables, found.removed_variables, found.path_entries) == ({}, (), ())


def test_the_second_time_no_process_is_started(
    project: Path, own_python_first: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(project)
    monkeypatch.setattr("mlproj.processes.tools.run_tool", lambda *_, **__: pytest.fail("a tool was run"))
    assert prepare(project) == first


def test_a_package_that_comes_is_seen(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = tmp_path / "packages"
    places.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(places))
    before = prepare(project)
    (places / "Ripe_Plum-1.2.dist-info").mkdir()
    after = prepare(project)
    assert "ripe-plum" not in before.packages and after.packages["ripe-plum"] == "1.2"
    assert before.key != after.key


def test_no_python_at_all_is_no_error(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = prepare(project)
    assert (found.python, found.interpreter, found.packages) == (None, None, {})
