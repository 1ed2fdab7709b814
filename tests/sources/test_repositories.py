"""Git repositories as sources, over `file://` and as folders of this machine of which a revision is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj.errors import SourceError
from mlproj.sources import Fetching, repositories, take_snapshot
from tests.sources.git_servers import Fetcher, commit, git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose default branch is nested, with a tag, a branch, a pull request, and four commits."""
    folder = tmp_path / "origin" / "wine"
    commit(folder, {"train.py": "print(1)\n", "sub.dir/@a b/MLproject": "name: inner\n"}, "one")
    git(folder, "branch", "-m", "team/main")
    commit(folder, {"train.py": "print(2)\n"}, "two")
    git(folder, "tag", "-a", "v1", "-m", "first")
    commit(folder, {"train.py": "print(3)\n"}, "three")
    git(folder, "branch", "feature/x")
    git(folder, "update-ref", "refs/pull/7/head", git(folder, "commit-tree", "-m", "pull", "HEAD^{tree}", "-p", "HEAD"))
    commit(folder, {"train.py": "print(4)\n"}, "four")
    return folder


def url(repo: Path) -> str:
    return f"file://{repo}"


def test_the_default_branch(repo: Path, git_fetch: Fetcher) -> None:
    snapshot = git_fetch(url(repo))
    assert (snapshot.folder / "train.py").read_text() == "print(4)\n"
    assert (snapshot.kind, snapshot.branch, snapshot.revision) == ("git", "team/main", None)
    assert (snapshot.commit, snapshot.remote) == (git(repo, "rev-parse", "HEAD"), url(repo))
    assert (snapshot.dirty, snapshot.notes, snapshot.secrets) == (False, (), ())


def test_git_works_in_the_tree(repo: Path, git_fetch: Fetcher) -> None:
    tree = git_fetch(url(repo)).folder
    assert git(tree, "rev-parse", "HEAD") == git(repo, "rev-parse", "HEAD")
    assert git(tree, "log", "-1", "--format=%s") == "four"
    assert git(tree, "status", "--porcelain") == ""
    assert git(tree, "remote", "get-url", "origin") == url(repo)


@pytest.mark.parametrize(
    ("revision", "meant", "branch"),
    [
        ("feature/x", "feature/x", "feature/x"),
        ("refs/heads/feature/x", "feature/x", "feature/x"),
        ("heads/feature/x", "feature/x", "feature/x"),
        ("v1", "v1^{commit}", None),
        ("refs/tags/v1", "v1^{commit}", None),
        ("refs/pull/7/head", "refs/pull/7/head", None),
        ("pull/7/head", "refs/pull/7/head", None),
        ("HEAD", "HEAD", "team/main"),
        ("HEAD~1", "HEAD~1", None),
        ("HEAD~2", "HEAD~2", None),
        ("HEAD^^", "HEAD~2", None),
        ("v1~1", "v1~1", None),
        ("feature/x^", "feature/x^", None),
        ("@~1", "HEAD~1", None),
        ("@", "HEAD", "team/main"),
        ("v1^{}", "v1^{commit}", None),
        ("refs/pull/7/head~1", "refs/pull/7/head~1", None),
    ],
)
def test_revisions(repo: Path, git_fetch: Fetcher, revision: str, meant: str, branch: str | None) -> None:
    snapshot = git_fetch(url(repo), revision)
    assert snapshot.commit == git(repo, "rev-parse", meant)
    assert (snapshot.branch, snapshot.revision) == (branch, revision.removesuffix("^{}"))


def test_commits_by_their_names(repo: Path, git_fetch: Fetcher) -> None:
    first = git(repo, "rev-parse", "HEAD~3")
    tag_object = git(repo, "rev-parse", "v1")
    for name, meant in [(first, first), (first.upper(), first), (first[:8], first), (first[:8] + "~0", first)]:
        assert git_fetch(url(repo), name).commit == meant
    assert git_fetch(url(repo), tag_object).commit == git(repo, "rev-parse", "v1^{commit}")
    assert git_fetch(url(repo), tag_object, offline=True).commit == git(repo, "rev-parse", "v1^{commit}")


def test_a_short_name_is_found_after_a_step_was_taken(repo: Path, git_fetch: Fetcher) -> None:
    git_fetch(url(repo), "HEAD~1")
    assert git_fetch(url(repo), git(repo, "rev-parse", "HEAD~3")[:7]).commit == git(repo, "rev-parse", "HEAD~3")
    assert git_fetch(url(repo), "HEAD~3").commit == git(repo, "rev-parse", "HEAD~3")


def test_a_tag_and_a_branch_of_one_name(repo: Path, git_fetch: Fetcher) -> None:
    git(repo, "branch", "v1", "HEAD")
    tagged = git_fetch(url(repo), "v1")
    assert tagged.commit == git(repo, "rev-parse", "refs/tags/v1^{commit}")
    assert "`v1` is a tag and a branch: the tag was taken" in tagged.notes[0]
    assert git_fetch(url(repo), "refs/heads/v1").commit == git(repo, "rev-parse", "HEAD")
    assert git_fetch(str(repo), "v1").commit == tagged.commit


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("featur/x", "Did you mean `feature/x`?"),
        ("team/mian", "Did you mean `team/main`?"),
        ("origin/feature/x", "Did you mean `feature/x`?"),
        ("", "`--rev` is empty"),
        ("entirely-else", "It has `feature/x`"),
        ("deadbeef", "is no branch, tag or commit"),
        ("refs/pull/8/head", "is no branch, tag or commit"),
        ("0123456789" * 4, "is no commit of"),
        ("HEAD~99", "does not go back so far"),
        ("--upload-pack=x", "is no revision"),
        ("a b", "is no revision"),
    ],
)
def test_unknown_revisions(repo: Path, git_fetch: Fetcher, revision: str, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        git_fetch(url(repo), revision)
    assert told in str(caught.value)


def test_subdirectories(repo: Path, git_fetch: Fetcher) -> None:
    snapshot = git_fetch(url(repo) + "#sub.dir/@a b")
    assert (snapshot.folder / "MLproject").read_text() == "name: inner\n"
    assert snapshot.subdirectory == "sub.dir/@a b"
    assert git_fetch(url(repo) + "#sub.dir/@a%20b/MLproject").subdirectory == "sub.dir/@a b"
    with pytest.raises(SourceError, match="Did you mean `sub.dir`"):
        git_fetch(url(repo) + "#sub.dri")


def test_a_hidden_subdirectory(repo: Path, git_fetch: Fetcher) -> None:
    commit(repo, {".hidden/train.py": "1"})
    assert git_fetch(url(repo) + "#.hidden").subdirectory == ".hidden"
    assert git_fetch(f"{repo}#.hidden", "HEAD").subdirectory == ".hidden"


def test_a_pasted_page_is_read_against_the_branches_there_are(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    # The user's own git rewrites the forge's address to the repository on this machine.
    (tmp_path / "gitconfig").write_text(f'[url "{url(repo)}"]\n\tinsteadOf = https://github.com/someone/wine\n')
    page = "https://github.com/someone/wine/tree/feature/x/sub.dir/@a%20b"
    pasted = git_fetch(page)
    assert (pasted.branch, pasted.subdirectory) == ("feature/x", "sub.dir/@a b")
    blob = git_fetch("https://github.com/someone/wine/blob/v1/sub.dir/@a%20b/MLproject?plain=1#L1")
    assert (blob.revision, blob.subdirectory) == ("v1", "sub.dir/@a b")
    sha = git(repo, "rev-parse", "HEAD~3")
    assert git_fetch(f"https://github.com/someone/wine/tree/{sha}/sub.dir").commit == sha
    assert git_fetch(f"https://github.com/someone/wine/commit/{sha[:9]}").commit == sha
    assert git_fetch("https://github.com/someone/wine/tree/refs/heads/feature/x/sub.dir").branch == "feature/x"
    assert git_fetch("https://github.com/someone/wine/pull/7").commit == git(repo, "rev-parse", "refs/pull/7/head")
    assert git_fetch(page, offline=True).commit == pasted.commit


def test_a_commit_that_is_there_asks_no_network(repo: Path, git_fetch: Fetcher) -> None:
    sha = git(repo, "rev-parse", "HEAD~1")
    git_fetch(url(repo), sha)
    git_fetch(url(repo), sha[:10])
    repo.rename(repo.with_name("gone"))
    assert git_fetch(url(repo), sha).commit == sha
    assert git_fetch(url(repo), sha[:10]).commit == sha


def head_of(tree: Path) -> str:
    return git(tree, "rev-parse", "--abbrev-ref", "HEAD")


def test_the_tree_s_own_git_knows_the_branch_and_the_tag(repo: Path, git_fetch: Fetcher) -> None:
    git(repo, "tag", "light", "HEAD~1")
    git_fetch(url(repo), git(repo, "rev-parse", "v1^{commit}"))  # the commit is there before its tag is asked for
    for _ in range(2):
        assert head_of(git_fetch(url(repo)).folder) == "team/main"
        assert head_of(git_fetch(url(repo), "feature/x").folder) == "feature/x"
        for tag in ("v1", "refs/tags/v1"):
            tagged = git_fetch(url(repo), tag).folder
            assert (head_of(tagged), git(tagged, "describe", "--exact-match")) == ("HEAD", "v1")
            assert git(tagged, "cat-file", "-t", "v1") == "tag"
        assert git(git_fetch(url(repo), "light").folder, "describe", "--tags", "--exact-match") == "light"
    assert git(git_fetch(url(repo), "v1", offline=True).folder, "describe", "--exact-match") == "v1"


def test_a_tree_of_an_own_folder_has_its_tags_and_its_history(repo: Path, git_fetch: Fetcher) -> None:
    tree = git_fetch(str(repo), "team/main").folder
    assert head_of(tree) == "team/main"
    assert git(tree, "describe") == git(repo, "describe")
    assert git(tree, "log", "--format=%s").split() == ["four", "three", "two", "one"]
    assert git(git_fetch(str(repo), "v1").folder, "describe", "--exact-match") == "v1"


def test_names_of_branches_that_a_server_makes_up_become_no_paths(tmp_path: Path) -> None:
    from mlproj.sources.fetching import Fetching
    from mlproj.sources.git.addresses import address_of_folder
    from mlproj.sources.git.checkout import Names, Objects, check_out
    from mlproj.sources.git.survey import Survey

    sha = commit(tmp_path / "origin", {"train.py": "1"})
    git_folder = tmp_path / "origin" / ".git"
    objects = Objects(git_folder / "objects", git_folder / "shallow", git_folder / "lfs")
    hostile = ["../../config", "a\nref: x", "a b", "-x", "x.lock", "x/../y", ".x", "x..y", "x@{1}", "x\x00"]
    for number, name in enumerate(hostile):
        names = Names(name, {f"refs/tags/{name}": sha, "refs/../config": sha})
        folder = tmp_path / f"tree-{number}"
        address = address_of_folder(str(tmp_path / "origin"))
        check_out(objects, sha, names, Survey((), (), (), 1, 1), address, folder, Fetching(cache=tmp_path / "cache"))
        assert (folder / ".git" / "HEAD").read_text() == f"{sha}\n"
        assert (folder / ".git" / "packed-refs").read_text() == ""


def test_the_limit_holds_for_an_own_folder_too(repo: Path, git_fetch: Fetcher) -> None:
    with pytest.raises(SourceError, match="more than 5 bytes"):
        git_fetch(str(repo), "v1", unpack_limit=5)


def test_a_folder_that_only_the_revision_has(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    commit(folder, {"old/train.py": "1"})
    git(folder, "tag", "t0")
    git(folder, "mv", "old", "new")
    commit(folder, {})
    assert git_fetch(f"{folder}#old", "t0").subdirectory == "old"
    with pytest.raises(SourceError, match="has no folder `old` at this revision"):
        git_fetch(f"{folder}#old", "main")


def test_an_empty_revision_is_refused_for_a_folder_too(repo: Path, git_fetch: Fetcher) -> None:
    for empty in ("", " "):
        with pytest.raises(SourceError, match="`--rev` is empty"):
            git_fetch(str(repo), empty)


def test_short_names_offline_and_after_a_force_push(repo: Path, git_fetch: Fetcher) -> None:
    sha = str(git_fetch(url(repo), "feature/x").commit)
    assert git_fetch(url(repo), sha[:7], offline=True).commit == sha
    first = git(repo, "rev-parse", "HEAD~3")
    for ref in ("refs/heads/feature/x", "refs/heads/team/main", "refs/pull/7/head"):
        git(repo, "update-ref", ref, first)
    git(repo, "tag", "-d", "v1")
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "-q", "--prune=now")
    assert git_fetch(url(repo), sha[:8]).commit == sha


def test_the_object_of_a_tag_offline(repo: Path, git_fetch: Fetcher) -> None:
    tagged = git_fetch(url(repo), "v1").commit
    assert git_fetch(url(repo), git(repo, "rev-parse", "v1"), offline=True).commit == tagged


def test_a_short_name_that_became_a_branch_s(repo: Path, git_fetch: Fetcher) -> None:
    short = git(repo, "rev-parse", "HEAD~3")[:7]
    first = git_fetch(url(repo), short)
    assert git_fetch(url(repo), short).commit == first.commit
    git(repo, "branch", short, "HEAD")
    now = git_fetch(url(repo), short)
    assert (now.commit, now.branch) == (git(repo, "rev-parse", "HEAD"), short)


def test_a_short_name_of_more_than_one_commit(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    commit(folder, {"train.py": "1"})
    tree = git(folder, "rev-parse", "HEAD^{tree}")
    by_beginning: dict[str, str] = {}
    for number in range(2000):  # of so many, two begin alike in four digits
        sha = git(folder, "commit-tree", "-m", str(number), tree, "-p", "HEAD")
        if sha[:4] in by_beginning:
            break
        by_beginning[sha[:4]] = sha
    git(folder, "update-ref", "refs/heads/one", sha)
    git(folder, "update-ref", "refs/heads/other", by_beginning[sha[:4]])
    for uri, revision in ((url(folder), sha[:4]), (str(folder), sha[:4]), (url(folder), sha[:4] + "~0")):
        with pytest.raises(SourceError, match=f"`{sha[:4]}` is the beginning of 2 commits: .*{sha[:12]}|{sha[:12]}"):
            git_fetch(uri, revision)


def test_an_unknown_revision_of_an_own_folder_lists_what_there_is(
    repo: Path, git_fetch: Fetcher, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="no such revision, but `feature/x`"):
        git_fetch(str(repo), "entirely-else")
    git(tmp_path, "clone", "-q", "--depth=1", url(repo), "shallow")
    with pytest.raises(SourceError, match="it is a shallow clone"):
        git_fetch(str(tmp_path / "shallow"), "HEAD~1")


def test_offline_uses_what_was_fetched_and_says_so(repo: Path, git_fetch: Fetcher) -> None:
    before = git_fetch(url(repo)).commit
    commit(repo, {"train.py": "print(5)\n"})
    offline = git_fetch(url(repo), offline=True)
    assert offline.commit == before
    assert "--offline was given: the commit" in offline.notes[-1]
    assert git_fetch(url(repo)).commit == git(repo, "rev-parse", "HEAD")
    for revision in ("v1", git(repo, "rev-parse", "HEAD~3")):
        with pytest.raises(SourceError, match="was not fetched before"):
            git_fetch(url(repo), revision, offline=True)


def test_a_branch_that_moved_or_was_rewritten(repo: Path, git_fetch: Fetcher) -> None:
    git_fetch(url(repo))
    moved = commit(repo, {"new.py": "1"})
    assert git_fetch(url(repo)).commit == moved
    git(repo, "reset", "-q", "--hard", "HEAD~3")
    rewritten = commit(repo, {"other.py": "1"})
    assert git_fetch(url(repo)).commit == rewritten
    git(repo, "branch", "-m", "trunk")
    assert git_fetch(url(repo)).branch == "trunk"


def test_the_tree_is_cleared_away_and_comes_to_the_same_place(repo: Path, git_fetch: Fetcher) -> None:
    first = git_fetch(url(repo)).folder
    git_fetch.release()
    assert not first.exists()
    assert git_fetch(url(repo)).folder == first
    kept = git_fetch(url(repo), keep_tree=True).folder
    git_fetch.release()
    assert (kept / "train.py").exists()


def test_two_trees_of_one_commit_at_once(repo: Path, git_fetch: Fetcher) -> None:
    one, other = git_fetch(url(repo)), git_fetch(url(repo))
    assert one.folder != other.folder
    (one.folder / "train.py").write_text("changed")
    assert (other.folder / "train.py").read_text() == "print(4)\n"


def test_ones_own_repository_is_never_touched(repo: Path, git_fetch: Fetcher) -> None:
    (repo / "train.py").write_text("not committed\n")
    (repo / "untracked").write_text("x")
    before = {path: path.stat().st_mtime_ns for path in sorted(repo.rglob("*"))}
    snapshot = git_fetch(str(repo), "v1")
    assert (snapshot.folder / "train.py").read_text() == "print(2)\n"
    assert not snapshot.folder.is_relative_to(repo)
    assert not (snapshot.folder / "untracked").exists()
    assert {path: path.stat().st_mtime_ns for path in sorted(repo.rglob("*"))} == before
    assert (repo / "train.py").read_text() == "not committed\n"


def test_a_revision_of_a_folder_within_ones_repository(repo: Path, git_fetch: Fetcher) -> None:
    for uri in (str(repo / "sub.dir/@a b"), f"{repo}#sub.dir/@a b", str(repo / "sub.dir/@a b/MLproject")):
        snapshot = git_fetch(uri, "HEAD~1")
        assert (snapshot.subdirectory, snapshot.folder.name) == ("sub.dir/@a b", "@a b")
        assert snapshot.commit == git(repo, "rev-parse", "HEAD~1")
    with pytest.raises(SourceError, match="no such revision. Did you mean `feature/x`"):
        git_fetch(str(repo), "featur/x")
    with pytest.raises(SourceError):
        git_fetch(str(repo), "--output=/tmp/x")


def test_a_revision_of_a_worktree_of_ones_repository(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", "--detach", tmp_path / "beside", "HEAD~1")
    snapshot = git_fetch(str(tmp_path / "beside"), "HEAD~1")
    assert snapshot.commit == git(repo, "rev-parse", "HEAD~2")
    assert (snapshot.folder / "train.py").exists()


def test_a_revision_of_a_folder_in_no_repository(git_fetch: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="is in no git repository"):
        git_fetch(str(tmp_path / "plain"), "v1")


def test_a_local_folder_with_a_subdirectory(repo: Path, git_fetch: Fetcher) -> None:
    snapshot = git_fetch(f"{repo}#sub.dir/@a b")
    assert snapshot.folder == repo / "sub.dir/@a b"
    assert snapshot.tree is None
    with pytest.raises(SourceError):
        git_fetch(f"{repo}#../other")


def test_a_bare_repository_and_a_file_url_of_a_plain_folder(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", repo, "bare.git")
    assert git_fetch(f"{tmp_path}/bare.git").commit == git(repo, "rev-parse", "HEAD")
    (tmp_path / "plain").mkdir()
    assert git_fetch(f"file://{tmp_path}/plain").folder == tmp_path / "plain"


def test_a_shorthand_is_a_repository_only_where_no_folder_is(
    repo: Path, git_fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text(f'[url "{url(repo)}"]\n\tinsteadOf = https://github.com/someone/wine.git\n')
    monkeypatch.chdir(tmp_path)
    assert git_fetch("someone/wine").remote == "https://github.com/someone/wine.git"
    (tmp_path / "someone").mkdir()
    with pytest.raises(SourceError, match="no folder `someone/wine`"):
        git_fetch("someone/wine")
    (tmp_path / "someone" / "wine").mkdir()
    assert git_fetch("someone/wine").kind == "folder"


def test_an_empty_repository(git_fetch: Fetcher, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    for revision in (None, "v1"):
        with pytest.raises(SourceError, match="is empty: it has no commit yet"):
            git_fetch(f"file://{tmp_path}/empty", revision)


def test_a_default_branch_that_is_not_there(repo: Path, git_fetch: Fetcher) -> None:
    git(repo, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    with pytest.raises(SourceError, match="has no default branch") as caught:
        git_fetch(url(repo))
    assert "`team/main`" in str(caught.value)


def test_a_detached_head(repo: Path, git_fetch: Fetcher) -> None:
    git(repo, "checkout", "-q", "--detach", "v1")
    for _ in range(2):
        snapshot = git_fetch(url(repo))
        assert (snapshot.commit, snapshot.branch) == (git(repo, "rev-parse", "v1^{commit}"), None)


def test_a_sha256_repository(git_fetch: Fetcher, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "modern")
    sha = commit(tmp_path / "modern", {"train.py": "1"})
    assert len(sha) == 64
    by_name = f"file://{tmp_path}/modern"
    assert git_fetch(by_name, sha).commit == sha
    later = commit(tmp_path / "modern", {"train.py": "2"})
    assert git_fetch(by_name).commit == later
    assert git_fetch(by_name, sha[:9]).commit == sha
    assert git_fetch(str(tmp_path / "modern"), "HEAD~1").commit == sha
    assert git(git_fetch(by_name).folder, "status", "--porcelain") == ""


def test_submodules_at_every_depth(git_fetch: Fetcher, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    commit(origin / "inner", {"deep.py": "1"})
    commit(origin / "middle", {"middle.py": "1"})
    git(origin / "middle", "submodule", "--quiet", "add", "../inner", "lib/inner")
    commit(origin / "middle", {})
    commit(origin / "outer", {"train.py": "1"})
    git(origin / "outer", "submodule", "--quiet", "add", f"file://{origin}/middle", "vendor/middle")
    commit(origin / "outer", {})
    commit(origin / "inner", {"deep.py": "newer, and not what is asked for"})
    for uri, revision in ((f"file://{origin}/outer", None), (str(origin / "outer"), "HEAD")):
        tree = git_fetch(uri, revision).folder
        assert (tree / "vendor/middle/lib/inner/deep.py").read_text() == "1"
        assert git(tree, "status", "--porcelain") == ""


def test_submodules_that_are_left_empty_are_told(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    sha = commit(folder, {"train.py": "1"})
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{sha},lost")
    git(folder, "commit", "-qm", "link")
    assert git_fetch(f"file://{folder}").notes == (
        "the submodule `lost` has no address in .gitmodules: its folder is empty",
    )


def test_a_submodule_that_cannot_be_had(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    sha = commit(folder, {".gitmodules": '[submodule "data"]\n\tpath = data\n\turl = ../nowhere\n'})
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{sha},data")
    git(folder, "commit", "-qm", "link")
    with pytest.raises(SourceError, match="the submodule `data`: .*no such repository"):
        git_fetch(f"file://{folder}")


def test_names_that_differ_by_case_or_encoding_are_told(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    commit(folder, {"Data/a": "1", "data/b": "2", "caf\u00e9": "1", "cafe\u0301": "2", "safe\u202etxt.py": ""})
    for _ in range(2):
        names, hidden = git_fetch(f"file://{folder}").notes
        assert "`Data` and `data`" in names
        assert "1 name with characters that cannot be seen: `safe\\u202etxt.py`" in hidden


def test_the_damaged_mirror_of_a_submodule_is_fetched_anew(git_fetch: Fetcher, tmp_path: Path) -> None:
    commit(tmp_path / "inner", {"deep.py": "1"})
    commit(tmp_path / "outer", {"train.py": "1"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", f"file://{tmp_path}/inner", "inner")
    commit(tmp_path / "outer", {})
    git_fetch(f"file://{tmp_path}/outer")
    git_fetch.release()
    for objects in git_fetch.cache.glob("repositories/*.git/objects"):
        shutil.rmtree(objects)
        objects.mkdir()
    assert (git_fetch(f"file://{tmp_path}/outer").folder / "inner/deep.py").exists()


def test_a_damaged_mirror_is_fetched_anew(repo: Path, git_fetch: Fetcher) -> None:
    git_fetch(url(repo))
    git_fetch.release()
    packs = [*git_fetch.cache.glob("repositories/*.git/objects/pack/*.pack")]
    assert packs
    for pack in packs:
        pack.chmod(0o644)
        pack.write_bytes(b"rubbish")
    assert (git_fetch(url(repo)).folder / "train.py").read_text() == "print(4)\n"


def test_the_repository_of_a_caller_does_not_get_in_the_way(
    repo: Path, git_fetch: Fetcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert (git_fetch(url(repo)).folder / "train.py").read_text() == "print(4)\n"
    assert (git_fetch(str(repo), "v1").folder / "train.py").read_text() == "print(2)\n"
    assert not (tmp_path / "elsewhere").exists()


def test_a_tree_has_the_bytes_that_were_committed(repo: Path, git_fetch: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[core]\n\tautocrlf = true\n\teol = crlf\n")
    assert (git_fetch(url(repo)).folder / "train.py").read_bytes() == b"print(4)\n"


def test_only_the_tip_of_a_long_history_is_fetched(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    for number in range(4):
        commit(folder, {"weights.txt": os.urandom(500_000).hex()}, str(number))
    git_fetch(f"file://{folder}")
    git_fetch(f"file://{folder}", git(folder, "rev-parse", "HEAD~2")[:8])
    assert sum(path.stat().st_size for path in git_fetch.cache.glob("repositories/**/*") if path.is_file()) < 1_700_000


@pytest.mark.skipif(not os.environ.get("CI") and not any((Path(p) / "git-lfs").exists() for p in os.get_exec_path()), reason="git-lfs is not installed")  # fmt: skip
def test_git_lfs_files_come_with_their_content(git_fetch: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    with_lfs(folder)
    snapshot = git_fetch(f"file://{folder}")
    assert (snapshot.folder / "model.bin").read_bytes() == b"weights " * 200
    assert snapshot.notes == ()
    assert git_fetch(f"file://{folder}", offline=True).folder.joinpath("model.bin").stat().st_size == 1600


@pytest.mark.skipif(not os.environ.get("CI") and not any((Path(p) / "git-lfs").exists() for p in os.get_exec_path()), reason="git-lfs is not installed")  # fmt: skip
def test_without_git_lfs_its_pointers_are_told(
    git_fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "origin"
    with_lfs(folder)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh", "git-upload-pack"):
        found = next(Path(each, name) for each in os.get_exec_path() if Path(each, name).exists())
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    (note,) = git_fetch(f"file://{folder}").notes
    assert (
        note
        == "1 file kept by Git LFS came as the pointer only, without content (`model.bin`): install git-lfs and run again"
    )


def with_lfs(folder: Path) -> None:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "lfs", "install", "--local")
    git(folder, "lfs", "track", "*.bin")
    (folder / "model.bin").write_bytes(b"weights " * 200)
    commit(folder, {"train.py": "1"})


def test_without_git(repo: Path, git_fetch: Fetcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="git is not installed"):
        git_fetch(url(repo))


def test_two_at_once_on_a_new_repository_fetch_it_once(repo: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mlproj.sources import Fetching, repositories, take_snapshot\n"
        "said = []\n"
        "got = take_snapshot(sys.argv[1], (), Fetching(cache=Path(sys.argv[2]), report=said.append))\n"
        "print(got.commit, any('objects' in each or each == 'fetching wine' for each in said), (got.folder / 'train.py').exists())"
    )  # fmt: skip
    argv = [sys.executable, "-c", program, url(repo), str(tmp_path / "cache")]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[0].split() for process in running)
    head = git(repo, "rev-parse", "HEAD")
    assert said == [[head, "False", "True"], [head, "False", "True"], [head, "True", "True"]]


def test_a_folder_as_it_is_needs_no_git_source(repo: Path) -> None:
    # The modules that fetch are not loaded on the way of a local folder: it is the way that has to be fast.
    program = "import sys; from mlproj.sources import take_snapshot; take_snapshot(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program, str(repo)], capture_output=True, text=True, check=True)
    assert "mlproj.sources.git.mirror" not in loaded.stdout.split()


@given(st.text() | st.from_regex(r"[a-z.~/#:@-]{0,30}", fullmatch=True))
def test_any_text_is_recognised_or_not(text: str) -> None:
    assert repositories.recognises(text, Fetching(cache=Path("/nowhere"))) in (True, False)


def test_fetching_tells_what_it_does(repo: Path, git_fetch: Fetcher) -> None:
    git_fetch(url(repo))
    assert "fetching wine" in git_fetch.said


def test_the_default_fetching_caches_where_the_user_keeps_caches(
    repo: Path, git_fetch: Fetcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = take_snapshot(url(repo), (), Fetching(cache=tmp_path / "other"))
    git_fetch.taken.append(snapshot)
    assert snapshot.folder.is_relative_to(tmp_path / "other" / "trees")
