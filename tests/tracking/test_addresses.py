"""Tracking URIs: the same server from every folder, and never a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj.tracking.remote.address import absolute_uri, credentials_of, is_of_this_machine, shown_uri, uri_of

HERE = Path("/projects/wine")


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("http://mlflow.example:5000", "http://mlflow.example:5000"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("mlruns", "file:///projects/wine/mlruns"),
        ("./ml runs", "file:///projects/wine/ml%20runs"),
        ("/data/mlruns", "file:///data/mlruns"),
        ("file:mlruns", "file:///projects/wine/mlruns"),
        ("file:///data/mlruns", "file:///data/mlruns"),
        ("sqlite:///mlflow.db", "sqlite:////projects/wine/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("postgresql://db/mlflow", "postgresql://db/mlflow"),
    ],
)
def test_a_uri_means_the_same_from_every_folder(text: str, uri: str) -> None:
    assert absolute_uri(text, HERE) == uri
    assert absolute_uri(uri, Path("/elsewhere")) == uri
    assert shown_uri(uri) == uri


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        ("http://127.0.0.1:5000", True),
        ("http://me:pass@localhost:5000/x", True),
        ("http://[::1]:5000", True),
        ("http://localhost.example:5000", False),
        ("https://mlflow.example", False),
        ("file:///data/mlruns", True),
        ("sqlite:////data/mlflow.db", True),
        ("databricks", False),
    ],
)
def test_what_a_container_would_look_for_in_itself(uri: str, here: bool) -> None:
    assert is_of_this_machine(uri) is here


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4), st.sampled_from(["http", "postgresql"])
)
def test_a_password_is_never_shown(password: str, scheme: str) -> None:
    uri = f"{scheme}://someone:{password}@server.invalid:50/path"
    assert shown_uri(uri) == f"{scheme}://server.invalid:50/path"
    assert password in credentials_of(uri, {})
    assert credentials_of("http://server", {"MLFLOW_TRACKING_TOKEN": password}) == [password]


def test_the_gateway_of_a_run_around_is_no_server() -> None:
    gateway = "http://127.0.0.1:4000/token"
    assert uri_of({"MLFLOW_TRACKING_URI": gateway, "MLPROJ_GATEWAY": gateway}) is None
    assert uri_of({"MLFLOW_TRACKING_URI": "http://mine:5000", "MLPROJ_GATEWAY": gateway}) == "http://mine:5000"
    assert uri_of({"MLFLOW_TRACKING_URI": ""}) is None
