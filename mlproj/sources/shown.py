"""What people write for an address: shown without the password in it, however mistyped, and refused when ambiguous."""

from __future__ import annotations

import re

from mlproj.errors import SourceError
from mlproj.text import one_line

_START = r"^(\s*(?:[A-Za-z][A-Za-z0-9+.-]*:?//?)?)"
# Up to the last @, since a `/` or a `#` that somebody forgot to escape does not end the secret.
_PASSWORD = re.compile(_START + r"([^:@/]*):(.*)@", re.DOTALL)
_TOKEN = re.compile(r"^(\s*https?:?//?)[^/@]*@", re.IGNORECASE)
_SECRET_QUERY = re.compile(
    r"(?i)([?&;][^=&;#]*(?:token|key|secret|passw|pwd|auth|signature|credential|sig)[^=&;#]*=)[^&;#]*"
)
_LOCATION = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://([^@/?#]*):([^@/?#]*)([/?#].*)", re.DOTALL)


def shown_address(text: str) -> str:
    """``text`` in one line without what may be credentials: ``https://ada:•••@host/x``."""
    return one_line(_SECRET_QUERY.sub(r"\1•••", _TOKEN.sub(r"\1", _PASSWORD.sub(r"\1\2:•••@", text))))


def refuse_unescaped_credentials(text: str) -> None:
    """Raise ``SourceError`` for a URL whose password seems to hold a ``/``, ``#`` or ``?``, which would end the server.

    Taken as it stands, the user's name would be asked for as a server, and the password be part of a path.
    """
    found = _LOCATION.fullmatch(text)
    if found is None or "@" not in found[4]:
        return
    scheme, _, port, rest = found.groups()
    path, mark, fragment = rest.partition("#")
    if port.isascii() and port.isdigit() and path and all(map(_parts_no_user, _at_signs(path))):
        plain_fragment = path.endswith(".git") or all(map(_parts_no_user, _at_signs(fragment)))
        if not mark or plain_fragment:
            return
    after = shown_address(rest.rpartition("@")[2])
    raise SourceError(
        f"`{scheme.lower()}://…@{after}` has an `@` behind what would be its server",
        hint="In a user's name or a password, `/` is written %2F, `#` is written %23, and `?` is written %3F.",
    )


def _at_signs(text: str) -> list[tuple[str, str]]:
    """The text before and after each ``@``."""
    return [(text[: found.start()], text[found.end() :]) for found in re.finditer("@", text)]


def _parts_no_user(around: tuple[str, str]) -> bool:
    """Whether an ``@`` in a path begins a name (``/@team``), or parts a revision (``.git@v1``, ``@v1``)."""
    before, after = around
    return before.endswith(("/", ".git")) or "/" not in after
