"""What git says of a project, in every state a repository is found in; and what a hostile one must not do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlproj.sources import take_snapshot
from mlproj.sources.fetching import Fetching
from mlproj.sources.git.patches import LARGEST_UNTRACKED_FILE
from mlproj.sources.git.remotes import remote_without_credentials
from mlproj.sources.git.working_tree import commit_facts
from mlproj.sources.recorded import RecordedSource, recreate


def git(folder: Path, *arguments: str | Path, **variables: str) -> str:
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **variables}
    for role in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "ada@example.org"}
    command = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", *map(str, arguments)]
    finished = subprocess.run(command, cwd=folder, env={**os.environ, **identity}, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("print(1)\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def restored(repository: Path, tmp_path: Path) -> Path:
    """The project as commit and patch bring it back somewhere else."""
    snapshot = take_snapshot(str(repository))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", repository, clone)
    if snapshot.patch:
        (tmp_path / "source.patch").write_bytes(snapshot.patch)
        git(clone, "apply", "--binary", tmp_path / "source.patch")
    return clone


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:hunter2@example.org/wine.git")
    snapshot = take_snapshot(str(repository))
    assert snapshot.commit == git(repository, "rev-parse", "HEAD")
    assert (snapshot.kind, snapshot.branch, snapshot.dirty, snapshot.patch) == ("git", "main", False, b"")
    assert snapshot.remote == "https://example.org/wine.git"
    assert commit_facts(repository).author == "Ada <ada@example.org>"
    assert commit_facts(repository).committed_at == int(git(repository, "log", "-1", "--format=%ct"))
    assert commit_facts(repository).tree == git(repository, "rev-parse", "HEAD^{tree}")


def test_a_file_of_the_project_stands_for_its_folder(repository: Path) -> None:
    assert take_snapshot(str(repository / "train.py")).folder == repository


def test_a_dirty_tree_comes_back_from_commit_and_patch(repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("print(2)\n")
    (repository / "new").mkdir()
    (repository / "new" / "ünïcode name.txt").write_text("new\n")
    (repository / "new" / "-x").write_bytes(bytes(range(256)))
    (repository / "run.log").write_text("ignored")
    before = git(repository, "status", "--porcelain")
    clone = restored(repository, tmp_path)
    assert (clone / "train.py").read_text() == "print(2)\n"
    assert (clone / "new" / "ünïcode name.txt").read_text() == "new\n"
    assert (clone / "new" / "-x").read_bytes() == bytes(range(256))
    assert not (clone / "run.log").exists()
    assert git(repository, "status", "--porcelain") == before


def test_deleted_and_staged_files_are_in_the_patch(repository: Path, tmp_path: Path) -> None:
    (repository / "staged.py").write_text("s\n")
    git(repository, "add", "staged.py")
    (repository / "train.py").unlink()
    clone = restored(repository, tmp_path)
    assert (clone / "staged.py").exists()
    assert not (clone / "train.py").exists()


def test_a_subfolder_has_its_own_dirt(repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "sub" / "a.py").write_text("a\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "sub")
    (repository / "train.py").write_text("changed outside\n")
    snapshot = take_snapshot(str(repository / "sub"))
    assert (snapshot.subdirectory, snapshot.dirty) == ("sub", False)


def test_large_untracked_files_are_left_out_and_named(repository: Path) -> None:
    with (repository / "data.bin").open("wb") as stream:
        stream.truncate(LARGEST_UNTRACKED_FILE + 1)
    snapshot = take_snapshot(str(repository))
    assert (snapshot.dirty, snapshot.left_out) == (True, ("data.bin",))


def test_what_runs_leave_does_not_make_it_dirty(repository: Path) -> None:
    for name in ("model/deep/weights", "plots/a.png", "metrics.json"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("left by a run")
    outputs = ["model/", "plots/*.png", "metrics.json"]
    assert take_snapshot(str(repository), outputs).dirty is False
    (repository / "plots" / "notes.txt").write_text("n")
    snapshot = take_snapshot(str(repository), outputs)
    assert b"notes.txt" in snapshot.patch
    assert b"left by a run" not in snapshot.patch


def test_two_different_changes_have_two_digests(repository: Path) -> None:
    (repository / "train.py").write_text("print(2)\n")
    first = take_snapshot(str(repository)).digest
    (repository / "train.py").write_text("print(3)\n")
    assert take_snapshot(str(repository)).digest != first


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("a\n")
    snapshot = take_snapshot(str(tmp_path))
    assert snapshot.commit is None
    assert "no commit yet" in snapshot.notes[0]
    assert b"+a" in snapshot.patch


def test_a_detached_head_a_worktree_a_shallow_clone_and_a_submodule(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "--detach", tmp_path / "tree")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    git(tmp_path, "clone", "-q", repository, "outer")
    git(tmp_path / "outer", "submodule", "--quiet", "add", str(repository), "inner")
    git(tmp_path / "outer", "commit", "-qm", "submodule")
    commit = git(repository, "rev-parse", "HEAD")
    detached = take_snapshot(str(tmp_path / "tree"))
    assert (detached.commit, detached.branch) == (commit, None)
    assert take_snapshot(str(tmp_path / "shallow")).commit == commit
    assert take_snapshot(str(tmp_path / "outer" / "inner")).commit == commit
    assert take_snapshot(str(tmp_path / "outer")).dirty is False


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_somebody_else_is_identified_by_its_content(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    os.chown(repository, 65534, 65534)
    os.chown(repository / ".git", 65534, 65534)
    snapshot = take_snapshot(str(repository))
    assert snapshot.kind == "folder"
    assert "dubious ownership" in snapshot.notes[0]
    assert snapshot.digest


def test_without_git_the_content_is_the_identity(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    snapshot = take_snapshot(str(repository))
    assert snapshot.kind == "folder"
    assert "git is not installed" in snapshot.notes[0]


def test_a_broken_repository_runs_as_a_folder(repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text("rubbish")
    assert take_snapshot(str(repository)).kind == "folder"


def test_nothing_that_a_repository_configures_is_executed(repository: Path, tmp_path: Path) -> None:
    witness = tmp_path / "pwned"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch '{witness}'\ncat\n")
    evil.chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "attributes")
    for key in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand",
        "diff.external", "diff.evil.command", "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge",
        "filter.evil.process", "pager.status", "pager.diff", "pager.log", "gpg.program", "alias.status", "alias.diff",
        "uploadpack.packObjectsHook", "credential.helper", "interactive.diffFilter",
    ):  # fmt: skip
        git(repository, "config", key, str(evil) if "alias" not in key else f"!{evil}")
    git(repository, "config", "filter.evil.required", "true")
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
    (tmp_path / "hooks").mkdir()
    for hook in ("post-index-change", "pre-commit", "post-checkout", "fsmonitor-watchman", "reference-transaction"):
        (tmp_path / "hooks" / hook).symlink_to(evil)
    (repository / "train.py").write_text("print('changed')\n")
    (repository / "untracked.py").write_text("new\n")
    os.utime(repository / ".gitignore")
    snapshot = take_snapshot(str(repository))
    commit_facts(repository)
    assert snapshot.dirty
    assert b"changed" in snapshot.patch
    assert b"untracked.py" in snapshot.patch
    assert not witness.exists()


def test_git_variables_of_a_caller_do_not_point_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other-index"))
    assert take_snapshot(str(repository)).commit == git(
        repository, "rev-parse", "HEAD", GIT_DIR=str(repository / ".git")
    )


@pytest.mark.parametrize(
    ("remote", "recorded"),
    [
        ("https://me:token@example.org/a.git", "https://example.org/a.git"),
        ("https://ghp_token@example.org/a.git", "https://example.org/a.git"),
        ("https://example.org/a.git?token=x", "https://example.org/a.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("ssh://git@example.org/a.git", "ssh://git@example.org/a.git"),
        ("ssh://me:pw@example.org/a.git", "ssh://example.org/a.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
        ("https://me:pw@[bad/a.git", "https://[bad/a.git"),
    ],
)
def test_remotes_are_recorded_without_credentials(remote: str, recorded: str) -> None:
    assert remote_without_credentials(remote) == recorded


def test_a_virtual_environment_that_git_does_not_track_is_no_change(repository: Path) -> None:
    (repository / ".venv" / "lib").mkdir(parents=True)
    (repository / ".venv" / "lib" / "x.py").write_text("x\n")
    assert not take_snapshot(str(repository)).dirty


def test_changes_in_a_submodule_are_said_not_to_be_recorded(repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "lib.py").write_text("x = 1\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first")):
        git(library, *words)
    git(repository, "submodule", "add", "-q", library, "lib")
    git(repository, "commit", "-qm", "with a submodule")
    assert take_snapshot(str(repository)).left_out == ()
    (repository / "lib" / "lib.py").write_text("x = 2\n")
    snapshot = take_snapshot(str(repository))
    assert snapshot.left_out == ("lib",)
    assert "the changes in the submodule `lib` are not recorded" in snapshot.notes


def brought_back(repository: Path, tmp_path: Path) -> Path:
    """The project as mlproj brings it back from commit and patch."""
    snapshot = take_snapshot(str(repository))
    recorded = RecordedSource("git", repository, snapshot.commit, dirty=True, patch=snapshot.patch)
    return recreate(recorded, Fetching(cache=tmp_path / "cache")).folder


@pytest.mark.parametrize(
    "setting",
    [
        *("diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.srcPrefix=x/", "diff.context=0", "core.abbrev=4"),
        *("diff.algorithm=patience", "diff.interHunkContext=9", "diff.suppressBlankEmpty=true", "diff.relative=true"),
        *("diff.indentHeuristic=false", "color.diff=always", "diff.renames=copies", "diff.submodule=log"),
        *("apply.whitespace=fix", "diff.orderFile=order"),
    ],
)
def test_what_a_user_has_configured_changes_no_patch(
    repository: Path, tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "order").write_text("z.py\n")
    (repository / "train.py").write_text("".join(f"a {number}\n\n" for number in range(30)))
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    (repository / "z.py").write_text("trailing \t\n")
    (repository / "train.py").write_text((repository / "train.py").read_text().replace("a 3\n", "b\n"))
    plain = take_snapshot(str(repository)).patch
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    git(tmp_path, "config", "--file", "gitconfig", *setting.split("=", 1))
    assert take_snapshot(str(repository)).patch == plain
    folder = brought_back(repository, tmp_path)
    assert (folder / "z.py").read_text() == "trailing \t\n"
    assert (folder / "train.py").read_text() == (repository / "train.py").read_text()


def test_a_variable_of_gits_changes_no_patch_either(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "train.py").write_text("print(2)\nprint(3)\n")
    plain = take_snapshot(str(repository)).patch
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    assert take_snapshot(str(repository)).patch == plain


@pytest.mark.parametrize(
    "attributes",
    ["", "* text=auto", "* text eol=crlf", "* text eol=lf", "* ident", "*.dat working-tree-encoding=latin-1"],
)
@pytest.mark.parametrize("autocrlf", ["false", "true", "input"])
def test_changes_come_back_byte_for_byte(repository: Path, tmp_path: Path, attributes: str, autocrlf: str) -> None:
    (repository / ".gitattributes").write_text(f"{attributes}\n")
    for name in ("lf", "crlf", "mixed", "id", "latin", "gone", "run me"):
        (repository / f"{name}.dat").write_text("a\nb\n")
    (repository / "link.dat").symlink_to("lf.dat")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    git(repository, "config", "core.autocrlf", autocrlf)
    contents = {
        "lf.dat": b"a\nb\nc\n",
        "crlf.dat": b"a\r\nb\r\nc\r\n",
        "mixed.dat": b"a\r\nb\nc",
        "id.dat": b"$Id: of another $\nb\n",
        "latin.dat": "gr\u00fc\u00df\n".encode("latin-1"),
        'new "one".dat': b"a\r\n",
        "staged.dat": b"a\r\nb\r\n",
        "line\nbreak.dat": b"a\r\nb\n",
    }
    for name, content in contents.items():
        (repository / name).write_bytes(content)
    git(repository, "-c", "core.safecrlf=false", "add", "staged.dat")
    (repository / "gone.dat").unlink()
    (repository / "link.dat").unlink()
    (repository / "link.dat").symlink_to("staged.dat")
    (repository / "run me.dat").chmod(0o755)
    index = (repository / ".git" / "index").read_bytes()
    folder = brought_back(repository, tmp_path)
    assert {name: (folder / name).read_bytes() for name in contents} == contents
    assert not (folder / "gone.dat").exists()
    assert (folder / "link.dat").readlink() == Path("staged.dat")
    assert os.access(folder / "run me.dat", os.X_OK)
    assert (repository / ".git" / "index").read_bytes() == index
    assert not (folder / ".git" / "info" / "attributes").exists()


@pytest.mark.parametrize("where", ["without a commit", "in a linked work tree", "in a folder of it"])
def test_so_they_do_from_other_places(repository: Path, tmp_path: Path, where: str) -> None:
    (repository / ".gitattributes").write_text("* text eol=crlf\n")
    (repository / "sub").mkdir()
    (repository / "sub" / "old.dat").write_text("a\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    if where == "without a commit":
        git(repository, "update-ref", "-d", "HEAD")
    elif where == "in a linked work tree":
        git(repository, "worktree", "add", "-q", tmp_path / "linked")
        repository = tmp_path / "linked"
    for name in ("sub/old.dat", "sub/new.dat"):
        (repository / name).write_bytes(b"a\nb\r\n")
    project = repository / "sub" if where == "in a folder of it" else repository
    snapshot = take_snapshot(str(project))
    recorded = RecordedSource(
        "git", project, snapshot.commit, subdirectory=snapshot.subdirectory, dirty=True, patch=snapshot.patch
    )
    folder = recreate(recorded, Fetching(cache=tmp_path / "cache")).folder
    folder = folder.parent if where == "in a folder of it" else folder
    assert (folder / "sub" / "old.dat").read_bytes() == b"a\nb\r\n"
    assert (folder / "sub" / "new.dat").read_bytes() == b"a\nb\r\n"


def test_what_a_filter_of_the_users_makes_of_a_file_stays_so(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text('[filter "upper"]\n\tclean = tr a-z A-Z\n\tsmudge = tr A-Z a-z\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    (repository / ".gitattributes").write_text("*.dat filter=upper text\n")
    (repository / "old.dat").write_text("a\n")
    git(repository, "add", ".", GIT_CONFIG_GLOBAL=str(settings))
    git(repository, "commit", "-qm", "second")
    (repository / "old.dat").write_text("a\nb\n")
    assert b"+B\n" in take_snapshot(str(repository)).patch


def test_that_line_ends_are_converted_is_told(repository: Path) -> None:
    assert take_snapshot(str(repository)).notes == ()
    git(repository, "config", "core.autocrlf", "true")
    assert "core.autocrlf is set" in take_snapshot(str(repository)).notes[0]
