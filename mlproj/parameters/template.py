"""The placeholders of a command: ``{name}``, ``{args}``, ``{overrides}``, and ``{{`` and ``}}`` for literal braces."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]")
_SCRIPT_PLACEHOLDER = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_][A-Za-z0-9_.-]*)\}")

EVERY_FLAG = "args"
EVERY_OVERRIDE = "overrides"
WHOLE_WORDS = (EVERY_FLAG, EVERY_OVERRIDE)


class TemplateError(ValueError):
    """Text with a brace that neither starts a placeholder nor is written twice."""


@dataclass(frozen=True)
class Placeholder:
    """A place in a command for a value."""

    name: str


Piece = str | Placeholder


def parse_template(text: str) -> list[Piece]:
    """The text as literal pieces and placeholders, in order.

    Only plain names are placeholders: ``{a[0]}``, ``{a!r}`` and ``{a:.2f}`` are errors, as is a lone brace.

    Raises ``TemplateError``.
    """
    pieces: list[Piece] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > end:
            pieces.append(text[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            pieces.append(match[0][0])
        elif match[1] is not None:
            pieces.append(Placeholder(match[1]))
        else:
            around = text[match.start() : match.start() + 20]
            raise TemplateError(
                f"a lone `{match[0]}` at `{around}`: a placeholder is a plain name in braces, "
                f"a literal brace is written twice (`{match[0] * 2}`)"
            )
    if end < len(text):
        pieces.append(text[end:])
    return pieces


def parse_script(text: str) -> list[Piece]:
    """The text of a bash script as literal pieces and placeholders.

    Bash has braces of its own: ``${name}`` and every brace that surrounds no plain name stay as they are. ``{name}``
    is a placeholder all the same, and ``{{`` and ``}}`` are literal braces.
    """
    pieces: list[Piece] = []
    end = 0
    for match in _SCRIPT_PLACEHOLDER.finditer(text):
        if match.start() > end:
            pieces.append(text[end : match.start()])
        end = match.end()
        pieces.append(match[0][0] if match[1] is None else Placeholder(match[1]))
    if end < len(text):
        pieces.append(text[end:])
    return pieces


def parse_format(text: str, names: Collection[str]) -> list[Piece]:
    """The text of an MLproject's command, which MLflow fills in with Python's ``str.format``.

    A placeholder is any text in braces that is one of ``names``, or could be one.
    https://docs.python.org/3/library/string.html#format-string-syntax

    Raises ``TemplateError`` for braces that ``str.format`` refuses, and for what it would do beyond putting a value in.
    """
    pieces: list[Piece] = []
    try:
        for literal, name, specification, conversion in string.Formatter().parse(text):
            if literal:
                pieces.append(literal)
            if name is None:
                continue
            whole = name + (f"!{conversion}" if conversion else "") + (f":{specification}" if specification else "")
            if whole in names:
                pieces.append(Placeholder(whole))
            elif name in names and not specification and conversion in (None, "s"):
                pieces.append(Placeholder(name))
            elif not name.strip() or name.isdigit():
                raise TemplateError(f"`{{{whole}}}` names no parameter: write literal braces twice, `{{{{{whole}}}}}`")
            elif name in names or specification or conversion or re.search(r"[^\w .-]", name):
                raise TemplateError(
                    f"`{{{whole}}}`: a placeholder is a parameter's name alone; write literal braces twice"
                )
            else:
                pieces.append(Placeholder(name))
    except ValueError as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(f"{error}: write literal braces twice, `{{{{` and `}}}}`") from None
    return merged(pieces)


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces with neighbouring texts as one: literal braces come out of a template as pieces of their own."""
    result: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and result and isinstance(result[-1], str):
            result[-1] += piece
        else:
            result.append(piece)
    return result


def names_in(pieces: list[Piece]) -> list[str]:
    """The names of the placeholders among the pieces, in order."""
    return [piece.name for piece in pieces if isinstance(piece, Placeholder)]
