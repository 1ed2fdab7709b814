"""Git sources on a machine that is out of order: no git, a broken one, a damaged or unwritable cache, an interrupt."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from mlproj.errors import SourceError
from mlproj.sources import Fetching, take_snapshot
from tests.sources.git_servers import Fetcher, commit, git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    commit(folder, {"train.py": "print(1)\n"})
    git(folder, "tag", "v1")
    commit(folder, {"train.py": "print(2)\n"})
    return folder


def test_a_broken_configuration_of_git_is_said_once(
    repo: Path, git_fetch: Fetcher, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"file://{repo}"
    git_fetch(address)
    git_fetch.release()
    (tmp_path / "gitconfig").write_text("[bogus\n")
    for asked in (None, "v1"):
        with pytest.raises(SourceError, match="git's own configuration cannot be read .*bad config line 1"):
            git_fetch(address, asked)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(("mode", "told"), [(0o755, "git cannot be started"), (0o644, "git cannot be started")])
def test_a_git_that_cannot_be_started(
    repo: Path, git_fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, told: str
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_bytes(b"\x00\x01 no program")
    program.chmod(mode)
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(SourceError, match=told):
        git_fetch(f"file://{repo}")


def test_a_git_that_is_killed(repo: Path, git_fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(SourceError, match="git was ended by signal 9"):
        git_fetch(f"file://{repo}")


def test_a_git_that_does_nothing(
    repo: Path, git_fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.symlink_to(str(shutil.which("true")))
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for revision in (None, "v1"):
        with pytest.raises(SourceError):
            git_fetch(f"file://{repo}", revision)


def test_nothing_is_said_at_a_terminal_before_git_may_have_asked(repo: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mlproj.sources import Fetching, take_snapshot\n"
        "take_snapshot(sys.argv[1], (), Fetching(cache=Path(sys.argv[2]), report=print))"
    )
    main, terminal = os.openpty()
    argv = [sys.executable, "-c", program, f"file://{repo}", str(tmp_path / "cache")]
    told = subprocess.run(argv, stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, text=True, check=True).stdout
    os.close(main)
    os.close(terminal)
    assert told.startswith("fetching origin: ")


@pytest.mark.parametrize("content", [b"<html>Log in</html>\n", b""])
def test_a_page_that_is_no_git_server(git_fetch: Fetcher, content: bytes) -> None:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:  # type: ignore[override]
            return

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        for revision in (None, "v1"):
            with pytest.raises(SourceError) as caught:
                git_fetch(f"http://127.0.0.1:{listening.server_address[1]}/x.git", revision)
            assert "no git server" in str(caught.value)
            assert "a login page" in (caught.value.hint or "")
    finally:
        listening.shutdown()
        listening.server_close()


def test_a_required_filter_that_is_missing(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    commit(repo, {".gitattributes": "*.py filter=tidy\n"})
    (tmp_path / "gitconfig").write_text('[filter "tidy"]\n\tsmudge = no-such-program\n\trequired = true\n')
    with pytest.raises(SourceError, match="a filter that git is configured to use failed"):
        git_fetch(f"file://{repo}")


@pytest.mark.parametrize("revision", [None, "v1"])
def test_a_cache_that_cannot_be_used(repo: Path, tmp_path: Path, revision: str | None) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file where a folder should be")
    for uri in (f"file://{repo}", str(repo)):
        if uri == str(repo) and revision is None:
            continue
        with pytest.raises(SourceError) as caught:
            take_snapshot(uri, (), Fetching(cache=cache, revision=revision))
        assert str(cache) in caught.value.message
        assert "MLPROJ_CACHE" in (caught.value.hint or "")


@pytest.mark.parametrize("ending", [".git", ".lock"])
def test_something_strange_in_the_cache(repo: Path, git_fetch: Fetcher, ending: str) -> None:
    git_fetch(f"file://{repo}")
    git_fetch.release()
    (mirror,) = git_fetch.cache.glob("repositories/*.git")
    shutil.rmtree(mirror)
    place = mirror.with_suffix(ending)
    place.unlink(missing_ok=True)
    place.touch() if ending == ".git" else place.mkdir()
    with pytest.raises(SourceError, match="the cache cannot be used"):
        git_fetch(f"file://{repo}")


def test_a_working_directory_that_is_gone(repo: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from mlproj.sources import Fetching, take_snapshot\n"
        "from mlproj.errors import SourceError\n"
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "print((take_snapshot(sys.argv[1], (), Fetching(cache=Path(sys.argv[2]))).folder / 'train.py').exists())\n"
        "for revision in (None, 'v1'):\n"
        "    try: take_snapshot('.', (), Fetching(cache=Path(sys.argv[2]), revision=revision))\n"
        "    except SourceError as error: print(error.message)\n"
    )
    argv = [sys.executable, "-c", program, f"file://{repo}", str(tmp_path / "cache")]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert told == ["True", *["the folder that mlproj was started in is not there any more"] * 2]


@pytest.mark.parametrize("uri", ["file:///" + "a" * 5000, "a/" * 5000 + "x", "~nobody-of-this-name/x"])
@pytest.mark.parametrize("revision", [None, "v1"])
def test_names_that_no_folder_can_have(git_fetch: Fetcher, uri: str, revision: str | None) -> None:
    with pytest.raises(SourceError):
        git_fetch(uri, revision)


@pytest.mark.parametrize(
    "damage",
    [
        lambda mirror: (mirror / "HEAD").write_text(""),
        lambda mirror: (mirror / "HEAD").unlink(),
        lambda mirror: shutil.rmtree(mirror / "refs"),
        lambda mirror: [shutil.rmtree(each) if each.is_dir() else each.unlink() for each in mirror.iterdir()],
        lambda mirror: (mirror / "packed-refs").write_text("rubbish\n"),
        lambda mirror: (mirror / "shallow").write_text("rubbish\n"),
        lambda mirror: (mirror / "shallow").write_text(""),
    ],
    ids=["empty HEAD", "no HEAD", "no refs", "nothing", "packed-refs", "shallow", "empty shallow"],
)
@pytest.mark.parametrize("refresh", [False, True])
def test_a_damaged_mirror_heals(repo: Path, git_fetch: Fetcher, damage, refresh: bool) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    git_fetch(f"file://{repo}")
    git_fetch.release()
    (mirror,) = git_fetch.cache.glob("repositories/*.git")
    damage(mirror)
    fetched = git_fetch(f"file://{repo}", "v1", refresh=refresh)
    assert (fetched.folder / "train.py").read_text() == "print(1)\n"


def test_a_refresh_without_a_network_keeps_what_is_there(repo: Path, git_fetch: Fetcher) -> None:
    known = git_fetch(f"file://{repo}").commit
    repo.rename(repo.with_name("moved"))
    with pytest.raises(SourceError):
        git_fetch(f"file://{repo}", refresh=True)
    assert git_fetch(f"file://{repo}", offline=True).commit == known


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_no_git_outlives_an_interrupt(tmp_path: Path, stop: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and never answers
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/x.git"
        program = (
            "import signal, sys; from pathlib import Path; from mlproj.sources import Fetching, take_snapshot\n"
            "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
            "take_snapshot(sys.argv[1], (), Fetching(cache=Path(sys.argv[2]), revision='v1'))"
        )
        argv = [sys.executable, "-c", program, address, str(tmp_path / "cache")]
        running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        connection, _ = listening.accept()  # by git-remote-http, a child of git
        started = psutil.Process(running.pid).children(recursive=True)
        assert len(started) >= 2
        running.send_signal(stop)
        running.wait(30)
        _, alive = psutil.wait_procs(started, timeout=10)
        connection.close()
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


def test_a_full_disk_is_said(git_fetch: Fetcher) -> None:
    from mlproj.sources.git.addresses import parse_address
    from mlproj.sources.git.failures import explained
    from mlproj.sources.git.process import GitFailed

    said = explained(
        GitFailed("error: unable to write file blob\nfatal: x"), parse_address("https://example.org/x.git")
    )
    assert "the disk is full" in said.message
    assert "MLPROJ_CACHE" in (said.hint or "")


def test_what_ssh_said_is_kept() -> None:
    from mlproj.sources.git.addresses import parse_address
    from mlproj.sources.git.failures import explained
    from mlproj.sources.git.process import GitFailed

    words = (
        "git@example.org: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
        "Please make sure you have the correct access rights\nand the repository exists."
    )
    said = explained(GitFailed(words), parse_address("ssh://git@example.org/x.git"))
    assert "Permission denied (publickey)" in said.message
    assert "ssh-add" in (said.hint or "")
