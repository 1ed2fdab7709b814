"""Reading TOML on every supported Python, and writing it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """The document that a TOML text holds. Raises ``ValueError`` with the place when it is none."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    document: dict[str, Any] = tomllib.loads(text)
    return document


def dump_toml(document: Mapping[str, Any]) -> str:
    """A TOML text of ``document``."""
    import tomli_w

    return tomli_w.dumps(document)
