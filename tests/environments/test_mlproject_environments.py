"""Environments that an MLproject asks for: `python_env` without pyenv, and `conda_env` by what the index has of it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.conda_on_pypi import virtualenv_of
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.manifest.models import Conda

HERE = platform.python_version()
MINOR = ".".join(HERE.split(".")[:2])


def test_the_lines_of_a_python_env_are_a_requirements_files(
    asking: Any, project: Path, source_project: Callable[..., Path]
) -> None:
    (project / "parts").mkdir()
    (project / "parts" / "more.txt").write_text("pear\n")
    source_project(project / "own", "own")
    found = asking.prepare(lines=["-r parts/more.txt", "apple<2", "./own"])
    assert found.packages == {"apple": "1.0", "own": "1.0", "pear": "1.0"}
    assert asking.prepare(lines=["-r parts/more.txt", "apple<2", "./own"]).reused
    (project / "parts" / "more.txt").write_text("")
    assert asking.prepare(lines=["-r parts/more.txt", "apple<2", "./own"]).packages == {"apple": "1.0", "own": "1.0"}


def test_a_file_that_a_line_names_has_to_be_there(asking: Any) -> None:
    with pytest.raises(UsageError, match=r"cannot read the requirements file .*nowhere\.txt"):
        asking.prepare(lines=["-r nowhere.txt"])


@pytest.mark.parametrize("line", ["-r ../more.txt", "-r /etc/hostname", "-e ..", "../pkg", "/tmp", "-c ../c.txt"])
def test_no_line_reads_what_is_outside_of_the_project(asking: Any, project: Path, line: str) -> None:
    (project.parent / "more.txt").write_text("pear\n")
    with pytest.raises(UsageError, match="outside of the project's folder"):
        asking.prepare(lines=[line])
    (project / "inner.txt").write_text(f"{line}\n")
    if line.startswith("-r"):
        with pytest.raises(UsageError, match="outside of the project's folder"):
            asking.prepare(lines=["-r inner.txt"])


def test_a_requirements_file_that_is_a_pipe_is_no_file(asking: Any, project: Path) -> None:
    os.mkfifo(project / "r.txt")
    with pytest.raises(UsageError, match="is no regular file"):
        asking.prepare(lines=["-r r.txt"])


def test_a_python_of_the_same_minor_version_will_do(asking: Any) -> None:
    assert asking.prepare(python=f"{MINOR}.99", nearest_python=True).python == HERE
    with pytest.raises(EnvironmentBuildError, match=rf"`python: {MINOR}\.99`: no such Python was found"):
        asking.prepare(python=f"{MINOR}.99")


def test_no_other_minor_version_will_do(asking: Any) -> None:
    with pytest.raises(EnvironmentBuildError, match=r"no such Python was found[^$]*There are:\n") as caught:
        asking.prepare(python="3.2.1", nearest_python=True)
    assert "install Python 3.2, of which any will do" in str(caught.value)


def conda(*dependencies: str, pip: tuple[str, ...] = ()) -> tuple[Any, str]:
    virtualenv, notices = virtualenv_of(Conda("conda.yaml", ["conda-forge"], list(dependencies), list(pip)))
    return virtualenv, "\n".join(notices)


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy=1.26.4=py311_0", "numpy==1.26.4.*"),
        ("numpy>=1.20,<2", "numpy>=1.20,<2"),
        ("conda-forge::numpy", "numpy"),
        ("numpy 1.26", "numpy==1.26"),
        ("numpy=1.*", "numpy==1.*"),
        ("numpy[version='>=1.0',build=py_0]", "numpy>=1.0"),
        ("pytorch=2.1", "torch==2.1.*"),
        ("cudatoolkit=10.2", None),
        ("libgcc-ng", None),
        ("r-base", None),
    ],
)
def test_what_conda_packages_are_called_on_the_index(written: str, line: str | None) -> None:
    virtualenv, told = conda(written)
    if line is None:
        assert virtualenv.lines == []
        assert written in told.partition("left out")[2]
    else:
        assert virtualenv.lines == [line]
        assert line in told


def test_the_python_of_a_conda_environment() -> None:
    assert [conda(f"python{each}")[0].python for each in ("", "=3.8", "==3.8.13", ">=3.9", "=3.8.*")] == [
        None,
        "3.8",
        "3.8.13",
        ">=3.9",
        "3.8",
    ]


def test_the_pip_part_has_the_last_word() -> None:
    virtualenv, _ = conda("numpy=1.26", "pip", pip=("numpy==2.0", "six"))
    assert virtualenv.lines == ["pip", "numpy==2.0", "six"]


def test_conda_packages_that_no_index_has_are_left_out_and_named(asking: Any, cache: Path) -> None:
    wanted = {"lines": ["pear", "known-to-conda-alone"], "dispensable": ["pear", "known-to-conda-alone"]}
    assert asking.prepare(**wanted).packages == {"apple": "2.0", "pear": "1.0"}
    assert "left out, as no index has them: known-to-conda-alone" in asking.plan(**wanted).notice
    shutil.rmtree(cache)
    with pytest.raises(EnvironmentBuildError, match="known-to-conda-alone"):
        asking.prepare(lines=wanted["lines"])
