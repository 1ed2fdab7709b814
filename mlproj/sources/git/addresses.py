"""The addresses of git repositories as values: every form that people write or paste, read without asking anybody."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from mlproj.errors import SourceError
from mlproj.sources.git.web_pages import split_page
from mlproj.sources.shown import refuse_unescaped_credentials, shown_address
from mlproj.text import UNPRINTABLE, one_line

TRANSPORTS = ("https", "http", "ssh", "git", "file")
FORGES = {"github": "https://github.com", "gitlab": "https://gitlab.com", "bitbucket": "https://bitbucket.org"}
FORMS = "It is https://…, http://…, ssh://…, git@host:path, file://… or owner/repo, and `#subdirectory` after it."

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_SCP = re.compile(r"(?:(?P<user>[^@:/\s]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:/\[\]\s]+):(?P<path>[^:].*)", re.DOTALL)
_SHORTHAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.][A-Za-z0-9_.-]*")
_FORGE = re.compile(rf"({'|'.join(FORGES)}):(?!//)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# What can stand in no ref's name and in no way of naming a commit that a remote repository can be asked for.
_NO_REVISION = re.compile(r"[\x00-\x20\x7f:?*\[\\]|\.\.|@\{|\^\{|//|^[/-]")
_TOKEN = re.compile(r"gh[a-z]_|github_pat_|gl[a-z]+-|hf_|x-token|.{16}")
_PIP_FRAGMENT = re.compile(r"(?:^|&)subdirectory=([^&]*)")


@dataclass(frozen=True)
class Address:
    """A repository, and what of it is meant.

    ``url`` is what git is given: without credentials, so that it may be recorded and shown. ``page`` is the part of a
    pasted web address that holds a revision and then a path: where the one ends only the repository's refs can tell.
    """

    url: str
    subdirectory: str = ""
    revision: str | None = None
    page: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def transport(self) -> str:
        """``https``, ``http``, ``ssh``, ``git`` or ``file``."""
        found = _SCHEME.match(self.url)
        return found[1] if found else "ssh"

    @property
    def name(self) -> str:
        """The repository's own name, for people: ``wine.git``."""
        return one_line(re.split(r"[/:]", self.url)[-1] or self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing may show or record: the password, or a token that stands where a user's name would."""
        # A plain name is no secret: masking it would make a log unreadable that happens to hold it.
        told = self.password or (self.user if self.user and _TOKEN.match(self.user) else None)
        return tuple(dict.fromkeys((told, quote(told, safe="")))) if told else ()


def looks_like_address(text: str) -> bool:
    """Whether ``text`` has the form of an address, be it one that is refused; ``owner/repo`` is no such form."""
    if _SCHEME.match(text) or _HELPER.match(text) or _FORGE.match(text):
        return True
    scp = _SCP.fullmatch(text)
    return scp is not None and (scp["user"] is not None or "." in scp["host"].strip("."))


def is_shorthand(text: str) -> bool:
    """Whether ``text`` has the form ``owner/repo``, with or without ``#subdirectory``."""
    return _SHORTHAND.fullmatch(text.partition("#")[0]) is not None


def parse_address(text: str) -> Address:
    """The address that ``text`` is.

    Raises ``SourceError`` when it is none, or one that could have git run a program or take it for an option.
    """
    if text.startswith("-") or _CONTROLS.search(text):
        raise SourceError(f"`{shown_address(text)}` is no address of a git repository", hint=FORMS)
    if _HELPER.match(text):
        helper = one_line(text.partition("::")[0])
        raise SourceError(f"`{helper}::` would have git run a program: such an address is not fetched", hint=FORMS)
    forge = _FORGE.match(text)
    if forge or (is_shorthand(text) and "://" not in text):
        return _of_forge(FORGES[forge[1]] if forge else FORGES["github"], text[forge.end() :] if forge else text)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _scp(text)
    transport = scheme[1].lower().removeprefix("git+")
    if transport not in TRANSPORTS:
        known = ", ".join(TRANSPORTS)
        raise SourceError(f"`{one_line(scheme[1])}` is no transport that is fetched: {known}", hint=FORMS)
    refuse_unescaped_credentials(text)
    return _url(transport, text, text[scheme.end() :], pip=scheme[1].lower().startswith("git+"))


def check_subdirectory(text: str) -> str:
    """A folder within a repository, in its shortest form (``""`` for all of it).

    Raises ``SourceError`` for one that leads out of the repository, or into git's own files.
    """
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or _CONTROLS.search(text) or UNPRINTABLE.search(text):
        raise SourceError(
            f"`#{one_line(text)}` is no folder within the repository",
            hint="After the # stands a relative path, without `..`.",
        )
    if any(part.casefold() == ".git" for part in parts):
        raise SourceError(f"`#{one_line(text)}` lies in git's own files")
    return "/".join(parts)


def check_revision(text: str) -> str:
    """A revision that can be asked for.

    Raises ``SourceError`` for one that git could take for an option, for a range, or for something else.
    """
    if not text or _NO_REVISION.search(text) or UNPRINTABLE.search(text) or len(text) > 1000:
        raise SourceError(
            f"`{one_line(text[:200])}` is no revision",
            hint="It is a branch, a tag, a commit's SHA, refs/pull/7/head or HEAD~1.",
        )
    return text


def revision_asked(address: Address, revision: str | None) -> Address:
    """The address with the ``revision`` of the command line, which may not contradict the one in the address.

    Raises ``SourceError``.
    """
    if revision is None:
        return address
    revision = check_revision(revision.removesuffix("^{}").removesuffix("^{commit}"))  # which is what tags come to
    page = address.page
    if page is not None:
        if page != revision and not page.startswith(revision + "/"):
            first = page.partition("/")[0]
            raise SourceError(f"--rev is `{one_line(revision)}`, but the address names `{one_line(first)}`")
        below = check_subdirectory(page[len(revision) + 1 :])
        return replace(address, page=None, revision=revision, subdirectory=_joined(below, address.subdirectory))
    if address.revision is not None and address.revision != revision:
        raise SourceError(f"--rev is `{one_line(revision)}`, but the address names `{one_line(address.revision)}`")
    return replace(address, revision=revision)


def at_page(address: Address, revision: str) -> Address:
    """The address of a pasted page of which it is now known that it starts with ``revision``."""
    assert address.page is not None
    return revision_asked(address, revision)


def address_of_folder(folder: str, subdirectory: str = "") -> Address:
    """The address of a repository on this machine, by its absolute path."""
    url = "file://" + quote(folder.encode("utf-8", "surrogateescape"), safe="/:@+~,=!$&'()*;")
    return Address(url, check_subdirectory(subdirectory))


def related_address(parent: Address, text: str) -> Address:
    """A submodule's address as ``parent`` names it: in full, or relative to the parent's own.

    Credentials go along to the same server and to no other.

    Raises ``SourceError``.
    """
    if not text.startswith(("./", "../")):
        address = parse_address(text) if looks_like_address(text) else None
        if text.startswith("/") and parent.transport == "file" and not _CONTROLS.search(text):
            address = address_of_folder(text)
        if address is None:
            raise SourceError(f"`{shown_address(text)}` is no address of a git repository", hint=FORMS)
    else:
        if _CONTROLS.search(text):
            raise SourceError(f"`{shown_address(text)}` is no address of a git repository")
        address = Address(_relative(parent.url, text))
    if address.transport == "file" and parent.transport != "file":
        raise SourceError(f"`{shown_address(text)}` is on this machine, which a repository from elsewhere may not name")
    if address.user is None and _server(address.url) == _server(parent.url):
        address = replace(address, user=parent.user, password=parent.password)
    return replace(address, subdirectory="", revision=None, page=None)


def _relative(base: str, text: str) -> str:
    scheme = _SCHEME.match(base)
    server, path = (
        (_server(base), base[len(_server(base)) + 1 :]) if scheme else (base.partition(":")[0], base.partition(":")[2])
    )
    parts = path.split("/")
    for part in text.split("/"):
        if part == "..":
            if not any(parts):
                raise SourceError(f"`{shown_address(text)}` leads out of the server that it is relative to")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return server + ("/" if scheme else ":") + "/".join(parts)


def _server(url: str) -> str:
    scheme = _SCHEME.match(url)
    return url[: url.find("/", scheme.end())] if scheme else url.partition(":")[0]


def _of_forge(forge: str, text: str) -> Address:
    repository, _, fragment = text.partition("#")
    repository, _, revision = repository.partition("@")
    if repository.count("/") < 1 or not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+", repository):
        raise SourceError(f"`{shown_address(text)}` is no repository: owner/repo was expected", hint=FORMS)
    if any(part in (".", "..") for part in repository.split("/")):
        raise SourceError(f"`{shown_address(text)}` is no repository: owner/repo was expected", hint=FORMS)
    url = f"{forge}/{repository.removesuffix('.git')}.git"
    return Address(url, _subdirectory(fragment), check_revision(revision) if revision else None)


def _scp(text: str) -> Address:
    before, _, fragment = text.partition("#")
    found = _SCP.fullmatch(before)
    with_password = found is not None and found["user"] is None and re.match(r"[^/]*@[^/]*:", found["path"])
    if found is None or with_password or found["host"].startswith("-") or (found["user"] or "").startswith("-"):
        raise SourceError(f"`{shown_address(text)}` is no address of a git repository", hint=FORMS)
    path, revision = _pip_revision(found["path"], False)
    path = path.rstrip("/")
    if not path or path.startswith("-"):
        raise SourceError(f"`{shown_address(text)}` names no repository", hint=FORMS)
    user = f"{found['user']}@" if found["user"] else ""
    return Address(f"{user}{found['host']}:{path}", _subdirectory(fragment), revision)


def _url(transport: str, text: str, rest: str, *, pip: bool) -> Address:
    location, slash, path = rest.partition("#")[0].partition("/")
    fragment = rest.partition("#")[2]
    path, _, query = path.partition("?")
    userinfo, _, host = location.rpartition("@")
    user, _, password = userinfo.partition(":")
    try:
        parts = urlsplit(f"{transport}://{host}/")
        _ = parts.port
    except ValueError:  # whose text may hold a password that was taken for a port
        shown = shown_address(text)
        raise SourceError(f"`{shown}` is no address: its server or its port is none", hint=FORMS) from None
    bad_host = transport != "file" and (not parts.hostname or host.startswith("-") or re.search(r"[\s\"'\\<>|]", host))
    if bad_host or unquote(user).startswith("-") or _CONTROLS.search(unquote(userinfo + host)):
        raise SourceError(f"`{shown_address(text)}` names no server", hint=FORMS)
    path, revision = _pip_revision(path, pip)
    page, is_file = None, False
    if transport in ("https", "http"):
        path, page, is_file = split_page(host.lower(), path)
        if query and "." in host and page is None and host.lower() not in ("github.com", "gitlab.com", "bitbucket.org"):
            raise SourceError(f"`{shown_address(text)}` has a query (?…), which an address of a repository has not")
    elif query:
        path += "?" + query
    path = path.rstrip("/")
    if not slash or not path or path.startswith("-") or "\n" in unquote(path):
        raise SourceError(f"`{shown_address(text)}` names no repository", hint=FORMS)
    keeps_user = transport == "ssh" and user
    url = f"{transport}://{user + '@' if keeps_user else ''}{host.lower()}/{path}"
    if page is not None and page.startswith(("refs/pull/", "refs/merge-requests/")):
        page, revision = None, page
    if page is not None:
        check_subdirectory(page)
        if page.startswith("-"):
            raise SourceError(f"`{one_line(page)}` is no revision")
    subdirectory = "" if is_file else _subdirectory(fragment)
    secret_user = unquote(user) if user and not keeps_user else None
    secret = unquote(password) if password else None
    return Address(url, subdirectory, revision, page, secret_user, secret)


def _pip_revision(path: str, pip: bool) -> tuple[str, str | None]:
    found = re.fullmatch(r"(.*?\.git)@(.+)", path) or (re.fullmatch(r"([^@]*[^@/])@(.+)", path) if pip else None)
    return (found[1], check_revision(unquote(found[2]))) if found else (path, None)


def _subdirectory(fragment: str) -> str:
    pip = _PIP_FRAGMENT.search(fragment)
    return check_subdirectory(unquote(pip[1] if pip else "" if fragment.startswith("egg=") else fragment))


def _joined(one: str, other: str) -> str:
    joined = str(PurePosixPath(one, other))
    return "" if joined == "." else joined
