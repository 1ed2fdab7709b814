"""``--reuse`` where something that decides is another one, or has no digest: the command runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.images.engine import Engine
from tests.cli.test_reproduce import git
from tests.docker_engine import PYTHON_IMAGE
from tests.environments import wheels

READS = "import os, sys; print(open(sys.argv[1]).read() if len(sys.argv) > 1 else os.environ.get('ALPHA'))\n"
MANIFEST = """\
environment: {system: {}}
entry_points:
  main: {command: [python, look.py]}
"""


@pytest.fixture
def look(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project in a repository, whose command prints what it finds."""
    python = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{python}{os.pathsep}{os.environ['PATH']}")

    def write(manifest: str = MANIFEST, script: str = READS, ignored: str = "", **files: str) -> Path:
        folder: Path = project(manifest, {"look.py": script, ".gitignore": ignored, **files})
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "all")
        return folder

    return write


def reused(mlproj: Any, folder: Path, *words: str, **named: Any) -> tuple[bool, str]:
    done = mlproj("run", folder, "--reuse", *words, **named)
    assert done.returncode == 0, done.stderr
    return "stands for this one" in done.stderr, done.stderr


def test_what_changed_while_it_ran_is_of_no_key(mlproj: Any, look: Any, tmp_path: Path) -> None:
    go, going = tmp_path / "go", tmp_path / "going"
    script = f"""
import time
from pathlib import Path
Path({str(going)!r}).touch()
while not Path({str(go)!r}).exists():
    time.sleep(0.01)
print(Path("in.txt").read_text(), Path("lib.py").read_text())
"""
    manifest = MANIFEST.replace("look.py]", "look.py], inputs: [in.txt]")
    folder = look(manifest, script, "in.txt\n", **{"lib.py": "V = 1\n"})
    (folder / "in.txt").write_text("1")
    running = subprocess.Popen(
        [sys.executable, "-m", "mlproj", "run", str(folder), "--reuse"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not going.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (folder / "in.txt").write_text("2")
    (folder / "lib.py").write_text("V = 2\n")
    go.touch()
    assert "changed while it ran: in.txt, lib.py" in running.communicate()[1]
    record = json.loads(mlproj("show", "@last", "--json").stdout)
    assert record["result_key"] is None
    assert record["source"]["changed"] == ["in.txt", "lib.py"]
    git(folder, "checkout", "-q", "--", "lib.py")
    (folder / "in.txt").write_text("1")
    assert not reused(mlproj, folder)[0]
    assert reused(mlproj, folder)[0]


def test_outputs_of_other_entry_points_count_unless_inputs_are_declared(mlproj: Any, look: Any) -> None:
    manifest = """\
environment: {system: {}}
entry_points:
  train: {command: [python, -c, "import sys; open('model', 'w').write(sys.argv[1])", "{a}"], parameters: {a: {type: str}}, outputs: {model: model}}
  evaluate: {command: [python, look.py, model]}
"""
    folder = look(manifest, ignored="model\n")
    mlproj("run", folder, "-e", "train", "-P", "a=one")
    assert not reused(mlproj, folder, "-e", "evaluate")[0]
    assert reused(mlproj, folder, "-e", "evaluate")[0]
    mlproj("run", folder, "-e", "train", "-P", "a=two")
    hit, told = reused(mlproj, folder, "-e", "evaluate")
    assert not hit
    assert "model, an output of train: another one" in told


def test_an_ignored_manifest_counts(mlproj: Any, look: Any) -> None:
    folder = look(ignored="mlproj.yaml\n")
    assert not reused(mlproj, folder)[0]
    assert reused(mlproj, folder)[0]
    (folder / "mlproj.yaml").write_text(MANIFEST.replace("[python, look.py]", "[python, look.py, look.py]"))
    hit, told = reused(mlproj, folder)
    assert not hit
    assert "manifest: another one" in told


def test_changes_beside_a_project_within_a_repository(mlproj: Any, look: Any) -> None:
    folder = look(**{"common.py": "V = 1\n", "part/look.py": READS, "part/mlproj.yaml": MANIFEST})
    assert not reused(mlproj, folder / "part")[0]
    assert reused(mlproj, folder / "part")[0]
    (folder / "common.py").write_text("V = 2\n")
    hit, told = reused(mlproj, folder / "part")
    assert not hit
    assert "changes outside of the project's folder are not recorded: /common.py" in told
    assert json.loads(mlproj("show", "@last", "--json").stdout)["source"]["left_out"] == ["/common.py"]


@pytest.mark.parametrize("in_git", [True, False])
def test_a_link_that_leads_outside(mlproj: Any, look: Any, tmp_path: Path, in_git: bool) -> None:
    (tmp_path / "outside.txt").write_text("1")
    folder = look(MANIFEST.replace("look.py]", "look.py, data.txt]"))
    (folder / "data.txt").symlink_to(tmp_path / "outside.txt")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "link")
    if not in_git:
        shutil.rmtree(folder / ".git")
    mlproj("run", folder)
    hit, told = reused(mlproj, folder)
    assert not hit
    assert "links in the project lead outside of it: data.txt" in told


def test_the_program_that_is_found_and_what_python_imports(mlproj: Any, look: Any, tmp_path: Path) -> None:
    folder = look(MANIFEST.replace("[python, look.py]", "[mytool]"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mytool").write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name / "mytool").chmod(0o755)
    path = os.environ["PATH"]
    first, second = ({"PATH": f"{tmp_path / name}{os.pathsep}{path}"} for name in ("one", "two"))
    assert not reused(mlproj, folder, env=first)[0]
    assert reused(mlproj, folder, env=first)[0]
    assert not reused(mlproj, folder, env=second)[0]
    hit, told = reused(mlproj, folder, env={**first, "PYTHONPATH": str(tmp_path)})
    assert not hit
    assert "$PYTHONPATH leads outside of the project" in told


def test_a_time_for_files_that_the_caller_sets(mlproj: Any, look: Any) -> None:
    folder = look()
    mlproj("run", folder, env={"SOURCE_DATE_EPOCH": "5"})
    assert not reused(mlproj, folder)[0]
    assert not reused(mlproj, folder, env={"SOURCE_DATE_EPOCH": "7"})[0]
    assert reused(mlproj, folder, env={"SOURCE_DATE_EPOCH": "5"})[0]


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_file_that_a_uri_names(mlproj: Any, look: Any, tmp_path: Path, form: str) -> None:
    data = tmp_path / "data.txt"
    data.write_text("1")
    folder = look(MANIFEST.replace("look.py]}", "look.py], parameters: {data: {type: uri}}}"))
    words = ("-P", f"data={form.format(data)}")
    assert not reused(mlproj, folder, *words)[0]
    assert reused(mlproj, folder, *words)[0]
    data.write_text("2")
    assert not reused(mlproj, folder, *words)[0]


def test_files_that_git_is_told_to_look_away_from(mlproj: Any, look: Any) -> None:
    folder = look()
    mlproj("run", folder)
    git(folder, "update-index", "--assume-unchanged", "look.py")
    (folder / "look.py").write_text("print('another')\n")
    hit, told = reused(mlproj, folder)
    assert not hit
    assert "to look away from changes: look.py" in told


def test_what_is_beside_the_outputs_that_are_put_back_is_named(mlproj: Any, look: Any) -> None:
    manifest = """\
environment: {system: {}}
entry_points:
  main:
    command: [python, -c, "import os, sys; os.makedirs('model', exist_ok=True); open('model/' + sys.argv[1], 'w')", "{a}"]
    parameters: {a: {type: str}}
    outputs: {model: model/}
"""
    folder = look(manifest, ignored="model\n")
    mlproj("run", folder, "-P", "a=one")
    shutil.rmtree(folder / "model")
    mlproj("run", folder, "-P", "a=two")
    hit, told = reused(mlproj, folder, "-P", "a=one")
    assert hit
    assert "has none of them: model/two" in told
    assert (folder / "model" / "one").exists()
    assert not (folder / ".mlproj").exists()


def test_a_folder_that_was_empty_is_there_again(mlproj: Any, look: Any) -> None:
    folder = look(MANIFEST.replace("[python, look.py]", "[mkdir, -p, out], outputs: {out: out/}"))
    mlproj("run", folder)
    (folder / "out").rmdir()
    assert reused(mlproj, folder)[0]
    assert (folder / "out").is_dir()


def test_a_reproduction_stands_for_no_run(mlproj: Any, look: Any) -> None:
    folder = look()
    mlproj("run", folder)
    first = json.loads(mlproj("show", "@last", "--json").stdout)["id"]
    assert mlproj("reproduce", "@last").returncode == 0
    hit, told = reused(mlproj, folder)
    assert hit
    assert first[:12] in told


def test_a_package_that_is_installed_as_it_is_elsewhere(mlproj: Any, look: Any, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "backend.py").write_bytes(Path(wheels.__file__).read_bytes())
    (library / "about.txt").write_text("name=quince\nversion=1.0\n")
    (library / "pyproject.toml").write_text(
        '[project]\nname = "quince"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (library / "quince.py").write_text("")
    manifest = MANIFEST.replace("{system: {}}", "{virtualenv: {requirements: requirements.txt}}")
    folder = look(manifest, **{"requirements.txt": f"-e {library}\n"})
    assert not reused(mlproj, folder)[0]
    hit, told = reused(mlproj, folder)
    assert not hit
    assert "packages are installed as they are in folders outside of the project" in told


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("environment: [ALPHA]", "its container has variables of the caller's: ALPHA"),
        ("volumes: ['OUTSIDE:/data:ro']", "its container has folders or volumes that are no part of the project"),
        ("volumes: ['data:/data']", "its container has folders or volumes that are no part of the project: data"),
    ],
)
def test_what_a_container_has_of_the_machine(
    mlproj: Any, look: Any, engine: Engine, tmp_path: Path, declared: str, told: str
) -> None:
    declared = declared.replace("OUTSIDE", str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    manifest = MANIFEST.replace("{system: {}}", f"{{docker: {{image: '{PYTHON_IMAGE}', {declared}}}}}")
    script = "import os; open('out.txt', 'w').write(os.environ.get('ALPHA', ''))\n"
    folder = look(manifest.replace("look.py]", "look.py], outputs: {out: out.txt}"), script)
    for _ in range(2):
        hit, said = reused(mlproj, folder, env={"ALPHA": "1"})
        assert not hit
        assert told in said
    if "ALPHA" in declared:
        again = mlproj("reproduce", "@last", env={"ALPHA": "2"})
        assert again.returncode == 1
        assert "variables of the caller's, whose values no record holds, may be others: ALPHA" in again.stdout
    if "data:/data'" in declared:
        engine.client.remove_volume("data")


def test_a_container_of_the_project_alone_is_reused(mlproj: Any, look: Any, engine: Engine) -> None:
    folder = look(MANIFEST.replace("{system: {}}", f"{{docker: {{image: '{PYTHON_IMAGE}', volumes: ['./in:/in']}}}}"))
    mlproj("run", folder)
    assert reused(mlproj, folder)[0]


def test_what_was_below_an_output_already_is_neither_overlooked_nor_put_back(mlproj: Any, look: Any) -> None:
    folder = look(
        MANIFEST.replace("[python, look.py]", "[cp, config.json, out.json], outputs: {o: '*.json'}"),
        ignored="out.json\n",
        **{"config.json": "1"},
    )
    mlproj("run", folder)
    assert reused(mlproj, folder)[0]
    (folder / "config.json").write_text("2")
    hit, told = reused(mlproj, folder)
    assert not hit
    assert "it found another config.json" in told
    assert (folder / "config.json").read_text() == (folder / "out.json").read_text() == "2"


@pytest.mark.parametrize("in_git", [True, False])
def test_a_glob_of_an_output_does_not_reach_into_folders(mlproj: Any, look: Any, in_git: bool) -> None:
    command = "[cp, data/train.csv, out.csv], outputs: {o: '*.csv'}"
    folder = look(MANIFEST.replace("[python, look.py]", command), ignored="/out.csv\n", **{"data/train.csv": "1"})
    if not in_git:
        shutil.rmtree(folder / ".git")
    mlproj("run", folder)
    assert reused(mlproj, folder)[0]
    (folder / "data" / "train.csv").write_text("2")
    assert not reused(mlproj, folder)[0]


def test_an_output_that_two_entry_points_write(mlproj: Any, look: Any) -> None:
    manifest = """\
environment: {system: {}}
entry_points:
  train: {command: [python, -c, "import sys; open('model', 'w').write(sys.argv[1])", "{a}"], parameters: {a: {type: str}}, outputs: {m: model}}
  tune: {command: [python, -c, "open('model', 'a').write(' tuned')"], outputs: {m: model}}
"""
    folder = look(manifest, ignored="model\n")
    mlproj("run", folder, "-e", "train", "-P", "a=1")
    assert not reused(mlproj, folder, "-e", "tune")[0]
    mlproj("run", folder, "-e", "train", "-P", "a=2")
    assert not reused(mlproj, folder, "-e", "tune")[0]
    assert (folder / "model").read_text() == "2 tuned"


def test_what_is_on_standard_input(mlproj: Any, look: Any) -> None:
    folder = look(MANIFEST.replace("[python, look.py]", "[sh, -c, 'cat > out'], outputs: {o: out}"), ignored="out\n")
    words = [sys.executable, "-m", "mlproj", "run", str(folder), "--reuse"]
    for content in ("1", "2"):
        reader, writer = os.pipe()
        os.write(writer, content.encode())
        os.close(writer)
        done = subprocess.run(words, stdin=reader, capture_output=True, text=True)
        os.close(reader)
        assert "something on its standard input" in done.stderr
        assert (folder / "out").read_text() == content
    assert json.loads(mlproj("show", "@last", "--json").stdout)["result_key"] is None


def test_a_program_of_the_project_that_git_ignores(mlproj: Any, look: Any) -> None:
    folder = look(MANIFEST.replace("[python, look.py]", "[bin/tool]"), ignored="bin/\n", **{"bin/tool": "#!/bin/sh\n"})
    (folder / "bin" / "tool").chmod(0o755)
    mlproj("run", folder)
    assert reused(mlproj, folder)[0]
    (folder / "bin" / "tool").write_text("#!/bin/sh\necho another\n")
    hit, told = reused(mlproj, folder)
    assert not hit
    assert "program bin/tool: another one" in told


def test_python_path_of_the_manifest_that_leads_outside(mlproj: Any, look: Any, tmp_path: Path) -> None:
    folder = look(MANIFEST.replace("look.py]", f"look.py], environment_variables: {{PYTHONPATH: '{tmp_path}'}}"))
    mlproj("run", folder)
    assert "$PYTHONPATH leads outside" in reused(mlproj, folder)[1]


def test_a_repository_within_it_without_being_a_submodule(mlproj: Any, look: Any) -> None:
    folder = look()
    inner = folder / "lib"
    inner.mkdir()
    (inner / "x").write_text("1")
    git(inner, "init", "-q")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "all")
    git(folder, "add", "lib")
    git(folder, "commit", "-qm", "lib")
    mlproj("run", folder)
    assert reused(mlproj, folder)[0]
    (inner / "x").write_text("2")
    assert "repositories within it have changes" in reused(mlproj, folder)[1]


def test_a_change_of_the_same_size_in_the_moment_of_the_commit_is_in_the_patch(mlproj: Any, look: Any) -> None:
    folder = look(
        MANIFEST.replace("[python, look.py]", "[cp, cfg, out], outputs: {o: out}"), ignored="out\n", cfg="1\n"
    )
    git(folder, "commit", "-q", "--amend", "-m", "again")
    (folder / "cfg").write_text("1\n")
    git(folder, "add", "-A")
    (folder / "cfg").write_text("2\n")
    (folder / "new.txt").write_text("")
    time.sleep(1.1)  # the copy that was made of git's index had this moment's time, so that nothing looked racy in it
    mlproj("run", folder)
    run = json.loads(mlproj("show", "@last", "--json").stdout)["id"]
    assert "+2" in (Path(os.environ["MLPROJ_HOME"]) / "runs" / run / "source.patch").read_text()
    assert mlproj("reproduce", "@last").returncode == 0
