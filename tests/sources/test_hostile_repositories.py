"""Repositories that are made to do harm: nothing of theirs is run, and nothing is written outside of their tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlproj.errors import SourceError
from tests.sources.git_servers import Fetcher, commit, git


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """What a hostile program makes, when it is run."""
    return tmp_path / "pwned"


@pytest.fixture
def evil(tmp_path: Path, witness: Path) -> Path:
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch '{witness}'\ncat\n")
    program.chmod(0o755)
    return program


def tree_of(repository: Path, entries: list[tuple[str, bytes, str]]) -> str:
    """Write a tree object with any names at all, which git itself would refuse to make."""
    content = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
    return git(repository, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=content)


def blob_of(repository: Path, content: bytes) -> str:
    return git(repository, "hash-object", "-w", "--stdin", stdin=content)


def publish(repository: Path, tree: str) -> str:
    sha = git(repository, "commit-tree", "-m", "hostile", tree)
    git(repository, "update-ref", "refs/heads/main", sha)
    return f"file://{repository}"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    commit(folder, {"train.py": "print(1)\n"})
    return folder


def paths_outside(fetcher: Fetcher, top: Path) -> set[Path]:
    return {path for path in top.rglob("*") if not path.is_relative_to(fetcher.cache)}


@pytest.mark.parametrize(
    "name",
    [b"..", b".", b".git", b".GIT", b".Git", b"git~1", b".git ", b".git.", b".g\xe2\x80\x8cit", b"a/../../../pwned", b"/tmp/pwned", b".git\\config"],
)  # fmt: skip
def test_names_that_lead_elsewhere(repo: Path, git_fetch: Fetcher, tmp_path: Path, name: bytes) -> None:
    blob = blob_of(repo, b"[core]\n\tfsmonitor = touch /tmp/pwned\n")
    inner = tree_of(repo, [("100644", b"config", blob)])
    for tree in (tree_of(repo, [("40000", name, inner)]), tree_of(repo, [("100644", name, blob)])):
        address = publish(repo, tree)
        before = paths_outside(git_fetch, tmp_path)
        with pytest.raises(SourceError):
            git_fetch(address)
        assert paths_outside(git_fetch, tmp_path) == before
        assert not [*git_fetch.cache.glob("trees/*")]


def test_a_file_below_a_link_is_not_written_through_it(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = blob_of(repo, bytes(outside))
    inner = tree_of(repo, [("100644", b"pwned", blob_of(repo, b"x"))])
    address = publish(repo, tree_of(repo, [("120000", b"a", link), ("40000", b"a", inner)]))
    with pytest.raises(SourceError):
        git_fetch(address)
    assert not [*outside.iterdir()]


@pytest.mark.parametrize("target", ["/", "/etc", "..", "../..", "sub/../../x", ".git"])
def test_a_subdirectory_that_is_a_link_out_of_the_tree(repo: Path, git_fetch: Fetcher, target: str) -> None:
    (repo / "out").symlink_to(target)
    git(repo, "add", "out")
    git(repo, "commit", "-qm", "link")
    for subdirectory in ("out", "out/tmp"):
        with pytest.raises(SourceError, match="leads out of the repository"):
            git_fetch(f"file://{repo}#{subdirectory}")
    assert git_fetch(f"file://{repo}").folder.joinpath("out").is_symlink()


def test_a_subdirectory_that_is_a_link_within_the_tree(repo: Path, git_fetch: Fetcher) -> None:
    commit(repo, {"real/MLproject": "name: x\n"})
    (repo / "alias").symlink_to("real")
    (repo / "loop").symlink_to("loop")
    commit(repo, {})
    assert (git_fetch(f"file://{repo}#alias").folder / "MLproject").exists()
    with pytest.raises(SourceError):
        git_fetch(f"file://{repo}#loop")


@pytest.mark.parametrize("name", ["MLproject", "mlproject", "mlproj.yaml"])
def test_a_manifest_that_is_a_link_out_of_the_tree(repo: Path, git_fetch: Fetcher, name: str) -> None:
    (repo / name).symlink_to("/etc/passwd")
    commit(repo, {})
    with pytest.raises(SourceError, match="leads out of the repository"):
        git_fetch(f"file://{repo}")


def test_nothing_that_the_remote_repository_configures_is_run(
    repo: Path, git_fetch: Fetcher, evil: Path, witness: Path
) -> None:
    for key in ("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "uploadpack.packObjectsHook", "core.pager", "filter.evil.smudge", "filter.evil.process"):  # fmt: skip
        git(repo, "config", key, str(evil))
    for hook in ("post-checkout", "pre-receive", "reference-transaction", "post-index-change"):
        (repo / ".git/hooks").mkdir(exist_ok=True)
        (repo / ".git/hooks" / hook).symlink_to(evil)
    (repo / ".gitattributes").write_text("* filter=evil diff=evil\n")
    sha = git(repo, "rev-parse", "HEAD")
    # Written as an attacker would: not by a git that these would run in.
    tree = tree_of(repo, [("100644", b".gitattributes", blob_of(repo, b"* filter=evil\n"))])
    address = publish(repo, tree)
    witness.unlink(missing_ok=True)
    git_fetch(address)
    git_fetch(address, "HEAD", refresh=True)
    git_fetch(str(repo), sha)
    assert not witness.exists()


def test_hooks_of_the_users_templates_and_configuration_are_not_run(
    repo: Path, git_fetch: Fetcher, evil: Path, witness: Path, tmp_path: Path
) -> None:
    for folder in ("hooks", "template/hooks"):
        (tmp_path / folder).mkdir(parents=True)
        for hook in ("post-checkout", "reference-transaction", "post-index-change"):
            (tmp_path / folder / hook).symlink_to(evil)
    (tmp_path / "gitconfig").write_text(
        f"[core]\n\thooksPath = {tmp_path}/hooks\n[init]\n\ttemplateDir = {tmp_path}/template\n"
    )
    git_fetch(f"file://{repo}")
    git_fetch(f"file://{repo}", git(repo, "rev-parse", "HEAD", GIT_CONFIG_GLOBAL=os.devnull)[:8])
    assert not witness.exists()


@pytest.mark.parametrize(
    "address",
    ["ext::sh -c 'touch {witness}'", "git+ext::sh -c 'touch {witness}'", "fd::0", "--upload-pack=touch {witness}", "ssh://-oProxyCommand=touch {witness}/x", "-oProxyCommand=touch {witness}:x.git", "file://{repo}@--upload-pack=touch {witness}"],
)  # fmt: skip
def test_addresses_that_would_run_a_program(repo: Path, git_fetch: Fetcher, witness: Path, address: str) -> None:
    with pytest.raises(SourceError):
        git_fetch(address.format(witness=witness, repo=repo))
    assert not witness.exists()


@pytest.mark.parametrize("revision", ["--upload-pack=touch {witness}", "-x", "--exec=touch {witness}", "-c core.sshCommand=x"])  # fmt: skip
def test_revisions_that_are_options(repo: Path, git_fetch: Fetcher, witness: Path, revision: str) -> None:
    for uri in (f"file://{repo}", str(repo)):
        with pytest.raises(SourceError):
            git_fetch(uri, revision.format(witness=witness))
    assert not witness.exists()


def test_branches_with_names_of_options(repo: Path, git_fetch: Fetcher, witness: Path) -> None:
    sha = git(repo, "rev-parse", "HEAD")
    for name in ("-x", f"--upload-pack=touch {witness}".replace(" ", "$IFS"), "--output=x"):
        path = repo / ".git/refs/heads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sha + "\n")
    (repo / ".git/HEAD").write_text("ref: refs/heads/-x\n")
    for _ in range(2):
        assert git_fetch(f"file://{repo}").commit == sha
    assert git_fetch(f"file://{repo}", "refs/heads/-x").commit == sha
    assert git_fetch(f"file://{repo}", sha[:8]).commit == sha
    assert not witness.exists()


def with_submodule(repo: Path, gitmodules: str, path: str = "sub") -> str:
    """Publish a repository whose `.gitmodules` is this text, with a link at ``path``."""
    sha = git(repo, "rev-parse", "HEAD")
    (repo / ".gitmodules").write_text(gitmodules)
    git(repo, "add", ".gitmodules")
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    git(repo, "commit", "-qm", "submodule")
    return f"file://{repo}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("url", "ext::sh -c 'touch {witness}'"),  # the transport that runs a program
        ("url", "-u./payload"),  # CVE-2018-17456: an option in place of an address
        ("url", "--upload-pack=touch {witness}"),
        ("url", "ssh://-oProxyCommand=touch {witness}/x"),  # CVE-2017-1000117
        ("url", '"https://example.org/x\\n.git"'),  # CVE-2020-5260: a line break for the credential helper
        ("url", "../../../../../../../../../../etc"),
        ("update", "!touch {witness}"),  # CVE-2019-19604: a command in place of a way to update
    ],
)
def test_submodules_that_would_run_something(
    repo: Path, git_fetch: Fetcher, witness: Path, setting: str, value: str
) -> None:
    told = {"path": "sub", "url": "./", setting: value.format(witness=witness)}
    lines = "".join(f"\t{name} = {text}\n" for name, text in told.items())
    address = with_submodule(repo, f'[submodule "sub"]\n{lines}')
    with pytest.raises(SourceError):
        git_fetch(address)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["../../hooks", "..", "a/../../b", "-x", "..\\\\..\\\\x"])
def test_submodules_whose_names_lead_elsewhere(repo: Path, git_fetch: Fetcher, name: str) -> None:
    # CVE-2018-11235: the name became a folder in the repository's own files.
    address = with_submodule(repo, f'[submodule "{name}"]\n\tpath = sub\n\turl = ./\n')
    with pytest.raises(SourceError):
        git_fetch(address)


def test_a_submodule_behind_a_link(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    # CVE-2024-32002: a link in the way of the submodule's folder, of the same name but for its case or its kind.
    outside = tmp_path / "outside"
    outside.mkdir()
    sha = git(repo, "rev-parse", "HEAD")
    modules = blob_of(repo, b'[submodule "x"]\n\tpath = a/sub\n\turl = ./\n')
    inner = tree_of(repo, [("160000", b"sub", sha)])
    link = blob_of(repo, bytes(outside))
    entries = [("100644", b".gitmodules", modules), ("120000", b"a", link), ("40000", b"a", inner)]
    address = publish(repo, tree_of(repo, entries))
    with pytest.raises(SourceError):
        git_fetch(address)
    assert not [*outside.iterdir()]


def test_gitmodules_that_is_a_link(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    sha = git(repo, "rev-parse", "HEAD")
    link = blob_of(repo, bytes(tmp_path / "elsewhere"))
    address = publish(repo, tree_of(repo, [("120000", b".gitmodules", link), ("160000", b"sub", sha)]))
    with pytest.raises(SourceError):
        git_fetch(address)


def test_a_repository_from_elsewhere_names_no_folder_of_this_machine(
    repo: Path, git_fetch: Fetcher, tmp_path: Path
) -> None:
    from tests.sources.git_servers import git_server

    commit(tmp_path / "private", {"key": "secret"})
    with_submodule(repo, f'[submodule "sub"]\n\tpath = sub\n\turl = file://{tmp_path}/private\n')
    with git_server(repo.parent) as server, pytest.raises(SourceError, match="is on this machine"):
        git_fetch(f"{server.url}/origin/.git")


def test_submodules_without_end(repo: Path, git_fetch: Fetcher) -> None:
    for _ in range(12):  # each holds the one before it
        with_submodule(repo, '[submodule "sub"]\n\tpath = sub\n\turl = ./\n')
    with pytest.raises(SourceError, match="too many submodules"):
        git_fetch(f"file://{repo}")
    assert not [*git_fetch.cache.glob("trees/*-0")]


def test_a_git_file_in_a_folder_points_nowhere(repo: Path, git_fetch: Fetcher, witness: Path) -> None:
    blob = blob_of(repo, b"gitdir: /tmp\n")
    inner = tree_of(repo, [("100644", b".git", blob)])
    with pytest.raises(SourceError):
        git_fetch(publish(repo, tree_of(repo, [("40000", b"sub", inner)])))


def test_a_bare_repository_within_the_tree_is_not_worked_in(
    repo: Path, git_fetch: Fetcher, evil: Path, witness: Path
) -> None:
    # A folder that looks like a repository: git called in it would read its configuration.
    commit(repo, {"sub/HEAD": "ref: refs/heads/main\n", "sub/config": f"[core]\n\tfsmonitor = {evil}\n\tbare = true\n", "sub/objects/x": "", "sub/refs/x": ""})  # fmt: skip
    from mlproj.sources.git.working_tree import commit_facts

    snapshot = git_fetch(f"file://{repo}#sub")
    commit_facts(snapshot.folder)
    assert not witness.exists()


def test_objects_that_are_not_what_they_say(repo: Path, git_fetch: Fetcher) -> None:
    blob = blob_of(repo, b"good")
    path = repo / ".git/objects" / blob[:2] / blob[2:]
    tree = tree_of(repo, [("100644", b"a", blob)])
    address = publish(repo, tree)
    other = blob_of(repo, b"evil")
    path.chmod(0o644)
    path.write_bytes((repo / ".git/objects" / other[:2] / other[2:]).read_bytes())
    with pytest.raises(SourceError):
        git_fetch(address)


def test_a_bomb_of_trees(repo: Path, git_fetch: Fetcher) -> None:
    # Ten folders in ten folders …: a dozen objects that stand for a billion files.
    tree = tree_of(repo, [("100644", b"f%d" % number, blob_of(repo, b"x")) for number in range(10)])
    for _ in range(8):
        tree = tree_of(repo, [("40000", b"d%d" % number, tree) for number in range(10)])
    with pytest.raises(SourceError, match="comes to more than 500,000 files") as caught:
        git_fetch(publish(repo, tree))
    assert "--unpack-limit" in str(caught.value)


def test_a_bomb_of_one_large_file_many_times(repo: Path, git_fetch: Fetcher) -> None:
    large = blob_of(repo, bytes(50 << 20))
    tree = tree_of(repo, [("100644", b"f%03d" % number, large) for number in range(500)])
    address = publish(repo, tree)
    with pytest.raises(SourceError, match="comes to more than"):
        git_fetch(address)
    small = publish(repo, tree_of(repo, [("100644", b"a", blob_of(repo, b"x" * 1000))]))
    with pytest.raises(SourceError, match="comes to more than"):
        git_fetch(small, unpack_limit=100)
    assert git_fetch(small, unpack_limit=1000).commit
    with pytest.raises(SourceError, match="comes to more than"):
        git_fetch(small, unpack_limit=100)


def test_old_repositories_with_sloppy_objects_still_run(repo: Path, git_fetch: Fetcher) -> None:
    tree = git(repo, "rev-parse", "HEAD^{tree}")
    text = f"tree {tree}\nauthor Ada <ada> 1112911993 +051800\ncommitter Ada <ada> 1112911993 -0700\n\nold\n"
    sha = git(repo, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=text.encode())
    git(repo, "update-ref", "refs/heads/main", sha)
    assert git_fetch(f"file://{repo}").commit == sha


def test_special_files_cannot_be_in_a_repository(repo: Path, git_fetch: Fetcher) -> None:
    (repo / "setuid").write_text("x")
    (repo / "setuid").chmod(0o6777)
    sha = blob_of(repo, b"x")
    tree = tree_of(repo, [("100755", b"a", sha), ("104755", b"b", sha)])
    try:
        folder = git_fetch(publish(repo, tree)).folder
    except SourceError:
        return
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o7000 == 0 or path.is_dir()


def test_names_that_act_on_a_terminal_are_shown_as_text(repo: Path, git_fetch: Fetcher) -> None:
    commit(repo, {"\x1b]0;owned\x07.py": ""})
    (note,) = git_fetch(f"file://{repo}").notes
    assert "\\x1b" in note
    assert "\x1b" not in note


def test_what_a_server_says_is_shown_as_text(tmp_path: Path, git_fetch: Fetcher) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text("#!/bin/sh\nprintf 'fatal: \\033[31mred\\n' >&2\nexit 1\n")
    (programs / "ssh").chmod(0o755)
    subprocess.run([programs / "ssh"], stderr=subprocess.DEVNULL)
    os.environ["GIT_SSH"] = str(programs / "ssh")
    try:
        with pytest.raises(SourceError) as caught:
            git_fetch("git@example.org:team/wine.git")
    finally:
        del os.environ["GIT_SSH"]
    assert "\x1b" not in str(caught.value)
