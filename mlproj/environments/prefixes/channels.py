"""Channels: from the names that people write to URLs without credentials, and the credentials apart from them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit, urlunsplit

from mlproj.environments.credentials import redact
from mlproj.environments.prefixes.condarc import Condarc
from mlproj.environments.prefixes.declaration import SELECTORS
from mlproj.environments.prefixes.tokens import token_in, without_secrets, without_tokens
from mlproj.errors import UsageError
from mlproj.locations import home_folder
from mlproj.text import one_line
from mlproj.toml import dump_toml

if TYPE_CHECKING:
    from rattler import Client


@dataclass(frozen=True)
class Source:
    """A channel, or several that count as one (``defaults``), by the URLs to look in."""

    name: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Channels:
    """Where packages are looked for, the first source with the highest priority.

    ``mirrors`` are the URLs to ask in place of one, ``logins`` user and password by host: both are for the client only.
    """

    sources: tuple[Source, ...]
    verify: bool
    mirrors: Mapping[str, tuple[str, ...]] = field(repr=False)
    logins: Mapping[str, tuple[str, str]] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)

    def hide(self, text: str) -> str:
        """``text`` without the tokens and passwords of these channels."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            # A shorter one would be found in any word.
            text = text.replace(secret, "****") if len(secret) > 3 else text
        return without_tokens(redact(text))

    @property
    def local_folders(self) -> tuple[Path, ...]:
        """The channels that are folders of this machine, whose content may change without anybody being asked."""
        urls = [url for source in self.sources for url in source.urls]
        return tuple(Path(unquote(urlsplit(url).path)) for url in urls if url.startswith("file://"))


class _Finder:
    """Finds channels one after the other, and gathers the credentials that their URLs carry."""

    def __init__(self, condarc: Condarc, folder: Path) -> None:
        self.condarc, self.folder = condarc, folder
        self.mirrors: dict[str, tuple[str, ...]] = {}
        self.logins: dict[str, tuple[str, str]] = {}
        self.secrets: set[str] = set()
        self.tokens = _anaconda_tokens()

    def source(self, name: str) -> Source:
        if name in self.condarc.custom_multichannels:
            members = self.condarc.custom_multichannels[name]
            if not members:
                raise UsageError(f"conda's settings have no channel in `custom_multichannels: {one_line(name)}`")
            return Source(name, tuple(self.address(self.located(each)) for each in members))
        if name == "defaults":
            return Source(name, tuple(self.address(self.located(each)) for each in self.defaults()))
        mirrored = self.condarc.mirrored_channels.get(name)
        if mirrored:
            first, *others = [self.address(self.located(each)) for each in mirrored]
            if others:
                self.mirrors[first] = tuple(each for one in (first, *others) for each in self.mirrors.get(one, (one,)))
            return Source(name, (first,))
        return Source(name, (self.address(self.located(name)),))

    def defaults(self) -> Sequence[str]:
        if self.condarc.default_channels:
            return self.condarc.default_channels
        from conda_lock._vendor.conda.base.constants import DEFAULT_CHANNELS_UNIX

        return list(DEFAULT_CHANNELS_UNIX)

    def located(self, name: str, met: tuple[str, ...] = ()) -> str:
        """The URL of a channel, with the credentials that were written into it."""
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
            return with_variables(name)
        if "$" in name:
            raise _no_place_for_a_variable(name)
        if re.match(r"\.{0,2}/|~|\.{1,2}$", name):
            try:
                return f"file://{quote(os.path.normpath(self.folder / Path(name).expanduser()))}"
            except RuntimeError:
                raise UsageError(f"the channel `{one_line(name)}` is in the home of somebody who has none") from None
        if name in met:
            raise UsageError(f"conda's settings have `{one_line(name)}` of `custom_channels` lead to itself")
        parts = name.strip("/").split("/")
        for length in range(len(parts), 0, -1):
            base = self.condarc.custom_channels.get("/".join(parts[:length]))
            if base is not None:
                return f"{self.located(base, (*met, name)).rstrip('/')}/{name.strip('/')}"
        alias = self.condarc.channel_alias or _default_alias()
        if "://" not in alias:
            alias = f"https://{alias}"
        return f"{alias.rstrip('/')}/{name.strip('/')}"

    def address(self, url: str) -> str:
        """``url`` without credentials, which are kept for the client."""
        try:
            parts = urlsplit(url)
            user, password, host = parts.username, parts.password, parts.hostname
            _ = parts.port
        except ValueError:
            raise UsageError("a channel's URL is none: its host or its port cannot be read") from None
        if parts.scheme != "file" and not host:
            raise UsageError(f"`{one_line(without_secrets(url))}` is no channel's URL: it names no host")
        if parts.query or parts.fragment:
            raise UsageError(
                f"the channel `{one_line(without_secrets(urlunsplit(parts._replace(query='', fragment=''))))}`: its URL"
                " has a part after `?` or `#`, which is not used",
                hint="a token goes into the path, /t/TOKEN/",
            )
        segments = parts.path.strip("/").split("/")
        if segments[-1] in (*SELECTORS, "noarch"):
            parts = parts._replace(path="/" + "/".join(segments[:-1]))
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        clean = without_secrets(urlunsplit(parts)).rstrip("/")
        if user is not None and host is not None:
            self.logins[host] = (unquote(user), unquote(password or ""))
            self.secrets.update(filter(None, [password, unquote(password or ""), *([] if password else [user])]))
        token = token_in(url)
        kept = next((word for start, word in self.tokens.items() if f"{clean}/".startswith(start)), None)
        if token is not None:
            self.secrets.add(token)
            self.mirrors[clean] = (urlunsplit(parts).rstrip("/"),)
        elif kept is not None:
            self.secrets.add(kept)
            self.mirrors[clean] = (urlunsplit(parts._replace(path=f"/t/{kept}{parts.path}")).rstrip("/"),)
        return clean


def find_channels(names: Iterable[str], condarc: Condarc, folder: Path) -> Channels:
    """The channels by these names; without any, the user's own. Raises ``UsageError`` for what is no URL."""
    finder = _Finder(condarc, folder)
    chosen = list(dict.fromkeys(names)) or list(condarc.channels) or ["defaults"]
    if chosen == ["nodefaults"]:
        raise UsageError("`nodefaults` is the only channel, and names none", hint="name one, such as `conda-forge`")
    sources = tuple(finder.source(name) for name in chosen if name != "nodefaults")
    # A bundle of certificates is taken from SSL_CERT_FILE; only switching them off is a setting here.
    return Channels(sources, condarc.ssl_verify is not False, finder.mirrors, finder.logins, frozenset(finder.secrets))


def extended(channels: Channels, names: Iterable[str], condarc: Condarc, folder: Path) -> Channels:
    """The channels with those that single specifications name (``name::package``) put last."""
    known = {source.name for source in channels.sources}
    more = [name for name in dict.fromkeys(names) if name not in known]
    if not more:
        return channels
    return find_channels([*(source.name for source in channels.sources), *more], condarc, folder)


def with_variables(url: str) -> str:
    """``url`` with the variables for user, password and token in their places.

    Raises ``UsageError`` for a variable elsewhere: a project could have any of them sent to anybody.
    """
    if "$" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _no_place_for_a_variable(url) from None
    user, at, host = parts.netloc.rpartition("@")
    token = token_in(url)
    path = parts.path
    if token is not None:
        path = path.replace(f"/t/{token}/", f"/t/{_of_variable(token)}/", 1)
    clean = parts.path if token is None else parts.path.replace(f"/t/{token}/", "/", 1)
    if parts.scheme not in ("http", "https") or "$" in host + clean + parts.query + parts.fragment:
        raise _no_place_for_a_variable(url)
    name, colon, password = user.partition(":")
    return urlunsplit(
        parts._replace(netloc=f"{_of_variable(name)}{colon}{_of_variable(password)}{at}{host}", path=path)
    )


def _of_variable(text: str) -> str:
    # What is escaped already stays so, as conda wants it; what is not must not end the part that it is in.
    return quote(os.path.expandvars(text), safe="%") if "$" in text else text


def _no_place_for_a_variable(name: str) -> UsageError:
    return UsageError(
        f"the channel `{one_line(redact(name))}`: a variable stands only for a user, a password or a token",
        hint="https://$USER:$PASSWORD@HOST/CHANNEL, https://HOST/t/$TOKEN/CHANNEL; other places go into condarc",
    )


def _default_alias() -> str:
    from rattler import Channel

    return Channel("x").base_url.removesuffix("x/")


def _anaconda_tokens() -> dict[str, str]:
    """The tokens that ``anaconda login`` kept, by the start of the URLs they are for, as conda finds them."""
    import platformdirs

    tokens: dict[str, str] = {}
    folders = []
    with suppress(RuntimeError):  # without a home there are none
        folders.append(Path(platformdirs.user_data_dir("binstar", "ContinuumIO")))
    if (home := home_folder()) is not None:
        folders.append(home / ".continuum" / "anaconda-client" / "tokens")
    for folder in folders:
        for path in sorted(folder.glob("*.token")):
            url = re.sub(r"([./])api([./])", r"\1conda\2", unquote_plus(path.name).removesuffix(".token"), count=1)
            try:
                tokens[f"{url.rstrip('/')}/"] = path.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                continue
    return {url: token for url, token in tokens.items() if token}


def make_client(channels: Channels, scratch: Path) -> Client:
    """The client that packages and indexes are fetched with: mirrors, credentials, proxies, certificates."""
    from rattler import Client, Config

    settings: dict[str, Any] = {}
    if not channels.verify:
        settings["tls-no-verify"] = True
    if channels.mirrors:
        settings["mirrors"] = {url: list(mirrors) for url, mirrors in channels.mirrors.items()}
    if channels.logins:
        path = scratch / "credentials.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(_known_logins(channels.logins), stream)
        settings["authentication-override-file"] = str(path)
    return Client.from_config(Config.from_toml(dump_toml(settings)))


def _known_logins(logins: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Those of ``logins``, beside the ones that rattler would find by itself, since it looks in one file alone."""
    import netrc

    known: dict[str, Any] = {}
    with suppress(OSError, netrc.NetrcParseError):
        for host, (user, _, password) in netrc.netrc(os.environ.get("NETRC")).hosts.items():
            known[host] = {"BasicHTTP": {"username": user, "password": password or ""}}
    stored = os.environ.get("RATTLER_AUTH_FILE") or "~/.rattler/credentials.json"
    with suppress(OSError, ValueError, TypeError):
        known |= json.loads(Path(os.path.expanduser(stored)).read_text("utf-8"))  # noqa: PTH111 - which cannot fail
    mine = {host: {"BasicHTTP": {"username": user, "password": word}} for host, (user, word) in logins.items()}
    return {**known, **mine}
