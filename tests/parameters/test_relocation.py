"""Paths of this machine as a container sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.config import Config
from mlproj.parameters.relocation import relocate


def relocated(project: Path, values: dict[str, Any], types: dict[str, str], dialect: Any = "mlproj") -> tuple[Any, Any]:
    entry_point = EntryPoint(
        command=["true"], dialect=dialect, parameters={name: Parameter(type=each) for name, each in types.items()}
    )
    config, needed = relocate(entry_point, Config(values, dict(values)), project, "/project")
    assert config.recorded == values
    return config.values, needed


def test_what_is_in_the_project_is_where_the_project_is(tmp_path: Path) -> None:
    values, needed = relocated(tmp_path, {"data": f"{tmp_path}/data/a.csv"}, {"data": "path"})
    assert (values, needed) == ({"data": "/project/data/a.csv"}, {})
    assert relocated(tmp_path, {"data": str(tmp_path)}, {"data": "path"})[0] == {"data": "/project"}


def test_what_is_elsewhere_is_to_be_had_under_the_parameters_name(tmp_path: Path) -> None:
    values, needed = relocated(tmp_path / "project", {"data": "/home/eve/a.csv"}, {"data": "path?"})
    assert values == {"data": "/mlproj/inputs/data/a.csv"}
    assert needed == {"/mlproj/inputs/data/a.csv": "/home/eve/a.csv"}


def test_lists_are_kept_apart_although_their_names_are_the_same(tmp_path: Path) -> None:
    values, needed = relocated(tmp_path, {"data": ["/a/x", "/b/x", f"{tmp_path}/x"]}, {"data": "list[path]"})
    assert values == {"data": ["/mlproj/inputs/data/0/x", "/mlproj/inputs/data/1/x", "/project/x"]}
    assert needed == {"/mlproj/inputs/data/0/x": "/a/x", "/mlproj/inputs/data/1/x": "/b/x"}


@pytest.mark.parametrize("value", [None, "", "s3://bucket/key", "https://example.org/a", "/no/such/path"])
def test_uris_that_are_no_files_here_stay_as_they_are(tmp_path: Path, value: str | None) -> None:
    assert relocated(tmp_path, {"data": value}, {"data": "uri"}) == ({"data": value}, {})


def test_only_paths_are_moved(tmp_path: Path) -> None:
    values = {"text": str(tmp_path), "number": 3, "missing": None}
    types = {"text": "str", "number": "int", "missing": "path?"}
    assert relocated(tmp_path, values, types) == (values, {})


def test_of_an_mlproject_the_declared_types_count(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    values, _ = relocated(tmp_path, {"data": f"{tmp_path}/a.csv", "x": str(tmp_path)}, {"data": "path"}, "mlflow")
    assert values == {"data": "/project/a.csv", "x": str(tmp_path)}


@example("..")
@example("a/../..")
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20))
def test_whatever_a_path_is_called_its_place_is_below_the_inputs(name: str) -> None:
    values, needed = relocated(Path("/somewhere/project"), {"data": f"/else/{name}"}, {"data": "path"})
    assert list(needed) in ([values["data"]], [])
    if needed:
        assert values["data"].startswith("/mlproj/inputs/data/")
        assert ".." not in values["data"].split("/")
