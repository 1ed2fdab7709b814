"""A git remote's address as it may be recorded: without user, password or token."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit


def remote_without_credentials(remote: str) -> str:
    """``remote`` without the credentials in it; ``git@host:path`` keeps its user, which is no secret there."""
    if "://" not in remote:
        return re.sub(r"^[^@/:]+:[^@/]+@", "", remote)
    try:
        parts = urlsplit(remote)
    except ValueError:
        return re.sub(r"//[^/@]*@", "//", remote)
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme in ("ssh", "git+ssh") and at and ":" not in user:
        host = f"{user}@{host}"
    return urlunsplit(parts._replace(netloc=host, query="", fragment=""))
