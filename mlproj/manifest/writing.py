"""Values as the YAML of a manifest: on one line, or a script as a block."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from mlproj.manifest.scalars import resolve_scalar


class _Dumper(yaml.SafeDumper):
    """Writes texts that YAML 1.2 reads back as texts: PyYAML's own quotes are those that YAML 1.1 needs."""


class _Block(str):
    """A text to be written as a block, line by line."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if isinstance(resolve_scalar(text, None, plain=True), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(_Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def flow(value: Any) -> str:
    """A value on one line."""
    options: dict[str, Any] = {"default_flow_style": True, "allow_unicode": True, "width": 10_000, "sort_keys": False}
    text = yaml.dump(value, Dumper=_Dumper, **options)
    return str(text).strip().removesuffix("...").strip()


def scalar(text: str) -> str:
    """A text on one line, as a key or a value."""
    return flow([text])[1:-1]


def block(key: str, text: str, indentation: str) -> list[str]:
    """A key with a text of several lines as a block; quoted where YAML has no block for it."""
    dumped = yaml.dump({key: _Block(text)}, Dumper=_Dumper, allow_unicode=True, width=10_000)
    return textwrap.indent(str(dumped).rstrip("\n"), indentation).split("\n")
