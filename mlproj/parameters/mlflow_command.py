"""The command of an MLproject's entry point: placeholders in a shell command, filled so that no value is code.

MLflow pastes quoted values into the text that it hands to bash. Here a command without shell syntax is split into
words before values go in; one with shell syntax runs under bash with values as variables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint
from mlproj.parameters.code_words import Place
from mlproj.parameters.config import Config
from mlproj.parameters.shell import (
    Permission,
    ShellTemplateError,
    check_pieces,
    ends_in_a_command,
    rewrite_pieces,
)
from mlproj.parameters.template import Piece, Placeholder, names_in, parse_format
from mlproj.text import did_you_mean, one_line

BASH = ("bash", "-e", "-o", "pipefail", "-c")
# What bash would make something of: operators, expansions, globs, braces, comments, negation, line ends.
_SHELL_SYNTAX = re.compile(r"[;&|<>()$`*?\[\]{}#!~\n\r]")
# A backslash before a line's end, unless another one takes it for itself.
_CONTINUATION = re.compile(r"(?<!\\)((?:\\\\)*)\\\n")
_ASSIGNMENT = re.compile(r"\w+\+?=")
_BUILTINS = re.compile(
    r"""(?x)
    \. | : | alias | bg | bind | break | builtin | caller | case | cd | command | compgen | complete |
    compopt | continue | coproc | declare | dirs | disown | do | done | elif | else | enable | esac | eval |
    exec | exit | export | fc | fg | fi | for | function | getopts | hash | help | history | if | in | jobs |
    kill | let | local | logout | mapfile | popd | pushd | read | readarray | readonly | return | select |
    set | shift | shopt | source | suspend | then | time | times | trap | type | typeset | ulimit | umask |
    unalias | unset | until | wait | while"""
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|true|false|True|False", re.ASCII)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_.,:/@%+=-]*", re.ASCII)
# A here-document whose word is quoted, from its operator to the line that ends it.
_QUOTED_DOCUMENT = re.compile(
    r"(?m)<<(?P<dash>-?)[ \t]*(?:(?P<quote>['\"])(?P<quoted>[\w.-]+)(?P=quote)|\\(?P<bare>[\w.-]+))"
    r"(?P<rest>[^\n]*\n)(?P<body>(?s:.*?))^(?P<end>[ \t]*(?:(?P=quoted)|(?P=bare)))$"
)
# Stand for the placeholders while a command is split; of Unicode's private use, so in no command.
_STAND_IN = re.compile("\ue000(\\d+)\ue001")


def render_words(
    entry_point: EntryPoint, config: Config, extra: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str], str | None]:
    """The argument vector, the variables to add, and the shell if there is one.

    Parameters that the entry point does not declare follow the command as ``--name value``, then ``extra``.

    Raises ``ShellTemplateError`` for a value that stands where it would be executed, ``UsageError`` for words to add to
    a command that has no end to add them at.
    """
    more = [word for name, value in config.undeclared.items() for word in (f"--{name}", value)] + list(extra)
    if isinstance(entry_point.command, list):
        return (*entry_point.command, *more), {}, None
    pieces = pieces_of_command(entry_point)
    permission = _value_is_inert(config.values)
    words = words_without_a_shell(pieces)
    if words is not None:
        for problem in check_pieces(pieces, entry_point.parameters, permission):
            raise ShellTemplateError(problem)
        return (*(_filled(word, config.values) for word in words), *more), {}, None
    script, variables = rewrite_pieces(pieces, entry_point.parameters, config, more, permission)
    if more and not ends_in_a_command(pieces):
        raise UsageError(
            f"the command ends in a here-document or an open quote, so `{one_line(more[0])}` cannot follow it",
            hint="Declare the parameter, and put its placeholder where it belongs.",
        )
    return (*BASH, script, "bash"), variables, "bash"


def problems_of(entry_point: EntryPoint) -> Iterator[str]:
    """What is wrong with the command whatever the values: broken braces, placeholders without a parameter.

    Raises ``TemplateError`` as ``parse_format``.
    """
    names = entry_point.parameters
    if isinstance(entry_point.command, list):
        return
    for name in dict.fromkeys(names_in(parse_format(entry_point.command, names))):
        if name not in names:
            declared = ", ".join(f"`{each}`" for each in names) or "none is declared"
            yield f"no parameter `{one_line(name)}` for `{{{one_line(name)}}}` ({declared}).{did_you_mean(name, names)}"


def cautions_about(entry_point: EntryPoint) -> Iterator[str]:
    """Where the command lets only some values in, since others could be executed there."""
    if isinstance(entry_point.command, str):
        nothing = Permission(lambda *_: False, _what_may_stand)
        yield from check_pieces(pieces_of_command(entry_point), entry_point.parameters, nothing)


def _with_expanding_documents(pieces: Sequence[Piece]) -> list[Piece]:
    """The same command, with here-documents that hold placeholders written so that bash expands variables in them.

    MLflow pastes into a here-document whose word is quoted as into any other; a variable needs the word without its
    quotes, and then everything else in the document that bash would expand needs a backslash.
    """

    def rewritten(match: re.Match[str]) -> str:
        if "\ue000" not in match["body"]:
            return match[0]
        body = re.sub(r"[\\$`]", r"\\\g<0>", match["body"])
        word = match["quoted"] or match["bare"]
        return f"<<{match['dash']}{word}{match['rest']}{body}{match['end']}"

    return _pieces_of(_QUOTED_DOCUMENT.sub(rewritten, _with_stand_ins(pieces)), pieces)


def names_used(entry_point: EntryPoint) -> Collection[str]:
    """The parameters whose placeholders are in the command."""
    if isinstance(entry_point.command, list):
        return ()
    return names_in(parse_format(entry_point.command, entry_point.parameters))


def pieces_of_command(entry_point: EntryPoint) -> list[Piece]:
    """A command's text and placeholders, without the white space at its end.

    Raises ``TemplateError`` as ``parse_format``.
    """
    assert isinstance(entry_point.command, str)
    pieces = _trimmed(parse_format(entry_point.command, entry_point.parameters))
    return _with_expanding_documents(pieces) if "<<" in entry_point.command else pieces


def words_without_a_shell(pieces: Sequence[Piece]) -> list[list[Piece]] | None:
    """The command's words when bash would do no more to it than split it and take quotes away; else ``None``."""
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    if "'" not in text:
        pieces = [_CONTINUATION.sub(r"\1", piece) if isinstance(piece, str) else piece for piece in pieces]
        text = "".join(piece for piece in pieces if isinstance(piece, str))
    if _SHELL_SYNTAX.search(text) or "\ue000" in text:
        return None
    try:
        words = [_pieces_of(word, pieces) for word in shlex.split(_with_stand_ins(pieces))]
    except ValueError:
        return None  # a quote that is never closed: bash says so
    first = words[0] if words else []
    if not first or not isinstance(first[0], str):
        return words or None
    return None if _BUILTINS.fullmatch(first[0]) or _ASSIGNMENT.match(first[0]) else words


def _with_stand_ins(pieces: Sequence[Piece]) -> str:
    return "".join(piece if isinstance(piece, str) else f"\ue000{index}\ue001" for index, piece in enumerate(pieces))


def _pieces_of(word: str, pieces: Sequence[Piece]) -> list[Piece]:
    parts = _STAND_IN.split(word)
    found: list[Piece] = [pieces[int(part)] if index % 2 else part for index, part in enumerate(parts)]
    return [piece for piece in found if piece != ""]


def _filled(word: Sequence[Piece], values: Mapping[str, str]) -> str:
    return "".join(piece if isinstance(piece, str) else values[piece.name] for piece in word)


def _trimmed(pieces: list[Piece]) -> list[Piece]:
    """The command without the white space at its end, and without a backslash there that continues it into nothing."""
    if not pieces or isinstance(pieces[-1], Placeholder):
        return pieces
    text = pieces[-1].rstrip(" \t\n")
    after = pieces[-1][len(text) :]
    if (len(text) - len(text.rstrip("\\"))) % 2:
        # What the backslash is before is a part of the command, unless that is the line's end.
        text = text[:-1].rstrip() if after[:1] == "\n" else text + after[:1]
    return [*pieces[:-1], text] if text else pieces[:-1]


def _value_is_inert(values: Mapping[str, str]) -> Permission:
    """Let in the values that cannot be code by what they are: numbers, and in code plain words."""

    def given(name: str, place: Place) -> bool:
        value = values.get(name, "")
        return _NUMBER.fullmatch(value) is not None or (place.of_code and _PLAIN_WORD.fullmatch(value) is not None)

    return Permission(given, _what_may_stand)


def _what_may_stand(place: Place) -> str:
    return "a number or a word of letters, digits and `_.,:/@%+=-`" if place.of_code else "a number, true or false"
