"""What an image can be called: the form that engines and registries take."""

from __future__ import annotations

import re

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# A registry has a dot, a port, a capital letter, or is `localhost`; else the word is part of the name.
_REGISTRY = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_DIGEST = r"sha256:[0-9a-f]{64}"
_IMAGE = re.compile(
    rf"(?:(?:{_REGISTRY}/)?(?P<name>{_PART}(?:/{_PART})*)(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?|{_DIGEST})"
)
LONGEST = 512


def is_image_name(text: str) -> bool:
    """Whether a text can name an image, by name, tag or digest."""
    return len(text) <= LONGEST and _IMAGE.fullmatch(text) is not None


def is_digest(text: object) -> bool:
    """Whether a value is a digest as engines write one."""
    return isinstance(text, str) and re.fullmatch(_DIGEST, text) is not None
