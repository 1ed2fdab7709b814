"""Credentials in URLs: shown and kept never, handed to the tool that needs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# The user part is greedy up to the last @ before the path, as URL parsers have it (RFC 3986, 3.2): a password
# may hold an @ that its owner forgot to escape.
_USER_PART = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/?#\s'\"<>]+)@(?P<host>[^/?#\s'\"<>@]*)")


def _is_secret(match: re.Match[str]) -> bool:
    # ssh://git@host names an account that everybody uses, and does not work without it.
    return ":" in match["user"] or not match["scheme"].lower().endswith("ssh")


def redact(text: str) -> str:
    """``text`` with the user part of every URL in it shown as ``****``."""
    return _USER_PART.sub(
        lambda match: f"{match['scheme']}://****@{match['host']}" if _is_secret(match) else match[0], text
    )


def without_credentials(text: str) -> str:
    """``text`` without the user part of every URL in it: they still work for who needs none."""
    return _USER_PART.sub(lambda match: f"{match['scheme']}://{match['host']}" if _is_secret(match) else match[0], text)


def credentials_in(texts: Iterable[str]) -> dict[str, str]:
    """The user part by ``scheme://host`` of the URLs in ``texts`` (a ``git+`` before the scheme left out)."""
    return {
        f"{match['scheme'].lower().removeprefix('git+')}://{match['host']}": match["user"]
        for text in texts
        for match in _USER_PART.finditer(text)
        if _is_secret(match)
    }


def with_credentials(text: str, credentials: Mapping[str, str]) -> str:
    """``text`` with ``credentials`` put back into the URLs whose scheme and host they are for."""
    for origin, user in credentials.items():
        scheme, _, host = origin.partition("://")
        pattern = rf"(?<![A-Za-z0-9.-]){re.escape(origin)}(?=[/?#\"'\s]|$)"
        whole = f"{scheme}://{user}@{host}".replace("\\", r"\\")
        text = re.sub(pattern, whole, text)
    return text
