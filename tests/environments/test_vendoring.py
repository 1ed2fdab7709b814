"""What a project carries with it: chosen and fetched by its lock, and installed from it without any network."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.vendored import Target, targets_of
from mlproj.environments.wheels import choose_wheels
from mlproj.errors import EnvironmentBuildError, UsageError

Mlproj = Callable[..., subprocess.CompletedProcess[str]]
VIRTUALENV = """
name: wine
environment: {virtualenv: {dependencies: [pear]}}
entry_points: {main: {command: [pear]}}
"""
CONDA = """
name: berries
environment: {conda: {file: environment.yml}}
entry_points: {main: {command: [cat, "{where}"], parameters: {where: {type: str}}}}
"""


@pytest.fixture
def offline(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line where there is no network at all, with a store and caches of another machine."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("no network namespace can be made here")
        pytest.skip("no network namespace can be made here")

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        there = tmp_path / "another-machine"
        environment = {**os.environ, "MLPROJ_HOME": str(there), "MLPROJ_CACHE": str(there / "cache")}
        environment |= {"UV_CACHE_DIR": str(there / "uv"), "UV_FIND_LINKS": "", **variables}
        argv = ["unshare", "--net", sys.executable, "-m", "mlproj", *map(str, arguments)]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)

    return run


def key_of(mlproj: Mlproj, home: Path | None = None) -> str:
    variables = {} if home is None else {"MLPROJ_HOME": str(home)}
    return str(json.loads(mlproj("show", "@last", "--json", env=variables).stdout)["environment"]["key"])


def test_a_vendored_pack_runs_without_a_network_in_the_same_environment(
    mlproj: Mlproj, project: Path, index: Path, tmp_path: Path, offline: Callable[..., Any]
) -> None:
    (project / "mlproj.yaml").write_text(VIRTUALENV)
    assert mlproj("lock", project).returncode == 0
    assert mlproj("run", project).stdout == "pear 1.0\n"
    packed = mlproj("pack", project, "--vendor", "-o", tmp_path / "it.mlpack.tar.zst")
    assert packed.returncode == 0, packed.stderr
    shutil.rmtree(index)

    ran = offline("run", tmp_path / "it.mlpack.tar.zst", "--locked")

    assert (ran.returncode, ran.stdout) == (0, "pear 1.0\n"), ran.stderr
    assert "installing what the project carries with it" in ran.stderr
    assert key_of(mlproj, tmp_path / "another-machine") == key_of(mlproj)


def test_without_a_lock_the_pack_has_one_and_the_project_is_not_touched(
    mlproj: Mlproj, project: Path, index: Path, tmp_path: Path, offline: Callable[..., Any]
) -> None:
    (project / "mlproj.yaml").write_text(VIRTUALENV)

    packed = mlproj("pack", project, "--vendor", "-o", tmp_path / "it.mlpack.tar.zst")
    shutil.rmtree(index)
    ran = offline("run", tmp_path / "it.mlpack.tar.zst", "--locked")

    assert packed.returncode == 0, packed.stderr
    assert "pylock.toml was made for this alone" in packed.stderr
    assert sorted(path.name for path in project.iterdir()) == ["mlproj.yaml"]
    assert (ran.returncode, ran.stdout) == (0, "pear 1.0\n"), ran.stderr


def test_the_lock_decides_and_a_wheel_of_another_content_is_not_installed(
    mlproj: Mlproj, project: Path, index: Path, write_wheel: Callable[..., Path], tmp_path: Path
) -> None:
    (project / "mlproj.yaml").write_text(VIRTUALENV)
    mlproj("lock", project)
    shutil.copytree(index, project / ".mlpack/wheels")
    write_wheel(project / ".mlpack/wheels", "pear", "1.0", ["apple>=1"], "def main():\n    print('evil')\n")

    ran = mlproj("run", project)  # though the index has the right one

    assert (ran.returncode, ran.stdout) == (125, "")
    assert "what the project carries with it is not what its lock says: pear-1.0" in ran.stderr


def test_what_is_not_carried_for_this_machine_is_fetched_where_the_lock_says(
    mlproj: Mlproj, project: Path, index: Path, write_wheel: Callable[..., Path], tmp_path: Path
) -> None:
    (project / "mlproj.yaml").write_text(VIRTUALENV)
    write_wheel(project / ".mlpack/wheels", "plum", "1.0")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(index))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = {"UV_FIND_LINKS": f"http://127.0.0.1:{server.server_port}/"}
        locked = mlproj("lock", project, env=variables)
        ran = mlproj("run", project, env={**variables, "UV_CACHE_DIR": str(tmp_path / "empty")})
        server.shutdown()
    assert locked.returncode == 0, locked.stderr

    assert (ran.returncode, ran.stdout) == (0, "pear 1.0\n"), ran.stderr
    assert "that is not all that this machine needs: the rest is fetched" in ran.stderr


def test_a_folder_of_the_project_that_is_installed_is_built_without_a_network(
    mlproj: Mlproj, project: Path, index: Path, tmp_path: Path, offline: Callable[..., Any], source_project: Any
) -> None:
    source_project(project, "quince", requires=["apple"])
    backend = (project / "pyproject.toml").read_text().replace("requires = []", 'requires = ["pear"]')
    (project / "pyproject.toml").write_text(backend)
    (project / "show.py").write_text("import quince\nquince.main()\n")
    manifest = VIRTUALENV.replace("dependencies: [pear]", "project: pyproject.toml").replace(
        "[pear]", "[python, -m, show]"
    )
    (project / "mlproj.yaml").write_text(manifest)
    packed = mlproj("pack", project, "--vendor", "-o", tmp_path / "it.mlpack.tar.zst")
    assert packed.returncode == 0, packed.stderr
    shutil.rmtree(index)

    ran = offline("run", tmp_path / "it.mlpack.tar.zst")

    assert (ran.returncode, ran.stdout) == (0, "quince as it was\n"), ran.stderr


def test_conda_packages_are_carried_too(
    mlproj: Mlproj, project: Path, tmp_path: Path, offline: Callable[..., Any], own_channel: Callable[..., str]
) -> None:
    channel = own_channel("mine", "berry 1.0", "shrub 2.0 berry")
    (project / "mlproj.yaml").write_text(CONDA)
    (project / "environment.yml").write_text(f"channels: ['{channel}']\ndependencies: [shrub]\n")
    pack = tmp_path / "it.mlpack.tar.zst"
    locked = mlproj("lock", project)
    packed = mlproj("pack", project, "--vendor", "-o", pack)
    assert (locked.returncode, packed.returncode) == (0, 0), locked.stderr + packed.stderr
    shutil.rmtree(tmp_path / "channels")

    # No command is needed to see what is installed: there is no Python in it.
    ran = offline("run", pack, "--locked", "-P", "where=mlproj.yaml")

    assert ran.returncode == 0, ran.stderr
    listed = json.loads(
        mlproj("show", "@last", "--json", env={"MLPROJ_HOME": str(tmp_path / "another-machine")}).stdout
    )
    assert listed["environment"]["packages"] == {"berry": "1.0", "shrub": "2.0"}


@pytest.mark.usefixtures("own_conda")
def test_the_pip_part_of_a_conda_environment_is_carried_too(
    mlproj: Mlproj, project: Path, index: Path, tmp_path: Path, offline: Callable[..., Any]
) -> None:
    (project / "mlproj.yaml").write_text(CONDA.replace('cat, "{where}"', 'pear, "{where}"'))
    lines = ["channels: [conda-forge]", "dependencies:", "  - python", "  - pip: [pear]", ""]
    (project / "environment.yml").write_text("\n".join(lines))
    packed = mlproj("pack", project, "--vendor", "-o", tmp_path / "it.mlpack.tar.zst")
    assert packed.returncode == 0, packed.stderr
    shutil.rmtree(index)

    ran = offline("run", tmp_path / "it.mlpack.tar.zst", "--locked", "-P", "where=.")

    assert (ran.returncode, ran.stdout) == (0, "pear 1.0\n"), ran.stderr


def package(name: str, *wheels: str, **keys: Any) -> dict[str, Any]:
    files = [{"url": f"https://x.example/{each}", "hashes": {"sha256": "0" * 64}} for each in wheels]
    return {"name": name, "version": "1.0", **({"wheels": files} if files else {}), **keys}


def chosen(target: Target, *packages: dict[str, Any]) -> list[str]:
    document = {"lock-version": "1.0", "created-by": "test", "packages": list(packages)}
    return [wheel.file_name for wheel in choose_wheels(document, [target])]


def test_wheels_are_chosen_as_an_installer_there_would() -> None:
    native = package(
        "numpy",
        "numpy-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "numpy-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        "numpy-1.0-cp311-cp311-manylinux_2_38_x86_64.whl",
        "numpy-1.0-cp311-cp311-macosx_11_0_arm64.whl",
        "numpy-1.0-cp312-cp312-macosx_11_0_arm64.whl",
        "numpy-1.0-cp311-cp311-win_amd64.whl",
    )
    mac = package("on-mac", "on_mac-1.0-py3-none-any.whl", marker="sys_platform == 'darwin'")
    late = package("early", "early-1.0-py3-none-any.whl", marker="python_full_version < '3.11.3'")

    linux = chosen(Target("linux-x86_64", "3.11"), native, mac, late)
    apple = chosen(Target("macos-arm64", "3.12"), native, mac, late)

    assert linux == ["early-1.0-py3-none-any.whl", "numpy-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"]
    assert apple == ["numpy-1.0-cp312-cp312-macosx_11_0_arm64.whl", "on_mac-1.0-py3-none-any.whl"]


def test_what_has_no_wheel_is_named() -> None:
    sdist = {"url": "https://x.example/old-1.0.tar.gz", "hashes": {"sha256": "0" * 64}}

    with pytest.raises(
        EnvironmentBuildError, match=r"old 1\.0: there is only its source.*\(linux-x86_64, Python 3\.11\)"
    ):
        chosen(Target("linux-x86_64", "3.11"), package("old", sdist=sdist))
    with pytest.raises(EnvironmentBuildError, match="No wheel found"):
        chosen(Target("linux-x86_64", "3.11"), package("win", "win-1.0-cp311-cp311-win_amd64.whl"))


def test_targets_are_every_platform_with_every_python() -> None:
    named = targets_of(("linux-64", "osx-arm64"), ("3.11", "3.12"))

    assert [each.shown for each in named[:2]] == ["linux-x86_64, Python 3.11", "linux-x86_64, Python 3.12"]
    assert len(named) == 4
    with pytest.raises(UsageError, match="Did you mean `linux-x86_64`"):
        targets_of(("linux-x86-64",), ())
    with pytest.raises(UsageError, match="no Python to vendor"):
        targets_of((), ("3.11.2",))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ("{docker: {image: 'python:3'}}", "`mlproj build` makes an image"),
        ("{system: {}}", "there is nothing to vendor"),
    ],
)
def test_other_kinds_are_not_vendored(mlproj: Mlproj, project: Path, environment: str, said: str) -> None:
    (project / "mlproj.yaml").write_text(
        f"environment: {environment}\nentry_points: {{main: {{command: [python, train.py]}}}}\n"
    )
    (project / "train.py").write_text("")

    packed = mlproj("pack", "--vendor", "-o", "it.mlpack.tar.zst", cwd=project)

    assert packed.returncode == 2
    assert said in packed.stderr
