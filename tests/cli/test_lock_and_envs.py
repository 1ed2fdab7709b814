"""`mlproj lock`, `run --locked` and `--frozen`, and `mlproj envs`, with an index of tiny wheels in a folder."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

_WHEELS = Path(__file__).parents[1] / "environments" / "wheels.py"
MANIFEST = """\
name: fruit
environment: {{virtualenv: {{dependencies: {dependencies}}}}}
entry_points: {{main: {{command: [python, -c, "import pear, apple; pear.main(); apple.main()"]}}}}
"""


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def index(tmp_path: Path, uv_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with apple 1.0 and pear 1.0, which needs an apple; no other index is asked."""
    write_wheel = runpy.run_path(str(_WHEELS))["write_wheel"]
    folder = tmp_path / "index"
    write_wheel(folder, "apple", "1.0")
    write_wheel(folder, "pear", "1.0", ["apple>=1"])
    configuration = tmp_path / "configuration" / "uv"
    configuration.mkdir(parents=True)
    (configuration / "uv.toml").write_text("no-index = true\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(configuration.parent))
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("MLPROJ_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def fruit(project: Any, index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder: Path = project(MANIFEST.format(dependencies="[pear]"))
    monkeypatch.chdir(folder)
    return folder


def test_lock_run_and_upgrade(fruit: Path, index: Path, cli: Any) -> None:
    done = cli("run", "--locked")
    assert done.status == 125
    assert "pylock.toml" in done.err
    assert "`mlproj lock`" in done.err
    assert not (fruit / "pylock.toml").exists()

    done = cli("lock")
    assert done.status == 0
    assert done.out.splitlines()[:2] == ["+ apple 1.0", "+ pear 1.0"]
    assert done.out.splitlines()[2].endswith("pylock.toml: 2 packages, written")
    assert "  environment  " in done.err
    assert cli("lock").out.endswith("pylock.toml: 2 packages, unchanged\n")

    done = cli("run", "--locked")
    assert (done.status, done.out) == (0, "pear 1.0\napple 1.0\n")
    record = cli("show", "--json").json
    assert record["environment"]["lock"] == "pylock.toml"
    assert record["environment"]["packages"]["pear"] == "1.0"

    # A new apple changes nothing until it is asked for.
    runpy.run_path(str(_WHEELS))["write_wheel"](index, "apple", "2.0")
    assert cli("lock", "-q").out == ""
    assert "apple 1.0" in cli("run", "--locked", "-q").out
    done = cli("lock", "--upgrade-package", "apple", "--json")
    assert done.json[0]["changed"] == {"apple": ["1.0", "2.0"]}
    assert done.json[0]["written"] is True

    # Another requirement makes the lock stale.
    manifest = (fruit / "mlproj.yaml").read_text()
    (fruit / "mlproj.yaml").write_text(manifest.replace("[pear]", "[pear, apple<2]"))
    done = cli("run", "--locked")
    assert done.status == 125
    assert "apple<2" in done.err
    assert cli("run", "--frozen", "-q").out == "pear 1.0\napple 2.0\n"


def test_frozen_without_a_lock(fruit: Path, cli: Any) -> None:
    done = cli("run", "--frozen")
    assert (done.status, "pylock.toml" in done.err) == (125, True)


def test_a_requirement_that_cannot_be_had(project: Any, index: Path, cli: Any) -> None:
    folder = project(MANIFEST.format(dependencies="[banana]"))
    for command in ("lock", "run"):
        done = cli(command, folder)
        assert done.status == 125
        assert "banana" in done.err
    assert not (folder / "pylock.toml").exists()


def test_nothing_to_lock(wine: Path, cli: Any) -> None:
    done = cli("lock")
    assert done.status == 2
    assert "declares no environment that is built" in done.err


def test_locked_in_a_system_environment(wine: Path, cli: Any) -> None:
    done = cli("run", "-e", "train", "--locked")
    assert done.status != 0
    assert "error: " in done.err


def test_envs(fruit: Path, cli: Any) -> None:
    assert cli("envs", "list", "--json").json == []
    assert cli("run").status == 0
    assert cli("run").err.splitlines()[0] == "  main"  # warm: nothing is said of the environment

    listed = cli("envs", "list", "--json").json
    assert len(listed) == 1
    one = listed[0]
    assert (one["kind"], one["packages"], one["in_use"], one["projects"]) == ("virtualenv", 2, False, [str(fruit)])
    assert one["size"] > 0
    for words in (("envs",), ("envs", "list")):
        lines = cli(*words).out.splitlines()
        assert lines[0].split()[:3] == ["key", "kind", "python"]
        assert lines[1].startswith(one["key"][:12])
    for number in range(40):  # of runs whose fetched trees are gone
        Path(one["folder"], "projects", f"{number:016}").write_text(f"/gone/tree-{number}")
    # Older versions of rich fill up the last column with blanks.
    assert any(line.rstrip().endswith(f"{fruit}, 40 more") for line in cli("envs").out.splitlines())
    assert len(cli("envs", "--json").json[0]["projects"]) == 41
    assert cli("envs", "path", one["key"][:6]).out == f"{one['folder']}\n"
    assert Path(one["folder"], "bin", "python").exists() or any(Path(one["folder"]).rglob("bin/python"))

    assert cli("envs", "prune", "--older-than", "1d", "--json").json == {"removed": [], "freed": 0, "in_use": []}
    assert cli("envs", "prune", "--json").json["removed"] == [one["key"]]
    assert not Path(one["folder"]).exists()
    assert cli("run", "-q").status == 0
    assert cli("envs", "remove", one["key"][:8]).out.startswith(f"removed {one['key'][:12]}, ")
    assert cli("envs", "list", "--json").json == []


@pytest.mark.parametrize("command", ["path", "remove"])
def test_an_environment_that_is_not_there(cli: Any, command: str) -> None:
    done = cli("envs", command, "abc")
    assert done.status == 2
    assert "no environment" in done.err
    assert "abc" in done.err


def test_an_environment_in_use_is_not_removed(project: Any, index: Path, cli: Any, start: Any) -> None:
    folder = project(
        "environment: {virtualenv: {}}\n"
        "entry_points: {main: {command: [python, -c, \"import signal; print('ready'); signal.pause()\"]}}\n"
    )
    runner = start("run", folder, "-q")
    assert runner.stdout.readline() == "ready\n"
    key = cli("envs", "list", "--json").json[0]["key"]
    assert "in use" in cli("envs").out
    assert cli("envs", "prune", "--json").json == {"removed": [], "freed": 0, "in_use": [key]}
    done = cli("envs", "remove", key)
    assert done.status != 0
    assert "in use" in done.err
    assert cli("stop", "@last").status == 0
    assert cli("envs", "remove", key).status == 0
