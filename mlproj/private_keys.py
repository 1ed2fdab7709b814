"""Private keys, told by what is in a file: whatever it is called, it is told of in packs and kept out of the rest.

The marks are those of RFC 7468 (PEM) and of OpenSSH.
"""

from __future__ import annotations

import re
from pathlib import Path

_MARK = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----\s")
_BELOW = re.compile(rb"^\s*" + _MARK.pattern, re.MULTILINE)
_IN_PATCH = re.compile(rb"^[-+ ]\s*" + _MARK.pattern, re.MULTILINE)
# How much of a file is looked at, in bytes.
BEGINNING = 1 << 16


def is_pem(name: str) -> bool:
    """Whether a file is called as certificates and keys in PEM are: only its content tells which of them it is."""
    return name.lower().endswith(".pem")


def begins_private_key(beginning: bytes, name: str) -> bool:
    """Whether a file of this name and ``beginning`` is a private key; in one of PEM it may come after certificates."""
    return bool(_MARK.match(beginning.lstrip()) or (is_pem(name) and _BELOW.search(beginning)))


def is_private_key(path: Path, name: str) -> bool:
    """Whether a regular file is a private key; ``name`` is its path. Raises OSError."""
    with path.open("rb") as stream:
        return begins_private_key(stream.read(BEGINNING), name)


def patch_holds_private_key(patch: bytes) -> bool:
    """Whether a patch adds, removes or shows a private key."""
    return _IN_PATCH.search(patch) is not None
