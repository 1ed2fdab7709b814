"""URLs as they may be shown and recorded: without the credentials that they carry."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

# Query parameters that stand for a permission: presigned S3, GCS and Azure links, and the usual token names.
_SECRET_QUERY = re.compile(
    r"(?i)(x-amz-(signature|credential|security-token)|x-goog-(signature|credential)|sig|signature|([a-z]+[_-])*token|"
    r"api_?key|key|password|secret|auth)$"
)


def without_credentials(url: str) -> str:
    """``url`` without its user and password, and with the values of secret-looking query parameters masked."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return re.sub(r"//[^/@]*@", "//", url)
    location = parts.netloc.rpartition("@")[2]
    if any(_SECRET_QUERY.fullmatch(name) for name, _ in query):
        masked = [(name, "***" if _SECRET_QUERY.fullmatch(name) else value) for name, value in query]
        parts = parts._replace(query=urlencode(masked, safe="*", quote_via=quote))
    return urlunsplit(parts._replace(netloc=location)) if location != parts.netloc else urlunsplit(parts)


def secrets_of(url: str) -> list[str]:
    """The passwords and tokens that a URL carries, to be masked wherever they turn up."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query)
    except ValueError:
        return []
    found = [parts.password] if parts.password else []
    found += [parts.username] if parts.username and not parts.password else []
    return [*found, *(value for name, value in query if _SECRET_QUERY.fullmatch(name))]
