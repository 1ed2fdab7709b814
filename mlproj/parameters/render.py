"""From a command's template and the configuration to an argument vector; no shell has a part in it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlproj.manifest.models import EntryPoint
from mlproj.parameters.config import Config
from mlproj.parameters.template import (
    EVERY_FLAG,
    WHOLE_WORDS,
    Piece,
    Placeholder,
    parse_template,
)
from mlproj.parameters.values import text_of
from mlproj.parameters.words import flags, overrides

MASK = "•••"


@dataclass(frozen=True)
class RenderedCommand:
    """What to start: ``argv`` and variables to add. ``shown`` is the argv with secrets masked, for people to see."""

    argv: tuple[str, ...] = field(repr=False)
    shown: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    interpreter: str | None = None


def render(entry_point: EntryPoint, config: Config, extra: Sequence[str] = ()) -> RenderedCommand:
    """The command of an entry point with its configuration's values in place, and ``extra`` words at its end.

    Placeholders that no parameter answers were found by ``check`` before.
    """
    if entry_point.dialect == "mlflow":
        from mlproj.parameters.mlflow_command import render_words

        argv_for_mlflow, variables, shell = render_words(entry_point, config, extra)
        return RenderedCommand(argv_for_mlflow, argv_for_mlflow, variables, interpreter=shell)
    if entry_point.shell is not None:
        from mlproj.parameters.shell import rewrite_for_bash

        assert isinstance(entry_point.command, str)
        script, variables = rewrite_for_bash(entry_point.command, entry_point.parameters, config, extra)
        under_bash = ("bash", "-euo", "pipefail", "-c", script, "bash")
        return RenderedCommand(under_bash, under_bash, variables, interpreter="bash")
    argv: list[str] = []
    shown: list[str] = []
    for word in command_words(entry_point.command):
        pieces = parse_template(word)
        if len(pieces) == 1 and isinstance(pieces[0], Placeholder) and pieces[0].name in WHOLE_WORDS:
            words = flags(config) if pieces[0].name == EVERY_FLAG else overrides(config)
            argv += words
            shown += words
            continue
        argv.append("".join(_text(piece, config) for piece in pieces))
        shown.append("".join(MASK if _is_secret(piece, config) else _text(piece, config) for piece in pieces))
    return RenderedCommand((*argv, *extra), (*shown, *extra))


def command_words(command: str | list[str]) -> list[str]:
    """A command's words before any value is in them: a text is split as a POSIX shell splits it.

    Raises ``ValueError`` when a quote is left open.
    """
    return list(command) if isinstance(command, list) else shlex.split(command)


def _is_secret(piece: Piece, config: Config) -> bool:
    return isinstance(piece, Placeholder) and piece.name in config.secrets


def _text(piece: Piece, config: Config) -> str:
    if isinstance(piece, str):
        return piece
    if piece.name in config.secrets:
        return config.secrets[piece.name]
    return text_of(config.values.get(piece.name))
