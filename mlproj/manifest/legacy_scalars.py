"""What a plain YAML scalar stands for by YAML 1.1, as PyYAML's `safe_load` reads an MLproject for MLflow.

Here `no` is false, `1e3` a text, `010` eight and `2026-01-31` a date (https://yaml.org/type/).
"""

from __future__ import annotations

import functools
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

_LONGEST_NUMBER = 4000  # below the length at which Python refuses to read an int


def resolve_legacy_scalar(text: str, tag: str | None, *, plain: bool) -> Any:
    """The value of a scalar as ``yaml.safe_load`` has it.

    Raises ``ValueError`` for a tag that it does not know, and for a text that is not what its tag says.
    """
    resolver, constructor = _yaml()
    if tag in (None, "!"):
        tag = resolver.resolve(yaml.ScalarNode, text, (plain and tag is None, not plain))
    if str(tag).endswith((":merge", ":value")):
        return text
    if len(text) > _LONGEST_NUMBER and str(tag).endswith((":int", ":float")):
        raise ValueError(f"a number of {len(text)} digits")
    try:
        return constructor.construct_object(yaml.ScalarNode(tag, text), deep=True)
    except yaml.YAMLError:
        raise ValueError(f"the tag `{tag}`: only plain values belong in an MLproject") from None
    except (ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"`{text}` is no {str(tag).rpartition(':')[2]}: {error}") from None


@functools.cache
def _yaml() -> tuple[Any, Any]:
    return Resolver(), SafeConstructor()
