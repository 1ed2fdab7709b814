"""Values of an MLproject's parameters: texts that nothing is made of, but paths and URIs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlproj.manifest.models import NO_DEFAULT, EntryPoint, Parameter
from mlproj.parameters.config import Config, ParameterError, Surroundings, resolve
from mlproj.parameters.given import from_python, gather


def resolved(tmp_path: Path, parameters: dict[str, Parameter], *texts: str, **data: Any) -> Config:
    for name in ("caller", "project"):
        (tmp_path / name).mkdir(exist_ok=True)
    entry_point = EntryPoint("x", "mlflow", parameters=parameters)
    around = Surroundings(
        tmp_path / "caller", tmp_path / "project", {}, lambda url, _: Path("/fetched", Path(url).name)
    )
    return resolve(entry_point, {**gather(texts, ()), **from_python(data)}, around)


@pytest.mark.parametrize("hint", ["int", "float", "bool", None])
def test_no_value_is_held_to_a_type(tmp_path: Path, hint: str | None) -> None:
    config = resolved(tmp_path, {"a": Parameter(hint=hint)}, "a=not a number")
    assert config.values == config.recorded == {"a": "not a number"}


def test_python_values_become_their_text(tmp_path: Path) -> None:
    config = resolved(tmp_path, {name: Parameter() for name in "abc"}, a=0.1, b=True, c=[1])
    assert config.values == {"a": "0.1", "b": "True", "c": "[1]"}


def test_undeclared_names_are_kept_in_their_order_and_recorded(tmp_path: Path) -> None:
    config = resolved(tmp_path, {"a": Parameter(default="1")}, "z=1", "b-c=2", "a=3")
    assert list(config.undeclared.items()) == [("z", "1"), ("b-c", "2")]
    assert config.recorded == {"a": "3", "z": "1", "b-c": "2"}


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        resolved(tmp_path, {"a": Parameter(), "b": Parameter(default=NO_DEFAULT), "c": Parameter(default="")})
    assert str(caught.value).splitlines() == [
        "parameter `a`: a value is required: give it with -P",
        "parameter `b`: a value is required: give it with -P",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [(("a=1", "a=2"), "given more than once"), (("a\nb=1",), "no name for an option")],
)
def test_what_cannot_be_a_value(tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        resolved(tmp_path, {"a": Parameter(default="1")}, *given)


def test_a_path_is_the_callers_and_a_default_the_projects(tmp_path: Path) -> None:
    resolved(tmp_path, {})
    for folder in ("caller", "project"):
        (tmp_path / folder / "data.csv").touch()
    path = {"a": Parameter(type="path", default="data.csv")}
    assert resolved(tmp_path, path).values == {"a": str(tmp_path / "project" / "data.csv")}
    assert resolved(tmp_path, path, "a=data.csv").values == {"a": str(tmp_path / "caller" / "data.csv")}
    assert resolved(tmp_path, path, f"a=file://{tmp_path}/caller/data.csv").values == {
        "a": str(tmp_path / "caller" / "data.csv")
    }
    (tmp_path / "project" / "data.csv").unlink()
    assert resolved(tmp_path, path).values == {"a": str(tmp_path / "caller" / "data.csv")}


def test_a_path_that_is_a_url_is_fetched(tmp_path: Path) -> None:
    config = resolved(tmp_path, {"a": Parameter(type="path")}, "a=https://user:secret@host.example/wine.csv")
    assert config.values == {"a": "/fetched/wine.csv"}
    assert config.recorded == {"a": "https://host.example/wine.csv"}


def test_a_path_that_is_not_there_and_a_uri_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        resolved(tmp_path, {"a": Parameter(type="path"), "b": Parameter(type="uri")}, "a=nowhere", "b=data/x.csv")
    assert "no file or folder `nowhere`" in str(caught.value)
    with pytest.raises(ParameterError, match="found an empty text"):
        resolved(tmp_path, {"a": Parameter(type="path")}, "a=")
    assert "expected a URI, such as `s3://bucket/key`; found `data/x.csv`" in str(caught.value)
    assert resolved(tmp_path, {"b": Parameter(type="uri")}, "b=s3://b/k").values == {"b": "s3://b/k"}
