"""`mlproj run` of what is fetched: git URLs and archives, from the command line to the record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlproj

from .conftest import MANIFEST, TRAIN


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the project in `sub.dir/p x`: at `v1` as it is, at its tip with another default."""
    top = tmp_path / "wine"
    folder = top / "sub.dir" / "p x"
    folder.mkdir(parents=True)
    git(top, "init", "-q", "-b", "main")
    (folder / "mlproj.yaml").write_text(MANIFEST)
    (folder / "train.py").write_text(TRAIN)
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    git(top, "tag", "v1")
    (folder / "mlproj.yaml").write_text(MANIFEST.replace("default: 0.5", "default: 0.7"))
    git(top, "commit", "-q", "-a", "-m", "second")
    monkeypatch.chdir(tmp_path)
    return top


@pytest.fixture
def cache(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MLPROJ_CACHE", str(folder))
    return folder


def trees(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "trees").glob("*") if path.is_dir())


def test_a_tag_of_a_git_url_and_a_folder_in_it(cli: Any, repository: Path, cache: Path) -> None:
    done = cli("run", f"file://{repository}#sub.dir/p x", "--rev", "v1", "-e", "train", "--json")
    assert done.status == 0, done.err
    record = done.json
    assert record["parameters"]["alpha"] == 0.5
    assert [file["path"] for each in record["outputs"] for file in each["files"]] == ["model/weights.txt"]
    source = record["source"]
    assert (source["kind"], source["commit"]) == ("git", git(repository, "rev-parse", "v1"))
    assert (source["revision"], source["subdirectory"], source["dirty"]) == ("v1", "sub.dir/p x", False)
    assert (source["remote"], source["author"]) == (f"file://{repository}", "Ada <ada@example.org>")
    assert trees(cache) == []
    assert git(repository, "status", "--porcelain") == ""
    shown = cli("show", record["id"][:12]).out
    assert f"from      file://{repository}#sub.dir/p x" in shown


def test_mlflows_name_for_the_revision_and_the_branch_of_the_moment(cli: Any, repository: Path, cache: Path) -> None:
    url = f"file://{repository}#sub.dir/p x"
    assert cli("run", url, "-v", "v1", "-e", "train", "--json").json["parameters"]["alpha"] == 0.5
    assert cli("run", url, "--version", "main", "-e", "train", "--json").json["parameters"]["alpha"] == 0.7
    latest = cli("run", url, "-e", "train", "--json").json
    assert (latest["parameters"]["alpha"], latest["source"]["branch"]) == (0.7, "main")
    shutil.move(repository, repository.with_name("moved"))
    offline = cli("run", url, "-e", "train", "--offline", "--json").json
    assert offline["source"]["commit"] == latest["source"]["commit"]
    assert "--offline was given" in " ".join(offline["source"]["notes"])


def test_another_revision_of_the_own_folder_leaves_it_as_it_is(cli: Any, repository: Path, cache: Path) -> None:
    folder = repository / "sub.dir" / "p x"
    (folder / "train.py").write_text("raise SystemExit('the changed one')")
    done = cli("run", folder, "--rev", "v1", "-e", "train", "-P", "alpha=0.2")
    assert (done.status, done.out.startswith("trained")) == (0, True), done.err
    assert (folder / "train.py").read_text() == "raise SystemExit('the changed one')"
    assert not (folder / "model").exists()


def test_a_tree_is_kept_when_that_is_asked_for(cli: Any, repository: Path, cache: Path) -> None:
    done = cli("run", repository / "sub.dir" / "p x", "--rev", "v1", "-e", "train", "--keep-tree")
    assert "the project's tree is kept in" in done.err
    (kept,) = [path for path in (cache / "kept-trees").iterdir() if path.is_dir()]
    assert (kept / "sub.dir" / "p x" / "model" / "weights.txt").read_text() == "alpha=0.5"


def test_credentials_of_the_address_are_nowhere(
    cli: Any, repository: Path, cache: Path, own_home: Path, tmp_path: Path
) -> None:
    secret = "s3cr3t-of-the-address"
    done = cli("run", f"http://ada:{secret}@127.0.0.1:9/wine.git", "--rev", "v1")
    assert done.status == 2
    assert secret not in done.out + done.err
    for folder in (own_home, cache):
        assert not [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        assert not [path for path in folder.rglob("*") if secret in path.name]


def test_an_archive_is_a_project(cli: Any, repository: Path, cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "wine-1.2.tar.gz"
    with tarfile.open(archive, "w:gz") as writer:
        writer.add(repository / "sub.dir", "wine-1.2")
    record = cli("run", f"{archive}#p x", "-e", "train", "--json").json
    source = record["source"]
    assert (source["kind"], source["remote"], source["subdirectory"]) == ("archive", str(archive), "p x")
    assert len(source["digest"]) == 64
    assert record["outputs"][0]["files"][0]["path"] == "model/weights.txt"
    assert trees(cache) == []
    refused = cli("run", f"{archive}#p x", "--rev", "v1")
    assert refused.status == 2
    assert cli("run", f"{archive}#p x", "-e", "train", "--unpack-limit", "10B").status == 2
    assert "--unpack-limit takes a size" in cli("run", archive, "--unpack-limit", "huge").err


def test_checking_and_asking_for_help_leave_no_tree(cli: Any, repository: Path, cache: Path) -> None:
    url = f"file://{repository}#sub.dir/p x"
    assert "✓" in cli("check", url).out
    assert cli("check", repository / "sub.dir" / "p x", "--rev", "v1").status == 0
    assert "alpha" in cli("run", url, "-e", "train", "--help").out
    plan = cli("run", url, "--rev", "v1", "-e", "train", "--dry-run", "--json").json
    assert (plan["source"]["revision"], plan["project"]) == ("v1", "wine")
    assert trees(cache) == []


def test_a_run_that_cannot_begin_leaves_no_tree(cli: Any, repository: Path, cache: Path) -> None:
    url = f"file://{repository}#sub.dir/p x"
    assert cli("run", url, "-e", "trian").status == 2
    assert cli("run", url, "-e", "train", "-P", "alpha=x").status == 2
    assert cli("run", url, "-e", "fail").status == 3
    assert cli("run", f"file://{repository}#nowhere").status == 2
    assert trees(cache) == []


def test_where_a_fetched_source_has_its_projects_is_said(cli: Any, repository: Path, cache: Path) -> None:
    done = cli("run", f"file://{repository}")
    assert done.status == 2
    assert f"no mlproj.yaml and no MLproject in `file://{repository}`" in done.err
    assert "There are projects in it: `#sub.dir/p x`." in done.err


def test_a_killed_runs_tree_is_cleared_away_by_the_next(
    cli: Any, start: Callable[..., Any], repository: Path, cache: Path
) -> None:
    url = f"file://{repository}#sub.dir/p x"
    running = start("run", url, "-e", "wait")
    assert running.stdout.readline().startswith("ready")
    (tree,) = trees(cache)
    # Another run of the same commit at the same time has a tree of its own.
    assert cli("run", url, "-e", "train").status == 0
    assert trees(cache) == [tree]
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert cli("run", url, "-e", "train").status == 0
    assert trees(cache) == []


def test_the_callers_git_session_is_not_the_trees(
    cli: Any, repository: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    top = tmp_path / "asks"
    top.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        (top / "MLproject").write_text("entry_points: {main: {command: git rev-parse --show-toplevel}}\n")
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b", *words], cwd=top, env=environ, check=True)
    done = cli("run", f"file://{top}", "--env-manager", "local")
    assert done.out.startswith(f"{cache}/trees/"), done.err


def test_a_tree_that_nothing_ran_in_is_not_kept(cli: Any, repository: Path, cache: Path) -> None:
    url = f"file://{repository}#sub.dir/p x"
    assert cli("run", url, "-e", "train", "--keep-tree", "--dry-run").status == 0
    assert cli("run", url, "-e", "train", "--keep-tree", "-P", "alpha=x").status == 2
    assert [path for path in (cache / "kept-trees").iterdir() if path.is_dir()] == []


def test_manifests_are_written_into_folders_of_this_machine(cli: Any) -> None:
    for command in ("migrate", "init"):
        done = cli(command, "https://ada:secret@host.example/r.git")
        assert (done.status, "secret" in done.err) == (2, False)
        assert "no folder `https://host.example/r.git`" in done.err
        mistyped = cli(command, "https//ada:secret@host.example/r.git")
        assert (mistyped.status, "secret" in mistyped.err) == (2, False)


def test_from_python(repository: Path, cache: Path, own_home: Path) -> None:
    run = mlproj.run(f"file://{repository}#sub.dir/p x", "train", {"alpha": 0.1}, revision="v1")
    assert (run.status, run.artifact("model").is_dir()) == ("finished", True)
    assert trees(cache) == []


def test_a_project_without_a_name_has_that_of_where_it_came_from(cli: Any, tmp_path: Path, cache: Path) -> None:
    top = tmp_path / "rosé.git"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    (top / "MLproject").write_text("entry_points: {main: {command: 'echo hello'}}\n")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    record = json.loads(cli("run", f"file://{top}", "--env-manager", "local", "--json").out)
    assert record["project"] == "rosé"
