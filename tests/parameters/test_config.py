"""The resolved configuration: defaults, given values, paths, secrets, and all mistakes told at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.config import Config, ParameterError, Surroundings, resolve, summary
from mlproj.parameters.given import Given, from_python, gather


def resolved(
    parameters: dict[str, dict],
    *assignments: str,
    caller: Path = Path("/"),
    project: Path = Path("/"),
    env: dict | None = None,
) -> Config:
    entry_point = EntryPoint(command=["a"], parameters={name: Parameter(**each) for name, each in parameters.items()})

    def no_network(url: str, _: str | None) -> Path:
        raise AssertionError(f"fetched {url}")

    return resolve(entry_point, gather(assignments, []), Surroundings(caller, project, env or {}, no_network))


def test_given_values_win_over_defaults() -> None:
    config = resolved({"alpha": {"type": "float", "default": 0.5}, "beta": {"type": "int", "default": 1}}, "alpha=0.1")
    assert config.values == {"alpha": 0.1, "beta": 1}
    assert config.changed == {"alpha"}
    assert summary(config) == "alpha=0.1 beta=1"


def test_all_mistakes_are_told_at_once() -> None:
    parameters = {"alpha": {"type": "float"}, "beta": {"type": "int", "default": 1}, "must": {"type": "str"}}
    with pytest.raises(ParameterError) as caught:
        resolved(parameters, "alhpa=1", "alpha=x", "beta=1.5")
    text = str(caught.value)
    assert "no parameter `alhpa` (-P); there are `alpha`, `beta`, `must`. Did you mean `alpha`?" in text
    assert "parameter `alpha` (-P): expected a number" in text
    assert "parameter `beta` (-P): expected a whole number" in text
    assert "parameter `must`: a value is required (str)" in text


def test_a_nested_mapping_is_told_to_be_one() -> None:
    entry_point = EntryPoint(command=["a"], parameters={"model": Parameter(type="str", default="x")})
    around = Surroundings(Path("/"), Path("/"), {}, lambda *_: Path("/"))
    with pytest.raises(ParameterError, match="a nested mapping: parameters are plain names"):
        resolve(entry_point, from_python({"model": {"lr": 1}}), around)


def test_paths_are_of_the_callers_folder_or_of_the_project(tmp_path: Path) -> None:
    caller, project = tmp_path / "caller", tmp_path / "project"
    for folder in (caller, project):
        folder.mkdir()
        (folder / "data.csv").write_text("x")
    given = resolved({"data": {"type": "path"}}, "data=data.csv", caller=caller, project=project)
    assert (given.values["data"], given.recorded["data"]) == (str(caller / "data.csv"),) * 2
    default = resolved({"data": {"type": "path", "default": "data.csv"}}, caller=caller, project=project)
    assert (default.values["data"], default.recorded["data"]) == (str(project / "data.csv"), "data.csv")
    with pytest.raises(ParameterError, match="no file or folder"):
        resolved({"data": {"type": "path"}}, "data=nope.csv", caller=caller, project=project)


def test_the_digest_of_a_local_path_is_held_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    right = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    resolved({"data": {"type": "path", "sha256": right}}, "data=a", caller=tmp_path)
    with pytest.raises(ParameterError, match="does not have the SHA-256"):
        resolved({"data": {"type": "path", "sha256": "0" * 64}}, "data=a", caller=tmp_path)


def test_a_uri_is_passed_on_and_a_local_one_made_absolute(tmp_path: Path) -> None:
    config = resolved({"u": {"type": "uri"}, "v": {"type": "uri"}}, "u=s3://b/k", "v=out", caller=tmp_path)
    assert config.values == {"u": "s3://b/k", "v": str(tmp_path / "out")}


def test_credentials_of_a_uri_are_not_recorded() -> None:
    url = "https://me:hunter22@example.org/x?token=hunter33&a=1"
    config = resolved({"u": {"type": "uri"}}, f"u={url}")
    assert config.values["u"] == url
    assert config.recorded["u"] == "https://example.org/x?token=***&a=1"


def test_secrets_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    secret = {"type": "secret", "env": "WINE_API_KEY"}
    from_variable = resolved({"key": secret}, env={"WINE_API_KEY": "from-env"})
    from_file = resolved({"key": secret}, "key=@key", caller=tmp_path, env={"WINE_API_KEY": "from-env"})
    from_line = resolved({"key": secret}, "key=on-the-line")
    assert from_variable.secrets == {"key": "from-env"}
    assert from_file.secrets == {"key": "from-file"}
    assert from_line.secrets == {"key": "on-the-line"}
    assert from_line.notices and "history" in from_line.notices[0]
    for config in (from_variable, from_file, from_line):
        assert config.values == config.recorded == {}
        assert config.secret_variables == {"key": "WINE_API_KEY"}
        assert not any(value in repr(config) for value in config.secrets.values())
        assert summary(config) == "key=•••"


def test_a_secrets_file_that_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "/dev/zero"):
        with pytest.raises(ParameterError, match="no regular file"):
            resolved({"key": {"type": "secret"}}, f"key=@{name}", caller=tmp_path)


def test_a_missing_secret_says_where_to_put_it() -> None:
    with pytest.raises(ParameterError, match=r"set \$WINE_API_KEY or give -P key=@FILE"):
        resolved({"key": {"type": "secret", "env": "WINE_API_KEY"}})
    assert resolved({"key": {"type": "secret?"}}).secrets == {}


def test_a_url_is_fetched_and_recorded_without_credentials(tmp_path: Path) -> None:
    fetched = tmp_path / "wine.csv"
    entry_point = EntryPoint(command=["a"], parameters={"data": Parameter(type="path")})
    around = Surroundings(tmp_path, tmp_path, {}, lambda url, sha: fetched)
    config = resolve(entry_point, {"data": Given("-P", texts=("https://me:hunter2@example.org/wine.csv",))}, around)
    assert config.values["data"] == str(fetched)
    assert config.recorded["data"] == "https://example.org/wine.csv"
