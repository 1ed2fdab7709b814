"""All values of a configuration as words of a command: flags, and Hydra's overrides."""

from __future__ import annotations

from typing import Any

from mlproj.parameters.config import Config
from mlproj.parameters.values import text_of


def flags(config: Config) -> list[str]:
    """Every value as ``--name value``: a true bool is ``--name``, a false one and null are left out, a list repeats.

    A value that starts with ``-`` is joined with ``=``, so that no value is taken for an option. Secrets are left
    out: they are in the environment.
    """
    words: list[str] = []
    for name, value in config.values.items():
        for item in value if isinstance(value, list) else [value]:
            text = text_of(item)
            if item is None or item is False:
                continue
            if item is True:
                words.append(f"--{name}")
            elif text.startswith("-"):
                words.append(f"--{name}={text}")
            else:
                words += [f"--{name}", text]
    return words


def overrides(config: Config) -> list[str]:
    """Every value as a Hydra override, ``name=value``, in the form that gives the value back (secrets left out).

    Hydra's grammar: https://hydra.cc/docs/advanced/override_grammar/basic/
    """
    return [f"{name}={_hydra(value)}" for name, value in config.values.items()]


def _hydra(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_hydra(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_hydra_key(str(key))}:{_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return _hydra_text(value)
    return text_of(value)


def _hydra_key(text: str) -> str:
    """A mapping's key, which Hydra's grammar takes without quotes only, with backslashes before what it means."""
    return "".join("\\" + letter if letter in "\\()[]{}:=, \t" else letter for letter in text)


def _hydra_text(text: str) -> str:
    """A text in Hydra's single quotes.

    Backslashes are doubled where they stand before a quote or at the end. ``${`` would be an interpolation, which
    OmegaConf takes as text after a backslash; backslashes before it are doubled likewise.
    """
    result: list[str] = []
    backslashes = 0
    for index, letter in enumerate(text):
        if letter == "\\":
            backslashes += 1
            continue
        if letter == "'" or (letter == "$" and text.startswith("${", index)):
            result.append("\\" * (2 * backslashes + 1) + letter)
        else:
            result.append("\\" * backslashes + letter)
        backslashes = 0
    result.append("\\" * (2 * backslashes))
    return "'" + "".join(result) + "'"
