"""Virtualenvs: built once, shared by their lock, rebuilt when and only when something changed."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import Environment, Policy
from mlproj.errors import EnvironmentBuildError, UsageError

RunIn = Callable[..., str]


@contextlib.contextmanager
def serve_index(folder: Path, asked: list[str]) -> Iterator[str]:
    """Serve a folder with one folder of wheels a package as an index; the paths it is asked for go to ``asked``."""

    class Index(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_an_environment_is_built_and_its_programs_run(asking: Any, run_in: RunIn) -> None:
    found = asking.prepare(dependencies=["pear"])
    assert (found.kind, found.reused, found.packages) == (
        "virtualenv",
        False,
        {"apple": "2.0", "pear": "1.0"},
    )
    assert asking.said == ["resolving 1 requirement", "installing 2 packages"]
    assert run_in(found, "apple") == "apple 2.0"
    assert run_in(found, "python", "-c", "import sys; print(sys.prefix)") == str(found.folder)


def test_nothing_in_it_still_names_the_folder_it_was_built_in(asking: Any) -> None:
    found = asking.prepare(dependencies=["pear"])
    texts = {
        path: path.read_bytes()
        for path in found.folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.name != "build.log"
    }
    assert [path for path, text in texts.items() if b"/scratch/" in text] == []
    activated = f". {found.folder}/bin/activate && echo $VIRTUAL_ENV"
    assert os.popen(activated).read().strip() == str(found.folder)


def test_the_second_time_asks_nobody(asking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asking.prepare(dependencies=["pear"])
    monkeypatch.setattr("mlproj.processes.tools.run_tool", lambda *_, **__: pytest.fail("a tool was run"))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a process was started"))
    second = asking.prepare(dependencies=["pear"])
    assert second.reused and second.key == first.key and asking.said == []
    assert second.lock_text == first.lock_text


def test_a_warm_environment_imports_nothing_heavy(asking: Any, project: Path) -> None:
    import subprocess

    asking.prepare(dependencies=["pear"])
    script = (
        "import sys, json, pathlib; from mlproj.manifest.models import EnvironmentSpec, Virtualenv\n"
        "spec = EnvironmentSpec(virtualenv=Virtualenv(dependencies=['pear'])); before = set(sys.modules)\n"
        "from mlproj import environments\n"
        f"folder = pathlib.Path({str(project)!r})\n"
        "found = environments.prepare(spec, None, folder, environments.Policy(), print)\n"
        "assert found.reused; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    imported = set(eval(subprocess.check_output([sys.executable, "-c", script], text=True)))
    heavy = {
        "subprocess",
        "tomllib",
        "tomli",
        "uv",
        "virtualenv",
        "psutil",
        "importlib.metadata",
        "threading",
    }
    assert imported & heavy == set()
    assert {name for name in imported if name.startswith("mlproj.environments.")} <= {
        f"mlproj.environments.{name}"
        for name in ("builds", "credentials", "environment", "recall", "scratch", "settings", "virtualenv")
    }


def test_two_projects_with_the_same_packages_share(asking: Any, tmp_path: Path) -> None:
    first = asking.prepare(dependencies=["pear"])
    asking.folder = tmp_path / "another"
    asking.folder.mkdir()
    second = asking.prepare(dependencies=["pear>=1", "apple"])
    assert second.reused and second.folder == first.folder


def test_more_requirements_are_another_environment(asking: Any) -> None:
    first = asking.prepare(dependencies=["apple"])
    second = asking.prepare(dependencies=["apple<2"])
    assert first.key != second.key and second.packages == {"apple": "1.0"}


def test_an_environment_without_packages(asking: Any, run_in: RunIn) -> None:
    found = asking.prepare()
    assert found.packages == {}
    assert run_in(found, "python", "-c", "print(1)") == "1"


def test_the_callers_python_variables_do_not_leak(
    asking: Any, tmp_path: Path, run_in: RunIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leak").mkdir()
    (tmp_path / "leak" / "apple.py").write_text("raise SystemExit('leaked')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "leak"))
    assert run_in(asking.prepare(dependencies=["apple"]), "apple") == "apple 2.0"


def test_a_remembered_resolution_stays_until_refreshed(
    asking: Any,
    index: Path,
    tmp_path: Path,
    write_wheel: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Behind a URL, as an index is: what is there changes without the settings changing.
    monkeypatch.delenv("UV_FIND_LINKS")
    configuration = tmp_path / "configuration" / "uv" / "uv.toml"
    configuration.write_text(f"no-index = true\nfind-links = ['{index}']\n")
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "2.0"}
    write_wheel(index, "apple", "3.0")
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "2.0"}
    assert asking.prepare(Policy(refresh=True), dependencies=["apple"]).packages == {"apple": "3.0"}
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "3.0"}


def test_a_changed_setting_of_uv_resolves_anew(asking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "2.0"}
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    assert asking.prepare(dependencies=["apple"]).packages == {"apple": "1.0"}


def test_a_changed_comment_resolves_nothing_anew(asking: Any, project: Path) -> None:
    (project / "requirements.txt").write_text("apple\n")
    asking.prepare(requirements="requirements.txt")
    (project / "requirements.txt").write_text("# one a day\napple\n")
    assert asking.prepare(requirements="requirements.txt").reused
    assert asking.said == []


def test_requirements_with_a_constraint_and_an_include(asking: Any, project: Path) -> None:
    (project / "more").mkdir()
    (project / "requirements.txt").write_text("-r more/base.txt\n-c more/constraints.txt\n")
    (project / "more" / "base.txt").write_text("pear ; python_version >= '3'\n")
    (project / "more" / "constraints.txt").write_text("apple<2\n")
    assert asking.prepare(requirements="requirements.txt").packages == {"apple": "1.0", "pear": "1.0"}
    (project / "more" / "constraints.txt").write_text("")
    assert asking.prepare(requirements="requirements.txt").packages == {"apple": "2.0", "pear": "1.0"}


def test_find_links_of_the_manifest(asking: Any, project: Path, write_wheel: Callable[..., Path]) -> None:
    write_wheel(project / "wheels", "plum", "1.0")
    found = asking.prepare(dependencies=["plum"], find_links=["wheels"])
    assert found.packages == {"plum": "1.0"}
    # Named relative to the project, so that the lock serves a copy of it.
    assert 'path = "wheels/plum-1.0-py3-none-any.whl"' in found.lock_text
    write_wheel(project / "wheels", "plum", "1.1")
    assert asking.prepare(dependencies=["plum"], find_links=["wheels"]).packages == {"plum": "1.1"}


def test_a_file_with_another_hash_is_refused(asking: Any, project: Path, index: Path) -> None:
    from mlproj.files import sha256_of_file

    right = sha256_of_file(index / "apple-2.0-py3-none-any.whl")
    (project / "requirements.txt").write_text(f"apple==2.0 \\\n    --hash=sha256:{right}\n")
    assert asking.prepare(requirements="requirements.txt").packages == {"apple": "2.0"}
    (project / "requirements.txt").write_text(f"apple==2.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(EnvironmentBuildError, match=r"no file of apple 2\.0 has a hash"):
        asking.prepare(requirements="requirements.txt")


def test_a_local_package_enters_by_its_content(
    asking: Any, project: Path, tmp_path: Path, source_project: Callable[..., Path], run_in: RunIn
) -> None:
    source_project(project / "libs" / "fig", "fig", requires=["apple<2"])
    first = asking.prepare(dependencies=["./libs/fig"])
    assert first.packages == {"apple": "1.0", "fig": "1.0"}
    assert asking.prepare(dependencies=["./libs/fig"]).reused

    (project / "libs" / "fig" / "fig.py").write_text("def main():\n    print('fig as it is')\n")
    second = asking.prepare(dependencies=["./libs/fig"])
    assert second.key != first.key and run_in(second, "fig") == "fig as it is"

    # A copy elsewhere is the same package.
    asking.folder = tmp_path / "copy"
    shutil.copytree(project, asking.folder)
    assert asking.prepare(dependencies=["./libs/fig"]).key == second.key


def test_a_project_is_installed_editable(
    asking: Any, project: Path, source_project: Callable[..., Path], run_in: RunIn
) -> None:
    source_project(project, "fig", requires=["pear"])
    first = asking.prepare(project="pyproject.toml")
    assert first.packages == {"apple": "2.0", "fig": "1.0", "pear": "1.0"}
    (project / "fig.py").write_text("def main():\n    print('fig as it is')\n")
    second = asking.prepare(project="pyproject.toml")
    assert second.reused and second.key == first.key
    assert run_in(second, "python", "-c", "import fig; fig.main()") == "fig as it is"
    with (project / "pyproject.toml").open("a") as stream:
        stream.write("\n[tool.ruff]\nline-length = 100\n")
    assert asking.prepare(project="pyproject.toml").key == first.key


def test_extras_and_groups_of_a_project_that_is_no_package(asking: Any, project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[project]\nname = "scripts"\nversion = "1"\ndependencies = []\n'
        '[project.optional-dependencies]\nfruit = ["pear"]\n'
        '[dependency-groups]\nold = ["apple<2"]\nall = [{include-group = "old"}]\n'
    )
    assert asking.prepare(project="pyproject.toml").packages == {}
    assert asking.prepare(project="pyproject.toml", extras=["fruit"]).packages == {
        "apple": "2.0",
        "pear": "1.0",
    }
    assert asking.prepare(project="pyproject.toml", groups=["all"]).packages == {"apple": "1.0"}
    with pytest.raises(UsageError, match=r"no extra `friut`\. Did you mean `fruit`\?"):
        asking.prepare(project="pyproject.toml", extras=["friut"])


def test_a_plan_builds_nothing(asking: Any, project: Path, cache: Path) -> None:
    planned = asking.plan(dependencies=["pear"])
    assert (planned.built, planned.package_count, planned.lock) == (False, 2, "resolution")
    assert not (cache / "environments").exists() and list(project.iterdir()) == []
    built = asking.prepare(dependencies=["pear"])
    assert built.key == planned.key and asking.plan(dependencies=["pear"]).built


def test_the_interpreter_that_runs_mlproj_is_the_default(asking: Any, run_in: RunIn) -> None:
    found = asking.prepare()
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    wanted = f">={sys.version_info[0]}.{sys.version_info[1]}"
    assert asking.prepare(python=wanted).key == found.key


def test_an_interpreter_by_path(asking: Any, project: Path) -> None:
    (project / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    assert asking.prepare(python="./python").python == ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(EnvironmentBuildError, match="there is no Python at"):
        asking.prepare(python="./snake")


def test_an_interpreter_that_is_nowhere_lists_those_there_are(asking: Any) -> None:
    with pytest.raises(EnvironmentBuildError, match=r"`python: ==3\.99\.\*`: no such Python was found") as caught:
        asking.prepare(python="==3.99.*")
    assert ".".join(map(str, sys.version_info[:3])) in str(caught.value)


def test_a_failed_resolution_says_what_uv_said(asking: Any, cache: Path) -> None:
    with pytest.raises(EnvironmentBuildError, match="quince was not found") as caught:
        asking.prepare(dependencies=["quince"])
    assert caught.value.exit_status == 125
    log = Path((caught.value.hint or "").removeprefix("the whole log: "))
    assert "quince" in log.read_text()
    assert list((cache / "scratch").iterdir()) == []


def test_a_failed_build_leaves_nothing_but_its_log(
    asking: Any, project: Path, cache: Path, source_project: Callable[..., Path]
) -> None:
    folder = source_project(project / "fig", "fig")
    (folder / "broken").touch()
    with pytest.raises(EnvironmentBuildError, match="the compiler said: no") as caught:
        asking.prepare(dependencies=["./fig"])
    assert Path((caught.value.hint or "").removeprefix("the whole log: ")).is_file()
    assert list((cache / "scratch").iterdir()) == [] and environments.list_environments() == []
    (folder / "broken").unlink()
    assert asking.prepare(dependencies=["./fig"]).packages == {"fig": "1.0"}


def test_an_environment_without_its_interpreter_is_built_again(asking: Any, run_in: RunIn) -> None:
    found: Environment = asking.prepare(dependencies=["apple"])
    assert found.folder is not None
    (found.folder / "bin" / "python").unlink()
    (found.folder / "bin" / "python").symlink_to("/uninstalled/python")
    again = asking.prepare(dependencies=["apple"])
    assert not again.reused and run_in(again, "apple") == "apple 2.0"


@pytest.mark.parametrize(
    "requirement", ["apple @ file:///$(touch owned)", "apple; touch owned", "`touch owned`", "apple\x1b[31m"]
)
def test_a_requirement_is_never_a_command(asking: Any, project: Path, requirement: str) -> None:
    with pytest.raises(EnvironmentBuildError) as caught:
        asking.prepare(dependencies=[requirement])
    assert not (project / "owned").exists() and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("requirement", ["apple \\"])
def test_a_requirement_is_one_line(asking: Any, requirement: str) -> None:
    with pytest.raises(UsageError, match="is not one requirement"):
        asking.prepare(dependencies=[requirement, "pear"])


def test_a_cache_that_cannot_be_written_is_said(asking: Any, cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    with pytest.raises(EnvironmentBuildError, match="could not be prepared: Not a directory"):
        asking.prepare(dependencies=["apple"])


def test_plain_names_are_installed_while_they_are_being_resolved(asking: Any) -> None:
    found = asking.prepare(dependencies=["pear"])
    assert "pip sync" not in (found.folder / "build.log").read_text()


def test_what_uv_has_cached_is_installed_without_asking_the_index_twice(
    asking: Any, cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for wheel in index.glob("*.whl"):
        (index / "by-name" / wheel.name.partition("-")[0]).mkdir(parents=True, exist_ok=True)
        wheel.rename(index / "by-name" / wheel.name.partition("-")[0] / wheel.name)
    with serve_index(index / "by-name", asked) as address:
        monkeypatch.delenv("UV_FIND_LINKS")
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.setenv("UV_DEFAULT_INDEX", address)
        first = asking.prepare(dependencies=["pear"])
        shutil.rmtree(cache)
        asked.clear()
        again = asking.prepare(dependencies=["pear"])
    assert again.packages == first.packages == {"apple": "2.0", "pear": "1.0"}
    assert asked.count("/pear/") == 1, "only the lock's resolution asks"


def test_what_was_installed_ahead_gives_way_to_the_lock(asking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlproj.environments import install

    as_it_is = install.start_ahead

    def another_version(ahead: Any, request: Any, folder: Path) -> None:
        declared = replace(request.declared, lines=("pear", "apple<2"))
        as_it_is(ahead, replace(request, declared=declared), folder)

    monkeypatch.setattr(install, "start_ahead", another_version)
    found = asking.prepare(dependencies=["pear"])
    assert found.packages == {"apple": "2.0", "pear": "1.0"}
    assert "pip sync" in (found.folder / "build.log").read_text()


def test_a_resolution_that_fails_ends_what_was_started_ahead(asking: Any, tmp_path: Path) -> None:
    import psutil

    others = psutil.Process().children(recursive=True)  # servers of other tests
    with pytest.raises(EnvironmentBuildError):
        asking.prepare(dependencies=["pear", "no-such-package"])
    left = [each for each in psutil.Process().children(recursive=True) if each not in others]
    assert [each for each in left if each.is_running()] == []
