"""Files kept by Git LFS: within the limits, from servers only, and without a git-lfs as their pointers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlproj.errors import SourceError
from tests.sources.git_servers import Fetcher, GitServer, commit, git, git_server

CONTENT = b"weights " * 2000


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    if shutil.which("git-lfs") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to have git-lfs (Debian's git-lfs)")
        pytest.skip("git-lfs is not installed")
    folder = tmp_path / "served" / "wine"
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "lfs", "install", "--local")
    git(folder, "lfs", "track", "*.bin")
    (folder / "model.bin").write_bytes(CONTENT)
    (folder / "sub").mkdir()
    (folder / "sub" / "other.bin").write_bytes(CONTENT[::-1])
    commit(folder, {"train.py": "1"})
    return folder


@pytest.fixture
def server(repo: Path) -> Iterator[GitServer]:
    with git_server(repo.parent) as running:
        yield running


def test_the_content_counts_and_not_the_pointers(repo: Path, git_fetch: Fetcher) -> None:
    for uri, revision in ((f"file://{repo}", None), (str(repo), "main")):
        with pytest.raises(SourceError, match="the repository comes to more than"):
            git_fetch(uri, revision, unpack_limit=len(CONTENT))
        snapshot = git_fetch(uri, revision, unpack_limit=3 * len(CONTENT))
        assert (snapshot.folder / "model.bin").read_bytes() == CONTENT
        assert (snapshot.folder / "sub" / "other.bin").read_bytes() == CONTENT[::-1]
        assert git(snapshot.folder, "status", "--porcelain", "train.py") == ""
    assert "fetching 2 files of wine by Git LFS" in git_fetch.said


@pytest.mark.parametrize("setting", ["lfs.url", "remote.origin.lfsurl"])
def test_a_server_s_repository_names_no_store_on_this_machine(
    repo: Path, server: GitServer, git_fetch: Fetcher, setting: str
) -> None:
    for place in (f"file://{repo}", str(repo), "../wine", "-oProxyCommand=x@host:y"):
        git(repo, "config", "--file", repo / ".lfsconfig", setting, place)
        commit(repo, {}, place)
        with pytest.raises(SourceError, match=r"`\.lfsconfig` has files fetched from"):
            git_fetch(f"{server.url}/wine/.git")


def test_a_lfsconfig_that_is_a_link(repo: Path, server: GitServer, git_fetch: Fetcher) -> None:
    (repo / ".lfsconfig").symlink_to("/etc/passwd")
    commit(repo, {})
    with pytest.raises(SourceError, match="is a link"):
        git_fetch(f"{server.url}/wine/.git")


@pytest.mark.parametrize("own", [True, False])
def test_a_user_s_filter_without_a_git_lfs(
    repo: Path, git_fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    (tmp_path / "gitconfig").write_text(
        '[filter "lfs"]\n\tprocess = git-lfs filter-process\n\tsmudge = git-lfs smudge -- %f\n'
        "\tclean = git-lfs clean -- %f\n\trequired = true\n"
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh", "git-upload-pack"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    snapshot = git_fetch(str(repo), "main") if own else git_fetch(f"file://{repo}")
    (note,) = snapshot.notes
    assert "2 files kept by Git LFS came as the pointer only" in note
    assert git(snapshot.folder, "status", "--porcelain") == ""


def test_a_server_that_gives_nothing(repo: Path, git_fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlproj.sources.git.lfs.LONGEST_SILENCE", 1)
    others = psutil.Process().children()  # servers of other tests
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never answers
        place = f"http://127.0.0.1:{listening.getsockname()[1]}/lfs"
        git(repo, "config", "--file", repo / ".lfsconfig", "lfs.url", place)
        commit(repo, {})
        with pytest.raises(SourceError, match="Git LFS could not be had .*given nothing for 1 seconds"):
            git_fetch(f"file://{repo}")
    assert [each for each in psutil.Process().children() if each not in others] == []


def test_no_git_lfs_outlives_an_interrupt(repo: Path, tmp_path: Path, git_fetch: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never answers
        place = f"http://127.0.0.1:{listening.getsockname()[1]}/lfs"
        git(repo, "config", "--file", repo / ".lfsconfig", "lfs.url", place)
        commit(repo, {})
        program = (
            "import sys; from pathlib import Path; from mlproj.sources import Fetching, take_snapshot\n"
            "take_snapshot(sys.argv[1], (), Fetching(cache=Path(sys.argv[2])))"
        )
        argv = [sys.executable, "-c", program, f"file://{repo}", str(git_fetch.cache)]
        running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        connection, _ = listening.accept()
        started = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        running.wait(30)
        _, alive = psutil.wait_procs(started, timeout=10)
        connection.close()
    assert started
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    assert not [*git_fetch.cache.glob("trees/*")]
