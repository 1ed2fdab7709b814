"""Commands that ask for bash: each placeholder becomes a reference to an environment variable, quoted for its place.

The value is never text of the script, so bash never parses it. Where even an expanded variable would be read as
code (arithmetic, ``eval``, the code of another interpreter), only values that cannot be code are let in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mlproj.errors import UsageError
from mlproj.manifest.models import Parameter
from mlproj.parameters.bash_reader import Context, Reader
from mlproj.parameters.config import Config
from mlproj.parameters.template import EVERY_FLAG, Piece, Placeholder, parse_script
from mlproj.parameters.values import text_of
from mlproj.parameters.words import flags, overrides

_INERT_TYPES = ("int", "float", "bool")
# Builtins that execute their arguments, or evaluate them as names whose subscripts are arithmetic.
_EVALUATING = frozenset(
    [
        "eval",
        "let",
        "trap",
        "source",
        ".",
        "alias",
        "declare",
        "typeset",
        "local",
        "readonly",
        "unset",
        "read",
        "mapfile",
        "readarray",
        "getopts",
    ]
)
_ARITHMETIC_BUILTINS = frozenset(("let", "declare", "typeset", "local", "readonly", "alias", "trap"))
_PREFIXES = frozenset(("command", "builtin", "exec", "env", "nohup", "time", "sudo", "nice", "!"))
_SHELL_OR_LANGUAGE = re.compile(r"(.*/)?((ba|da|z|k)?sh|python[\d.]*|perl|ruby|node|Rscript|R|julia|php|lua)")
_TAKES_CODE = re.compile(r"(.*/)?([gmn]?awk|sed|ssh|su|psql|sqlite3|mysql|parallel|watch)")
_CODE_OPTION = re.compile(r"-\w*[cepr]|--eval|--command|<<<")
_ARITHMETIC_TEST = re.compile(r"(?<!\w)-(eq|ne|lt|le|gt|ge|v|R)(?!\w)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")


class ShellTemplateError(UsageError):
    """A placeholder that stands where no value can be put safely."""


@dataclass(frozen=True)
class Place:
    """A place where bash, or what it runs, would execute even the value of a variable.

    In ``of_code`` a plain word is no harm, as it has nothing to be code with; elsewhere a word is a name whose value is
    evaluated in turn, or a command by itself.
    """

    text: str
    of_code: bool = False


# Whether the value for a placeholder may stand in an executing place.
Permission = Callable[[str, Place], bool]


def rewrite_for_bash(
    script: str, parameters: Mapping[str, Parameter], config: Config, extra: Sequence[str]
) -> tuple[str, dict[str, str]]:
    """The script with variable references for its placeholders, and the variables to set.

    ``extra`` words are appended to the last command, as references too.

    Raises ``ShellTemplateError`` for a placeholder in a place where its value could be executed.
    """
    return rewrite_pieces(parse_script(script.rstrip()), parameters, config, extra, _inert_types(parameters))


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
    for piece, context in _pieces_in_context(pieces):
        if isinstance(piece, str):
            text.append(piece)
            continue
        problem = _problem(piece.name, context, permission)
        if problem is not None:
            raise ShellTemplateError(problem)
        if piece.name not in parameters and context.kind not in ("plain", "substitution"):
            raise ShellTemplateError(f"`{{{piece.name}}}` stands for several words, so it cannot stand in quotes")
        if piece.name in parameters:
            variable = _variable(piece.name, parameters)
            value = config.secrets.get(piece.name)
            variables[variable] = text_of(config.values.get(piece.name)) if value is None else value
            text.append(_reference(variable, context))
        else:
            words = flags(config) if piece.name == EVERY_FLAG else overrides(config)
            text.append(_references(words, piece.name, variables))
    result = "".join(text)
    if extra:
        result += " " + _references(extra, "extra", variables)
    return result, variables


def check_for_bash(script: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """What ``rewrite_for_bash`` would refuse about a script, whatever the values."""
    yield from check_pieces(parse_script(script), parameters, _inert_types(parameters))


def check_pieces(pieces: Sequence[Piece], parameters: Mapping[str, Parameter], permission: Permission) -> Iterator[str]:
    """What ``rewrite_pieces`` would refuse."""
    for piece, context in _pieces_in_context(pieces):
        if isinstance(piece, Placeholder) and piece.name in parameters:
            problem = _problem(piece.name, context, permission)
            if problem is not None:
                yield problem


def ends_in_a_command(pieces: Sequence[Piece]) -> bool:
    """Whether words put after the script would be words of its last command: no here-document or quote is open."""
    reader = Reader(arithmetic_tests=False)
    for piece in pieces:
        reader.read(piece) if isinstance(piece, str) else reader.fill_in()
    return [context.kind for context in reader.stack] == ["plain"] and not reader.pending


def _inert_types(parameters: Mapping[str, Parameter]) -> Permission:
    """Let in the values that cannot be code by their type."""

    def permission(name: str, _: Place) -> bool:
        kind = parameters[name].value_type if name in parameters else None
        return kind is not None and kind.base in _INERT_TYPES and not kind.is_list

    return permission


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


def _reference(variable: str, context: Context) -> str:
    if context.kind in ("plain", "substitution"):
        return f'"${{{variable}}}"'
    if context.kind == "single":
        return f"'\"${{{variable}}}\"'"
    if context.kind == "ansi":
        return f"'\"${{{variable}}}\"$'"
    return f"${{{variable}}}"


def _problem(name: str, context: Context, permission: Permission) -> str | None:
    """Why no value can stand for a placeholder there, if none can."""
    if context.kind == "literal":
        return (
            f"`{{{name}}}` stands in a here-document whose word is quoted, where bash expands nothing: "
            "take the quotes off the word"
        )
    if context.after_backslash:
        return f"`{{{name}}}` stands after a backslash, which would take its value's place apart"
    if context.after_dollar:
        return f"`{{{name}}}` stands after a `$`, which would make its value the name of a variable"
    place = _executing_place(context)
    if place is None or permission(name, place):
        return None
    return (
        f"`{{{name}}}` stands {place.text}, so its value could be executed: only int, float and bool parameters can "
        "stand there; hand this one over as an argument or a variable"
    )


def _executing_place(context: Context) -> Place | None:
    """Where the context is, if what stands there is executed even as a variable's value."""
    words = [word for word in context.words if not _ASSIGNMENT.match(word)]
    while words and words[0] in _PREFIXES:
        words = words[1:]
    if context.in_expression or re.match(r"\w+\[[^\]]*$", context.word):
        return Place("in an arithmetic or parameter expression")
    if words[:1] == ["[["] and context.arithmetic_tests:
        return Place("inside `[[`, whose arithmetic tests evaluate what they compare")
    if words and words[0] in _EVALUATING:
        of_code = words[0] not in _ARITHMETIC_BUILTINS
        return Place(f"as an argument of `{words[0]}`, which evaluates it", of_code)
    if words and words[0] in ("printf", "test", "[") and words[-1] == "-v":
        return Place(f"as a variable's name for `{words[0]} -v`, which evaluates it", of_code=True)
    interpreter = next((word for word in words if _SHELL_OR_LANGUAGE.fullmatch(word)), None)
    if interpreter is not None and (_CODE_OPTION.fullmatch(words[-1]) or context.kind == "heredoc"):
        of_code = re.fullmatch(r"(.*/)?((ba|da|z|k)?sh|python[\d.]*)", interpreter) is not None
        return Place(f"in the code that is handed to `{interpreter}`", of_code)
    if words and _TAKES_CODE.fullmatch(words[0]):
        return Place(f"as an argument of `{words[0]}`, which takes code", words[0] in ("ssh", "parallel", "watch"))
    return None


def _pieces_in_context(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Context]]:
    texts = (piece for piece in pieces if isinstance(piece, str))
    reader = Reader(arithmetic_tests=_ARITHMETIC_TEST.search("".join(texts)) is not None)
    after_backslash, after_dollar = False, False
    for piece in pieces:
        if isinstance(piece, str):
            reader.read(piece)
            quoted = reader.stack[-1].kind in ("single", "ansi", "literal")
            after_backslash = _backslashes(piece) % 2 == 1 and reader.stack[-1].kind != "single"
            after_dollar = piece.endswith("$") and _backslashes(piece[:-1]) % 2 == 0 and not quoted
            yield piece, reader.stack[-1]
        else:
            yield piece, replace(reader.context(), after_backslash=after_backslash, after_dollar=after_dollar)
            reader.fill_in()
            after_backslash, after_dollar = False, False


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))
