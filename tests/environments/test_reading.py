"""What is read off requirements files, versions and TOML, without any tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.interpreters import Interpreter, lowest_version, satisfies
from mlproj.environments.requirements import package_name, read_declared
from mlproj.errors import UsageError
from mlproj.manifest.models import Virtualenv
from mlproj.toml import dump_toml, parse_toml


def test_a_requirements_file_as_pip_reads_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAVOUR", "sweet")
    (project / "base.txt").write_text("pear\n")
    (project / "pins.txt").write_text("apple==1.0  # the old one\n")
    (project / "requirements.txt").write_text(
        "# fruit\n-r base.txt\n-rbase.txt\n--constraint=pins.txt\n"
        "apple [red] >= 1 \\\n  ; python_version > '3'\n-e ./libs/${FLAVOUR}\n"
        f"plum==1.0 --hash=sha256:{'a' * 64} --hash sha256:{'b' * 64}\n"
        "--find-links ./wheels\n-i https://bob:pw@host/simple\n--pre\n"
    )
    found = read_declared(Virtualenv(requirements="requirements.txt", dependencies=["fig"]), project)
    assert found.requirements[:4] == (
        "fig",
        "pear",
        "apple [red] >= 1 ; python_version > '3'",
        "-e ./libs/sweet",
    )
    assert found.constraints == ("apple==1.0",)
    assert found.options == ("--find-links ./wheels", "--index-url https://host/simple", "--pre")
    assert found.hashes == {"plum": frozenset([f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"])}
    assert [path.name for path in found.files] == ["requirements.txt", "base.txt", "base.txt", "pins.txt"]
    assert found.find_links == ("./wheels",) and "pw" not in repr(found)


def test_a_requirements_file_that_cannot_be_used(project: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the requirements file"):
        read_declared(Virtualenv(requirements="nothing.txt"), project)
    (project / "loop.txt").write_text("-r loop.txt\n")
    with pytest.raises(UsageError, match="includes itself"):
        read_declared(Virtualenv(requirements="loop.txt"), project)
    (project / "latin.txt").write_bytes(b"apple # \xe9t\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_declared(Virtualenv(requirements="latin.txt"), project)
    with pytest.raises(UsageError, match="named with `project:`"):
        read_declared(Virtualenv(requirements="pyproject.toml"), project)


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("Scikit_Learn>=1.5", "scikit-learn"),
        ("apple[red]", "apple"),
        ("apple @ https://host/a.whl", "apple"),
        ("./libs/fig", None),
        ("libs/fig", None),
        ("https://host/a.whl", None),
        ("-e ./fig", None),
    ],
)
def test_the_name_of_a_requirement(requirement: str, name: str | None) -> None:
    assert package_name(requirement) == name


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("3", True),
        ("3.11", True),
        ("3.1", False),
        ("3.11.7", True),
        (">=3.10", True),
        (">=3.10,<3.11", False),
        ("==3.11.*", True),
        ("!=3.11.*", False),
        ("~=3.11.2", True),
        ("~=3.10", True),
        ("~=3.10.1", False),
        ("==3.11", False),
        ("pypy3.10", None),
        ("./python", None),
    ],
)
def test_whether_a_version_answers(request_: str, answer: bool | None) -> None:
    assert satisfies("3.11.7", request_) is answer


def test_the_lowest_python_that_a_lock_serves() -> None:
    own = Interpreter("/python", "3.11.7", "cpython", "linux-x86_64")
    requests = {
        None: "3.11",
        ">=3.10,<4": "3.10",
        "3.12": "3.12",
        "==3.12.*": "3.12",
        "<3.13": "3.11",
        "3": "3.11",
    }
    assert {request: lowest_version(request, own) for request in requests} == requests


def test_toml_is_read_as_it_was_written() -> None:
    document: dict[str, Any] = {
        "lock-version": "1.0",
        "many": ["a", "b"],
        "packages": [
            {
                "name": 'a"\\\x7f\x01é',
                "wheels": [{"url": "u", "hashes": {"sha256": "x"}}, {"url": "v", "size": 3}],
            },
            {"name": "b", "directory": {"path": ".", "editable": True}},
        ],
        "tool": {"mlproj": {"requirements": ["a", "b"], "empty": [], "local": {"libs/fig": "d"}}},
    }
    assert parse_toml(dump_toml(document)) == document
