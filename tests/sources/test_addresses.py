"""The addresses of git repositories, as people write and paste them, and as nobody should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproj.errors import SourceError
from mlproj.sources import Fetching, take_snapshot
from mlproj.sources.git.addresses import (
    Address,
    check_revision,
    check_subdirectory,
    looks_like_address,
    parse_address,
    related_address,
    revision_asked,
)
from tests.sources.git_servers import Fetcher, commit


@pytest.mark.parametrize(
    ("text", "url", "subdirectory"),
    [
        ("https://example.org/team/wine.git", "https://example.org/team/wine.git", ""),
        ("HTTPS://Example.ORG/team/wine.git", "https://example.org/team/wine.git", ""),
        ("http://example.org:8080/wine", "http://example.org:8080/wine", ""),
        ("https://example.org/wine.git#sub/dir", "https://example.org/wine.git", "sub/dir"),
        ("https://example.org/wine.git#./sub.dir/@x/with space/", "https://example.org/wine.git", "sub.dir/@x/with space"),
        ("https://example.org/wine.git#a%20b%23c", "https://example.org/wine.git", "a b#c"),
        ("https://example.org/wine.git#subdirectory=sub&egg=wine", "https://example.org/wine.git", "sub"),
        ("https://example.org/wine/", "https://example.org/wine", ""),
        ("ssh://git@example.org:2222/wine.git#sub", "ssh://git@example.org:2222/wine.git", "sub"),
        ("git@example.org:team/wine.git", "git@example.org:team/wine.git", ""),
        ("git@example.org:team/wine.git#sub dir", "git@example.org:team/wine.git", "sub dir"),
        ("example.org:wine", "example.org:wine", ""),
        ("git://example.org/wine.git", "git://example.org/wine.git", ""),
        ("file:///srv/git/wine.git#p", "file:///srv/git/wine.git", "p"),
        ("git+https://example.org/wine.git", "https://example.org/wine.git", ""),
        ("git+ssh://git@example.org/wine.git", "ssh://git@example.org/wine.git", ""),
        ("git+http://example.org/wine", "http://example.org/wine", ""),
        ("git+file:///srv/wine", "file:///srv/wine", ""),
        ("someone/wine", "https://github.com/someone/wine.git", ""),
        ("someone/wine.git#sub", "https://github.com/someone/wine.git", "sub"),
        ("github:someone/wine", "https://github.com/someone/wine.git", ""),
        ("gitlab:group/sub/wine", "https://gitlab.com/group/sub/wine.git", ""),
        ("bitbucket:someone/wine#p", "https://bitbucket.org/someone/wine.git", "p"),
    ],
)  # fmt: skip
def test_addresses(text: str, url: str, subdirectory: str) -> None:
    assert parse_address(text) == Address(url, subdirectory)


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("git+https://example.org/wine@v1.2", "v1.2"),
        ("git+https://example.org/wine.git@feature/x#subdirectory=sub", "feature/x"),
        ("https://example.org/wine.git@1f3c9a2b", "1f3c9a2b"),
        ("git@example.org:team/wine.git@v1", "v1"),
        ("github:someone/wine@v1", "v1"),
        ("https://example.org/@team/wine", None),
        ("https://github.com/someone/wine/pull/7", "refs/pull/7/head"),
        ("https://gitlab.com/a/b/wine/-/merge_requests/5/diffs", "refs/merge-requests/5/head"),
        ("https://github.com/someone/wine/pull/7/files", "refs/pull/7/head"),
    ],
)
def test_a_revision_in_the_address(text: str, revision: str | None) -> None:
    assert parse_address(text).revision == revision


@pytest.mark.parametrize(
    ("text", "url", "page"),
    [
        ("https://github.com/o/r/tree/main/sub/dir", "https://github.com/o/r", "main/sub/dir"),
        ("https://github.com/o/r/tree/feature/x/sub", "https://github.com/o/r", "feature/x/sub"),
        ("https://github.com/o/r/blob/main/sub/MLproject", "https://github.com/o/r", "main/sub/MLproject"),
        ("https://github.com/o/r/blob/main/MLproject?plain=1#L3", "https://github.com/o/r", "main/MLproject"),
        ("https://github.com/o/r/tree/main/a%20b?tab=readme", "https://github.com/o/r", "main/a b"),
        ("https://github.com/o/r/edit/main/sub/MLproject", "https://github.com/o/r", "main/sub/MLproject"),
        ("https://github.com/o/r/blame/main/sub/MLproject", "https://github.com/o/r", "main/sub/MLproject"),
        ("https://github.com/o/r/tree/refs/heads/main", "https://github.com/o/r", "refs/heads/main"),
        ("https://gitlab.com/o/r/-/", "https://gitlab.com/o/r", None),
        ("https://github.com/o/r/commit/1f3c9a2b", "https://github.com/o/r", "1f3c9a2b"),
        ("https://github.com/o/r/releases/tag/v1", "https://github.com/o/r", "v1"),
        ("https://gitlab.com/a/b/c/r/-/tree/main/sub", "https://gitlab.com/a/b/c/r", "main/sub"),
        ("https://gitlab.example.org/a/r/-/blob/v1/MLproject", "https://gitlab.example.org/a/r", "v1/MLproject"),
        ("https://bitbucket.org/o/r/src/main/sub", "https://bitbucket.org/o/r", "main/sub"),
        ("https://codeberg.org/o/r/src/branch/main/sub", "https://codeberg.org/o/r", "main/sub"),
    ],
)
def test_pasted_web_addresses(text: str, url: str, page: str | None) -> None:
    address = parse_address(text)
    assert (address.url, address.page) == (url, page)


@pytest.mark.parametrize(
    ("text", "url", "secrets"),
    [
        ("https://ada:s3cr3t@example.org/wine.git", "https://example.org/wine.git", ("s3cr3t",)),
        ("https://ghp_t0ken@example.org/wine.git", "https://example.org/wine.git", ("ghp_t0ken",)),
        ("https://ada@example.org/wine.git", "https://example.org/wine.git", ()),
        ("https://ada:a%2Fb@example.org/wine.git", "https://example.org/wine.git", ("a/b", "a%2Fb")),
        ("ssh://ada:s3cr3t@example.org/wine.git", "ssh://ada@example.org/wine.git", ("s3cr3t",)),
    ],
)
def test_credentials_stay_out_of_what_is_shown(text: str, url: str, secrets: tuple[str, ...]) -> None:
    address = parse_address(text)
    assert address.url == url
    assert address.secrets == secrets
    assert not any(secret in repr(address) for secret in secrets)


@pytest.mark.parametrize(
    "text",
    [
        "ext::sh -c touch% /tmp/pwned",
        "fd::3",
        "git+ext::sh",
        "ftp://example.org/wine",
        "javascript://example.org/wine",
        "--upload-pack=touch /tmp/pwned",
        "-x",
        "ssh://-oProxyCommand=touch/wine",
        "ssh://-oProxyCommand=x@example.org/wine",
        "-oProxyCommand=touch:wine",
        "git@-oProxyCommand=touch:wine",
        "git@example.org:-x",
        "https://example.org/wine\n.git",
        "https://example.org/wine\x00.git",
        "https://example.org/wine.git#../other",
        "https://example.org/wine.git#/etc",
        "https://example.org/wine.git#a/../../b",
        "https://example.org/wine.git#%2e%2e/b",
        "https://example.org/wine.git#.git/hooks",
        "https://example.org/wine.git#.GIT",
        "https://example.org/wine.git#a\x1b[31m",
        "https://example.org/wine.git@--upload-pack=x",
        "https://github.com/o/r/tree/main/../../x",
        "https://example.org",
        "https:///wine.git",
        "https://[bad/wine.git",
        "https://example.org:port/wine.git",
        "github:wine",
        "github:../wine",
        "nothing",
        "",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_address(text)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://ada:12/s3cr3t@example.invalid/x.git",
        "http://ada:12/s3cr3t@127.0.0.1:80/x.git",
        "http://ada:s3cr3t/y@example.invalid/x.git",
        "http://ada:s3cr3t#y@example.invalid/x.git",
        "http://ada:12#s3cr3t@example.invalid/x.git",
        "http://ada:12/s3#cr3t@example.invalid/x.git",
        "http://ada:s3cr3t?y@example.invalid/x.git",
        "git+https://ada:s3cr3t/y@example.invalid/x.git",
        "ssh://ada:s3cr3t/y@example.invalid/x.git",
        "https://ada:s3cr3t/y@example.invalid/x.zip",
        "https://ada:12/s3cr3t@example.invalid/x.zip",
    ],
)
def test_a_password_with_a_slash_has_to_be_escaped(text: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        take_snapshot(text, (), Fetching(cache=tmp_path))
    assert "%2F" in (caught.value.hint or "")
    assert not re.search("ada|s3|cr3t|12", str(caught.value).replace("127.0.0.1", ""))


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org:8443/@team/wine.git",
        "https://example.org:8443/wine.git@feature/x",
        "https://example.org:8443/wine.git#sub/a@b",
        "https://example.org:8443/team/wine@v1",
        "https://ada:s3cr3t@example.org/@team/wine.git",
    ],
)
def test_an_at_that_parts_no_password(text: str) -> None:
    assert parse_address(text).url.startswith("https://example.org")


@pytest.mark.parametrize(
    "text",
    [
        "ada:s3cr3t@host:wine.git",
        "ada:s3cr3t@host/wine.git",
        "ada:s3c/r3t@host/wine.git",
        "https//ada:s3cr3t@host/wine.git",
        "http:/ada:s3cr3t@host/wine.git",
        "https:ada:s3cr3t@host/wine",
        " https//ada:s3cr3t@host/wine.git",
        "https://github.com/?private_token=s3cr3t",
        "https://example.invalid/wine.git?private_token=s3cr3t",
        "https://example.invalid/wine.git?ref=x&api_key=s3cr3t#sub",
    ],
)
@pytest.mark.parametrize("revision", [None, "v1"])
def test_a_mistyped_address_is_shown_without_its_password(text: str, revision: str | None, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        take_snapshot(text, (), Fetching(cache=tmp_path, revision=revision))
    assert not re.search("s3c|r3t", str(caught.value))


def test_blanks_around_a_pasted_address_do_not_count(tmp_path: Path, git_fetch: Fetcher) -> None:
    sha = commit(tmp_path / "origin", {"train.py": "1"})
    assert git_fetch(f"  file://{tmp_path}/origin\n").commit == sha


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://gitlab.com/a/b/-/pipelines", "the page `pipelines`"),
        ("https://gitlab.com/a/b/-/issues/7", "the page `issues`"),
        ("https://github.com/a/b/issues", "the page `issues`"),
        ("https://github.com/a/b/wiki/Home", "the page `wiki`"),
        ("https://github.com/a/b/compare/x", "the page `compare`"),
        ("https://raw.githubusercontent.com/a/b/main/x.py", "https://github.com/a/b/blob/main/x.py"),
        ("https://raw.githubusercontent.com/a/b/refs/heads/main/x.py", "https://github.com/a/b/blob/main/x.py"),
        ("https://raw.githubusercontent.com/a", "shows no revision"),
    ],
)
def test_pages_that_show_no_revision(text: str, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_address(text)
    assert told in str(caught.value)


def test_an_error_shows_no_credentials() -> None:
    for text in ("https://ada:s3cr3t@[bad/x", "https://ada:s3cr3t@example.org", "ada:s3cr3t@example.org:"):
        with pytest.raises(SourceError) as caught:
            parse_address(text)
        assert "s3cr3t" not in str(caught.value)


@given(st.text() | st.from_regex(r"(https|ssh|git\+https|file|ext|git)://?[a-z@:.\[\]/#%?~-]*", fullmatch=True))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    looks_like_address(text)
    try:
        address = parse_address(text)
    except SourceError:
        return
    assert not address.url.startswith("-")
    assert not any(letter < " " for letter in address.url)
    assert ".." not in address.subdirectory.split("/")
    assert not address.subdirectory.startswith("/")


_SEGMENT = st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters="/"), min_size=1).filter(
    lambda part: part not in (".", "..") and part.casefold() != ".git"
)


@given(st.lists(_SEGMENT, min_size=1, max_size=4))
def test_a_subdirectory_comes_through_whatever_is_in_it(parts: list[str]) -> None:
    from urllib.parse import quote

    from mlproj.text import UNPRINTABLE

    name = "/".join(parts)
    if UNPRINTABLE.search(name):
        return
    assert parse_address(f"https://example.org/wine.git#{quote(name)}").subdirectory == name
    assert check_subdirectory(name) == name


@pytest.mark.parametrize("revision", ["main", "v1.2", "team/main", "1f3c9a2", "refs/pull/7/head", "HEAD~1", "HEAD^", "a@b", "größe"])  # fmt: skip
def test_revisions(revision: str) -> None:
    assert check_revision(revision) == revision


@pytest.mark.parametrize("revision", ["", "-x", "--upload-pack=x", "a b", "a..b", "a:b", "a\nb", "\x1b[0m", "@{-1}", "/a", "a*"])  # fmt: skip
def test_revisions_that_are_refused(revision: str) -> None:
    with pytest.raises(SourceError):
        check_revision(revision)


def test_a_revision_given_twice_has_to_be_the_same() -> None:
    address = parse_address("https://example.org/wine.git@v1")
    assert revision_asked(address, "v1").revision == "v1"
    with pytest.raises(SourceError, match="the address names `v1`"):
        revision_asked(address, "v2")
    page = parse_address("https://github.com/o/r/tree/feature/x/sub")
    asked = revision_asked(page, "feature/x")
    assert (asked.revision, asked.subdirectory, asked.page) == ("feature/x", "sub", None)
    with pytest.raises(SourceError):
        revision_asked(page, "main")


@pytest.mark.parametrize(
    ("parent", "text", "url"),
    [
        ("https://example.org/team/wine.git", "../data.git", "https://example.org/team/data.git"),
        ("https://example.org/team/wine.git", "../../other/data.git", "https://example.org/other/data.git"),
        ("https://example.org/team/wine.git", "./data", "https://example.org/team/wine.git/data"),
        ("git@example.org:team/wine.git", "../data.git", "git@example.org:team/data.git"),
        ("git@example.org:wine.git", "../data.git", "git@example.org:data.git"),
        ("ssh://git@example.org/team/wine.git", "../data.git", "ssh://git@example.org/team/data.git"),
        ("https://example.org/wine.git", "git@other.org:data.git", "git@other.org:data.git"),
        ("file:///srv/wine.git", "../data.git", "file:///srv/data.git"),
    ],
)
def test_submodules_addresses(parent: str, text: str, url: str) -> None:
    assert related_address(parse_address(parent), text).url == url


@pytest.mark.parametrize(
    "text",
    ["../../../x", "file:///etc", "/etc", "ext::sh", "-x", "./a\nb", "--upload-pack=x", "ssh://-oProxyCommand=x/y", "data"],
)  # fmt: skip
def test_submodules_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(SourceError):
        related_address(parse_address("https://example.org/wine.git"), text)


def test_credentials_go_along_to_the_same_server_only() -> None:
    parent = parse_address("https://ada:s3cr3t@example.org/wine.git")
    assert related_address(parent, "../data.git").password == "s3cr3t"
    assert related_address(parent, "https://example.org/data.git").password == "s3cr3t"
    for other in ("https://evil.org/x", "http://example.org/x", "https://example.org:444/x", "git@example.org:x"):
        assert related_address(parent, other).secrets == ()
