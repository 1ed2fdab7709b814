"""Which files of a project do not leave the machine: those that hold credentials, by their name or their content."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from mlproj.text import is_text

# Where tools keep credentials; `.env.example` and its like are there to be shared.
_NAMES = re.compile(
    r"\.env(\.(?!example$|sample$|template$|dist$).*)?|\.netrc|_netrc|\.pypirc|\.pgpass|\.git-credentials|\.htpasswd|"
    r"id_(rsa|dsa|ecdsa|ed25519)|credentials\.json|\.dockercfg"
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----\s")
_LOOKED_INTO = 10 << 20


def secret_in(path: Path, secrets: Sequence[str]) -> bool:
    """Whether a file is one of credentials, a private key, or holds one of ``secrets``.

    Files over 10 MiB are data, and are not looked into.
    """
    if _NAMES.fullmatch(path.name):
        return True
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LOOKED_INTO:
        return False
    content = path.read_bytes()
    if _PRIVATE_KEY.match(content.lstrip()):
        return True
    return any(each.encode() in content for each in secrets if is_text(each) and len(each) > 3)
