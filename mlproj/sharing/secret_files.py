"""Which files of a run do not leave the machine: those that hold credentials, by their name or their content."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlproj.files import CHUNK
from mlproj.private_keys import begins_private_key, is_pem, patch_holds_private_key
from mlproj.secret_names import looks_secret
from mlproj.text import is_text

# Shorter ones stand in every file.
SHORTEST_SECRET = 4
_HEADER = re.compile(rb"^diff --git (.*)$", re.MULTILINE)


def secret_in(path: Path, name: str, secrets: Sequence[str]) -> bool:
    """Whether a file is one of credentials, a private key, or holds one of ``secrets``; ``name`` is its path.

    Raises OSError.
    """
    if _is_secret_name(name):
        return True
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    wanted = _any_of(secrets)
    with path.open("rb") as stream:
        window = stream.read(CHUNK)
        if begins_private_key(window, name):
            return True
        if wanted is None:
            return False
        # Of each window the end is looked at once more, for what begins in it.
        overlap = max(len(each.encode()) for each in secrets if is_text(each))
        while window:
            if wanted.search(window):
                return True
            chunk = stream.read(CHUNK)
            window = window[-overlap:] + chunk if chunk else b""
    return False


def secret_in_patch(path: Path, secrets: Sequence[str], left_out: Sequence[str]) -> bool:
    """Whether a patch holds a file of credentials, a private key, one of ``secrets``, or a file of ``left_out``.

    The last are names in the project's folder, which may be below the repository's. Raises OSError.
    """
    content = path.read_bytes()
    wanted = _any_of(secrets)
    if patch_holds_private_key(content) or (wanted is not None and wanted.search(content)):
        return True
    ends = tuple(f"/{each}" for each in left_out)
    return any(_is_secret_name(name) or f"/{name}".endswith(ends) for name in _names_in(content))


def _is_secret_name(name: str) -> bool:
    # Certificates are called so too, and are public: the content tells whether there is a key.
    return looks_secret(name) and not is_pem(name)


def _any_of(secrets: Sequence[str]) -> re.Pattern[bytes] | None:
    forms = [re.escape(each.encode()) for each in secrets if is_text(each) and len(each) >= SHORTEST_SECRET]
    return re.compile(b"|".join(forms)) if forms else None


def _names_in(patch: bytes) -> Iterator[str]:
    """The files that a patch changes; ``diff --git a/NAME b/NAME`` says it twice, as renames are not looked for."""
    for found in _HEADER.finditer(patch):
        header = found[1]
        name = header[2 : 2 + (len(header) - 5) // 2]
        if header.startswith(b'"'):
            # As git quotes it: like a string of C's, its bytes in octal digits.
            name = header[3 : 3 + (len(header) - 9) // 2].decode("unicode_escape").encode("latin-1")
        yield name.decode("utf-8", "surrogateescape")
