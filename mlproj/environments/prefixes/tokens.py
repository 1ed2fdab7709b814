"""Tokens in the URLs of channels (``https://HOST/t/TOKEN/channel``): found, and left out of what is written down."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

# In the path of a channel's URL, and, in a text of any URLs, right after the host: elsewhere it may be any folder.
_TOKEN = re.compile(r"/t/(?P<token>[^/]+)(?=/)")
_TOKEN_AFTER_HOST = re.compile(r"(https?://[^/\s'\"]+)/t/[^/\s$]+(?=/)")


def token_in(url: str) -> str | None:
    """The token in a channel's URL."""
    found = _TOKEN.search(urlsplit(url).path) if url.startswith(("http://", "https://")) else None
    return found["token"] if found else None


def without_tokens(text: str) -> str:
    """``text`` without the tokens in the URLs of channels (``https://HOST/t/TOKEN/``)."""
    return _TOKEN_AFTER_HOST.sub(r"\1", text)


def without_secrets(url: str) -> str:
    """A channel as it may be written down: without token, user and password, but for variables that stand for them."""
    if not url.startswith(("http://", "https://")):
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    path = _TOKEN.sub(lambda match: match[0] if match["token"].startswith("$") else "", parts.path, count=1)
    return urlunsplit(parts._replace(netloc=parts.netloc if "$" in user else host, path=path))


def bare(url: str) -> str:
    """A package's URL without credentials and without variables that stand for them, which conda-lock leaves in it.

    What else has the form of a variable stays as it is: it is the lock that would say what is sent where.
    """
    if not url.startswith(("http://", "https://")):
        return url
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=netloc, path=_TOKEN.sub("", parts.path, count=1)))
