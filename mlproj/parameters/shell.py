"""Commands that ask for bash: each placeholder becomes a reference to an environment variable, quoted for its place.

The value is never text of the script, so bash never parses it. Where even an expanded variable would be read as
code (arithmetic, ``eval``, the code of another interpreter), only values that cannot be code are let in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlproj.errors import UsageError
from mlproj.manifest.models import Parameter
from mlproj.parameters.bash_commands import PLACEHOLDER
from mlproj.parameters.bash_reader import Reader
from mlproj.parameters.code_places import Placed, placed_pieces
from mlproj.parameters.code_words import Place, code_of
from mlproj.parameters.config import Config
from mlproj.parameters.template import EVERY_FLAG, WHOLE_WORDS, Piece, Placeholder, parse_script
from mlproj.parameters.values import text_of
from mlproj.parameters.words import flags, overrides

_INERT_TYPES = ("int", "float", "bool")


class ShellTemplateError(UsageError):
    """A placeholder that stands where no value can be put safely."""


@dataclass(frozen=True)
class Permission:
    """Whether the value for a placeholder may stand in an executing place, and, for people, what may stand there."""

    given: Callable[[str, Place], bool]
    said: Callable[[Place], str]


def rewrite_for_bash(
    script: str, parameters: Mapping[str, Parameter], config: Config, extra: Sequence[str]
) -> tuple[str, dict[str, str]]:
    """The script with variable references for its placeholders, and the variables to set.

    ``extra`` words are appended to the last command, as references too.

    Raises ``ShellTemplateError`` for a placeholder in a place where its value could be executed.
    """
    return rewrite_pieces(parse_script(script.rstrip()), parameters, config, extra, by_type(parameters))


def rewrite_pieces(
    pieces: Sequence[Piece],
    parameters: Mapping[str, Parameter],
    config: Config,
    extra: Sequence[str],
    permission: Permission,
) -> tuple[str, dict[str, str]]:
    """``rewrite_for_bash`` for a script that is in pieces already, with another rule about what is inert."""
    variables: dict[str, str] = {}
    text: list[str] = []
    for placed in placed_pieces(pieces):
        piece, kind = placed.piece, placed.spot.kind
        if isinstance(piece, str):
            text.append(piece)
            continue
        problem = _problem(piece.name, placed, permission)
        if problem is not None:
            raise ShellTemplateError(problem)
        if piece.name not in parameters and kind not in ("plain", "substitution"):
            raise ShellTemplateError(f"`{{{piece.name}}}` stands for several words, so it cannot stand in quotes")
        if piece.name in parameters:
            variable = _variable(piece.name, parameters)
            value = config.secrets.get(piece.name)
            variables[variable] = text_of(config.values.get(piece.name)) if value is None else value
            text.append(_reference(variable, kind))
        else:
            words = flags(config) if piece.name == EVERY_FLAG else overrides(config)
            text.append(_references(words, piece.name, variables))
    result = "".join(text)
    if extra:
        result += " " + _references(extra, "extra", variables)
    return result, variables


def check_for_bash(script: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """What ``rewrite_for_bash`` would refuse about a script, whatever the values."""
    yield from check_pieces(parse_script(script), parameters, by_type(parameters))


def check_pieces(pieces: Sequence[Piece], parameters: Mapping[str, Parameter], permission: Permission) -> Iterator[str]:
    """What ``rewrite_pieces`` would refuse."""
    for placed in placed_pieces(pieces):
        if isinstance(placed.piece, Placeholder) and placed.piece.name in (*parameters, *WHOLE_WORDS):
            problem = _problem(placed.piece.name, placed, permission)
            if problem is not None:
                yield problem


def check_words(words: Sequence[Sequence[Piece]], permission: Permission) -> Iterator[str]:
    """What would be refused about a command that is words already: values in code of an interpreter or a program."""
    for _, problem in problems_of_words(words, permission):
        yield problem


def problems_of_words(words: Sequence[Sequence[Piece]], permission: Permission) -> Iterator[tuple[int, str]]:
    """``check_words``, each problem with the index of its word."""
    code = code_of(["".join(piece if isinstance(piece, str) else PLACEHOLDER for piece in word) for word in words])
    for index, word in enumerate(words):
        place = code.words.get(index)
        for piece in word if place else ():
            if place and isinstance(piece, Placeholder) and not permission.given(piece.name, place):
                yield index, _refusal(piece.name, place, permission)


def ends_in_a_command(pieces: Sequence[Piece]) -> bool:
    """Whether words put after the script would be words of its last command: no here-document or quote is open."""
    reader = Reader()
    for piece in pieces:
        reader.read(piece) if isinstance(piece, str) else reader.fill_in()
    return [context.kind for context in reader.stack] == ["plain"] and not reader.pending


def by_type(parameters: Mapping[str, Parameter]) -> Permission:
    """Let in the values that cannot be code by their type."""

    def given(name: str, _: Place) -> bool:
        kind = parameters[name].value_type if name in parameters else None
        return kind is not None and kind.base in _INERT_TYPES and not kind.is_list

    return Permission(given, lambda _: "an `int`, `float` or `bool` parameter")


def _variable(name: str, parameters: Mapping[str, Parameter]) -> str:
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    clashing = [other for other in parameters if re.sub(r"\W", "_", other, flags=re.ASCII) == plain]
    number = clashing.index(name) if name in clashing else 0
    return f"MLPROJ_VALUE_{plain}" + (f"__{number}" if number else "")


def _references(words: Sequence[str], name: str, variables: dict[str, str]) -> str:
    references = []
    for index, word in enumerate(words):
        variable = f"MLPROJ_WORD_{name}_{index}"
        variables[variable] = word
        references.append(f'"${{{variable}}}"')
    return " ".join(references)


def _reference(variable: str, kind: str) -> str:
    if kind in ("plain", "substitution"):
        return f'"${{{variable}}}"'
    if kind == "single":
        return f"'\"${{{variable}}}\"'"
    if kind == "ansi":
        return f"'\"${{{variable}}}\"$'"
    return f"${{{variable}}}"


def _problem(name: str, placed: Placed, permission: Permission) -> str | None:
    """Why no value can stand for a placeholder there, if none can."""
    if placed.spot.kind == "literal":
        return (
            f"`{{{name}}}` stands in a here-document whose word is quoted, where bash expands nothing: "
            "take the quotes off the word"
        )
    if placed.after == "\\":
        return f"`{{{name}}}` stands after a backslash, which would take its value's place apart"
    if placed.after == "$":
        return f"`{{{name}}}` stands after a `$`, which would make its value the name of a variable"
    if placed.place is None or permission.given(name, placed.place):
        return None
    return _refusal(name, placed.place, permission)


def _refusal(name: str, place: Place, permission: Permission) -> str:
    return (
        f"`{{{name}}}` stands {place.text}, so its value could be executed: only {permission.said(place)} can stand "
        "there; hand this one over as an argument or a variable"
    )
