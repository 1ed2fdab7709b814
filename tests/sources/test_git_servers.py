"""Git repositories over real servers: `git http-backend` with and without a password, and sshd; killed and stalled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mlproj.errors import SourceError
from tests.sources.git_servers import Fetcher, GitServer, commit, git, git_server

SECRET = "s3cr3t-t0ken"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "served" / "wine"
    for number in range(3):
        commit(folder, {"train.py": f"print({number})\n"}, str(number))
    git(folder, "tag", "-a", "v1", "-m", "v1", "HEAD~1")
    return folder


@pytest.fixture
def plain(repo: Path) -> Iterator[GitServer]:
    with git_server(repo.parent) as server:
        yield server


@pytest.fixture
def private(repo: Path) -> Iterator[GitServer]:
    with git_server(repo.parent, password=SECRET) as server:
        yield server


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() + bytes(path) for path in folder.rglob("*") if path.is_file())


def test_http(plain: GitServer, repo: Path, git_fetch: Fetcher) -> None:
    snapshot = git_fetch(f"{plain.url}/wine/.git")
    assert snapshot.commit == git(repo, "rev-parse", "HEAD")
    for revision in ("v1", git(repo, "rev-parse", "HEAD~2"), git(repo, "rev-parse", "HEAD~2")[:8], "HEAD~1"):
        assert git_fetch(f"{plain.url}/wine/.git", revision).commit == git(repo, "rev-parse", f"{revision}^{{commit}}")


def test_a_first_fetch_is_one_conversation_and_a_known_commit_none(
    plain: GitServer, repo: Path, git_fetch: Fetcher
) -> None:
    git_fetch(f"{plain.url}/wine/.git")
    assert [request.partition("?")[0] for request in plain.requests] == [
        "GET /wine/.git/info/refs",
        "POST /wine/.git/git-upload-pack",
        "POST /wine/.git/git-upload-pack",
    ]
    plain.requests.clear()
    git_fetch(f"{plain.url}/wine/.git")
    assert len(plain.requests) == 2
    plain.requests.clear()
    git_fetch(f"{plain.url}/wine/.git", git(repo, "rev-parse", "HEAD"))
    assert plain.requests == []


@pytest.mark.parametrize("revision", [None, "v1", "HEAD~1", "full", "short", "refs/pull/7/head"])
def test_an_older_server(repo: Path, git_fetch: Fetcher, revision: str | None) -> None:
    git(repo, "update-ref", "refs/pull/7/head", "HEAD~1")
    asked = {"full": git(repo, "rev-parse", "HEAD~1"), "short": git(repo, "rev-parse", "HEAD~1")[:8]}
    revision = asked.get(revision or "", revision)
    with git_server(repo.parent, speaks_v2=False) as server:
        for _ in range(2):
            snapshot = git_fetch(f"{server.url}/wine/.git", revision)
            assert snapshot.commit == git(repo, "rev-parse", f"{revision or 'HEAD'}^{{commit}}")


def test_only_the_tip_of_a_long_history_is_fetched(plain: GitServer, repo: Path, git_fetch: Fetcher) -> None:
    for number in range(4):
        commit(repo, {"weights.txt": os.urandom(500_000).hex()}, str(number))
    git_fetch(f"{plain.url}/wine/.git")
    for revision in (git(repo, "rev-parse", "HEAD~2")[:8], "HEAD~1"):
        git_fetch(f"{plain.url}/wine/.git", revision)
    held = sum(path.stat().st_size for path in git_fetch.cache.glob("repositories/**/*") if path.is_file())
    assert held < 4 * 600_000  # three trees, and a history that has no files


def test_a_server_that_only_hands_out_files(repo: Path, git_fetch: Fetcher) -> None:
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Files(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:  # type: ignore[override]
            return

    git(repo.parent, "clone", "-q", "--bare", repo, "bare.git")
    git(repo.parent / "bare.git", "update-server-info")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(repo.parent)))
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{listening.server_address[1]}/bare.git"
        for revision in ("main", "v1", git(repo, "rev-parse", "HEAD~2"), None):
            assert git_fetch(address, revision).commit == git(repo, "rev-parse", f"{revision or 'HEAD'}^{{commit}}")
    finally:
        listening.shutdown()
        listening.server_close()


def test_credentials_in_the_address_reach_git_and_nothing_else(
    private: GitServer, repo: Path, git_fetch: Fetcher, tmp_path: Path
) -> None:
    address = private.url.replace("//", f"//ada:{SECRET}@") + "/wine/.git"
    witness = tmp_path / "stored"
    (tmp_path / "gitconfig").write_text(f"[credential]\n\thelper = store --file={witness}\n")
    for revision in (None, "v1", "HEAD~1"):
        snapshot = git_fetch(address, revision)
        assert snapshot.commit == git(repo, "rev-parse", f"{revision or 'HEAD'}^{{commit}}")
        assert snapshot.remote == f"{private.url}/wine/.git"
        assert snapshot.secrets == (SECRET,)
        assert SECRET not in repr(snapshot)
    assert SECRET.encode() not in everything_in(git_fetch.cache)
    assert not any(SECRET in said for said in git_fetch.said)
    assert not witness.exists()  # nor are they kept for the user, who did not ask for it


def test_no_process_shows_the_credentials(private: GitServer, git_fetch: Fetcher, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    seen = tmp_path / "seen"
    real = shutil.which("git")
    (programs / "git").write_text(f"#!/bin/sh\necho \"$@\" >> '{seen}'\nexec '{real}' \"$@\"\n")
    (programs / "git").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{programs}:{path}"
    try:
        git_fetch(private.url.replace("//", f"//ada:{SECRET}@") + "/wine/.git")
    finally:
        os.environ["PATH"] = path
    assert "clone" in seen.read_text()
    assert SECRET not in seen.read_text()


def test_a_credential_helper_of_the_users(private: GitServer, repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    helper = tmp_path / "helper"
    helper.write_text(f'#!/bin/sh\ntest "$1" = get && printf "username=ada\\npassword={SECRET}\\n"\n')
    helper.chmod(0o755)
    (tmp_path / "gitconfig").write_text(f"[credential]\n\thelper = {helper}\n")
    assert git_fetch(f"{private.url}/wine/.git").commit == git(repo, "rev-parse", "HEAD")
    named = private.url.replace("//", "//ada@") + "/wine/.git"
    assert git_fetch(named).commit == git(repo, "rev-parse", "HEAD")
    assert git_fetch(named).remote == f"{private.url}/wine/.git"


@pytest.mark.parametrize("credentials", ["", f"ada:wrong-{SECRET}@", f"wrong-{SECRET}@"])
def test_without_the_right_credentials_it_fails_at_once(
    private: GitServer, git_fetch: Fetcher, credentials: str
) -> None:
    with pytest.raises(SourceError, match="the server wants credentials") as caught:
        git_fetch(private.url.replace("//", f"//{credentials}") + "/wine/.git")
    assert SECRET not in str(caught.value)
    assert "credential helper" in (caught.value.hint or "")


def test_a_private_submodule_of_the_same_server(private: GitServer, repo: Path, git_fetch: Fetcher) -> None:
    link = git(repo, "rev-parse", "HEAD")
    outer = repo.parent / "outer"
    commit(outer, {".gitmodules": '[submodule "wine"]\n\tpath = wine\n\turl = ../../wine/.git\n'})
    git(outer, "update-index", "--add", "--cacheinfo", f"160000,{link},wine")
    git(outer, "commit", "-qm", "link")
    address = private.url.replace("//", f"//ada:{SECRET}@") + "/outer/.git"
    assert (git_fetch(address).folder / "wine/train.py").read_text() == "print(2)\n"


def test_a_repository_that_is_not_there(plain: GitServer, git_fetch: Fetcher) -> None:
    with pytest.raises(SourceError, match="there is no such repository"):
        git_fetch(f"{plain.url}/nothing.git")


def test_when_the_network_is_down_what_was_fetched_runs(repo: Path, git_fetch: Fetcher) -> None:
    with git_server(repo.parent) as server:
        first = git_fetch(f"{server.url}/wine/.git")
        tagged = git_fetch(f"{server.url}/wine/.git", "v1")
    again = git_fetch(f"{server.url}/wine/.git")
    assert again.commit == first.commit
    assert "cannot be reached" in again.notes[-1]
    assert f"the commit {str(first.commit)[:12]}, fetched at" in again.notes[-1]
    assert git_fetch(f"{server.url}/wine/.git", tagged.commit).notes == ()
    with pytest.raises(SourceError, match="cannot be reached"):
        git_fetch(f"{server.url}/wine/.git", "main")
    with pytest.raises(SourceError, match="cannot be reached"):
        git_fetch(f"{server.url}/other/.git")


def start(address: str, cache: Path, revision: str | None = None) -> subprocess.Popen[str]:
    program = (
        "import json, sys; from pathlib import Path; from mlproj.sources import Fetching, take_snapshot\n"
        "address, cache, revision = json.loads(sys.argv[1])\n"
        "print(take_snapshot(address, (), Fetching(cache=Path(cache), revision=revision)).commit)"
    )
    argv = [sys.executable, "-c", program, json.dumps([address, str(cache), revision])]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("first", [True, False])
def test_killed_in_the_middle_of_a_fetch(plain: GitServer, repo: Path, git_fetch: Fetcher, first: bool) -> None:
    address = f"{plain.url}/wine/.git"
    known = git(repo, "rev-parse", "HEAD")
    if not first:
        git_fetch(address)
    wanted = None if first else git(repo, "rev-parse", "HEAD~2")
    plain.stalls.set()
    running = start(address, git_fetch.cache, wanted)
    assert plain.stalled.wait(30)
    (left,) = psutil.Process(running.pid).children()
    running.send_signal(signal.SIGKILL)
    running.wait()
    plain.stalls.clear()
    assert git_fetch(address, wanted).commit == (wanted or known)
    # The git that outlived its mlproj was in the way, and was ended.
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    assert not [*git_fetch.cache.glob("repositories/**/*.part")]
    assert not [*git_fetch.cache.glob("repositories/*.git/*.lock")]


def test_interrupted_in_the_middle_of_a_fetch(plain: GitServer, repo: Path, git_fetch: Fetcher) -> None:
    plain.stalls.set()
    running = start(f"{plain.url}/wine/.git", git_fetch.cache)
    assert plain.stalled.wait(30)
    (left,) = psutil.Process(running.pid).children()
    running.send_signal(signal.SIGINT)
    running.wait(30)
    assert not left.is_running()
    plain.stalls.clear()
    assert git_fetch(f"{plain.url}/wine/.git").commit == git(repo, "rev-parse", "HEAD")


def test_two_at_once_on_one_new_repository(plain: GitServer, repo: Path, tmp_path: Path) -> None:
    running = [start(f"{plain.url}/wine/.git", tmp_path / "cache") for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert said == [git(repo, "rev-parse", "HEAD")] * 2
    # Both asked what there is; one fetched it.
    assert len([each for each in plain.requests if each.startswith("POST")]) == 3


@dataclass(frozen=True)
class SshServer:
    url: str
    command: str
    key: Path


def _sshd() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture
def ssh(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """An sshd on loopback with keys of its own."""
    sshd = _sshd()
    if sshd is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to have sshd (Debian's openssh-server)")
        pytest.skip("sshd is not installed")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    running = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            scan = subprocess.run(["ssh-keyscan", "-p", str(port), "127.0.0.1"], capture_output=True, text=True)
            if scan.stdout:
                break
            assert time.monotonic() < deadline, "sshd did not come up"
        (folder / "known_hosts").write_text(scan.stdout)
        command = f"ssh -F /dev/null -p {port} -o UserKnownHostsFile={folder}/known_hosts -o IdentitiesOnly=yes"
        monkeypatch.setenv("GIT_SSH_COMMAND", f"{command} -i {folder}/user")
        import getpass

        yield SshServer(f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repo}", command, folder / "user")
    finally:
        running.terminate()
        running.wait()


def test_ssh(ssh: SshServer, repo: Path, git_fetch: Fetcher) -> None:
    assert git_fetch(ssh.url).commit == git(repo, "rev-parse", "HEAD")
    short = ssh.url.removeprefix("ssh://").partition(":")[0] + f":{repo}"
    for revision in ("v1", git(repo, "rev-parse", "HEAD~2"), "HEAD~1", git(repo, "rev-parse", "HEAD~2")[:8]):
        snapshot = git_fetch(short, revision)
        assert snapshot.commit == git(repo, "rev-parse", f"{revision}^{{commit}}")
        assert snapshot.remote == short


def test_ssh_without_a_key_fails_at_once(ssh: SshServer, git_fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{ssh.command} -i /dev/null")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(SourceError, match="the server wants credentials"):
        git_fetch(ssh.url)


def test_ssh_with_an_unknown_host_key(ssh: SshServer, git_fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = ssh.command.replace("known_hosts", "nobody")
    monkeypatch.setenv("GIT_SSH_COMMAND", f"{unknown} -o GlobalKnownHostsFile=/dev/null -i {ssh.key}")
    with pytest.raises(SourceError, match="ssh does not know the server's key"):
        git_fetch(ssh.url)
