"""Reading a filter: its words with their columns, and the tree of what it asks.

The language is that of MLflow's ``search_runs``, extended by ``or``, ``not``, parentheses, bare words as
values, ages (``started_at > 2h ago``) and ``has(tags.x)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn, Union

from mlproj.errors import UsageError
from mlproj.text import one_line

MOST_COMPARISONS = 200
DEEPEST = 50
LONGEST_FILTER = 20_000


@dataclass(frozen=True)
class Token:
    """One word of a filter: ``value`` is what it means, ``column`` and ``end`` where it stands, from 0."""

    kind: Literal["word", "text", "key", "operator", "end"]
    value: str
    column: int
    end: int


@dataclass(frozen=True)
class Key:
    """What is compared; ``section`` is as written (``metrics``), and empty for a bare attribute."""

    section: str
    name: str
    token: Token


@dataclass(frozen=True)
class Comparison:
    """``key operator values``: several values only for ``in`` and ``not in``, none for ``has``."""

    key: Key
    operator: str
    values: tuple[Token, ...]


@dataclass(frozen=True)
class Not:
    """What must not hold."""

    operand: Node


@dataclass(frozen=True)
class Group:
    """Operands of which all (``and``) or at least one (``or``) must hold."""

    word: Literal["and", "or"]
    operands: tuple[Node, ...]


Node = Union["Comparison", "Not", "Group"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<key>`[^`]*`)
    |(?P<operator><=|>=|!=|<>|==|[=<>(),])
    |(?P<word>[^\s()<>=!,'"`]+))""",
    re.VERBOSE,
)
_COMPARISONS = {"==": "=", "<>": "!="} | {sign: sign for sign in ("=", "!=", "<", "<=", ">", ">=")}
_AGE_UNITS = ["s", "m", "h", "d", "w"]
_AGE_UNITS += [
    unit + ending for unit in ("sec", "second", "min", "minute", "hour", "day", "week") for ending in ("", "s")
]


def refuse(text: str, token: Token, problem: str, hint: str = "") -> NoReturn:
    """Raise the UsageError that shows where in ``text`` the problem is."""
    # An escape is longer than what it stands for, so the caret counts the shown characters.
    before, shown = one_line(text[: token.column]), one_line(text[token.column : token.end])
    start = max(0, len(before) - 60)
    line = ("…" if start else "") + before[start:] + shown[:60] + one_line(text[token.end : token.end + 40])
    caret = " " * (len(before) - start + (1 if start else 0)) + "^" * max(1, min(60, len(shown)))
    raise UsageError(f"column {token.column + 1}: {problem}\n  {line}\n  {caret}", hint=hint or None)


def tokens(text: str) -> list[Token]:
    """The words of a filter, ended by one of kind ``end``. Raises UsageError."""
    found: list[Token] = []
    position = 0
    whole = Token("end", "", 0, min(20, len(text)))
    if len(text) > LONGEST_FILTER:
        refuse(text, whole, f"a filter of more than {LONGEST_FILTER} characters")
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            column = position + len(text[position:]) - len(text[position:].lstrip())
            bad = Token("word", text[column], column, column + 1)
            quote = text[column] in "'\"`"
            refuse(
                text,
                bad,
                "this quote is never closed" if quote else f"`{one_line(text[column])}` means nothing",
            )
        column = match.start(match.lastgroup)
        found.append(_token(match.lastgroup, match[match.lastgroup], column))
        position = match.end()
    found.append(Token("end", "", len(text), len(text)))
    return found


def _token(kind: str, written: str, column: int) -> Token:
    end = column + len(written)
    if kind == "text":
        return Token("text", written[1:-1].replace(written[0] * 2, written[0]), column, end)
    if kind == "key":
        return Token("key", written[1:-1], column, end)
    return Token("operator" if kind == "operator" else "word", written, column, end)


class _Reader:
    """A place in the words of a filter."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.position = 0
        self.comparisons = 0

    def next(self) -> Token:
        token = self.tokens[self.position]
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.position + ahead, len(self.tokens) - 1)]

    def is_word(self, *words: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token.kind == "word" and token.value.lower() in words

    def expect(self, operator: str, problem: str) -> None:
        token = self.next()
        if token.kind != "operator" or token.value != operator:
            refuse(self.text, token, problem)


def parse_filter(text: str) -> Node | None:
    """The tree of a filter; ``None`` for an empty one. Raises UsageError that names the column."""
    reader = _Reader(text)
    if reader.peek().kind == "end":
        return None
    node = _either(reader, 0)
    token = reader.peek()
    if token.kind != "end":
        hint = "Put quotes around a value with spaces in it." if token.kind in ("word", "text") else ""
        refuse(text, token, f"`and`, `or` or the end is expected, not {_shown(token)}", hint)
    return node


def _either(reader: _Reader, depth: int) -> Node:
    operands = [_all(reader, depth)]
    while reader.is_word("or"):
        reader.next()
        operands.append(_all(reader, depth))
    return operands[0] if len(operands) == 1 else Group("or", tuple(operands))


def _all(reader: _Reader, depth: int) -> Node:
    operands = [_single(reader, depth)]
    while reader.is_word("and"):
        reader.next()
        operands.append(_single(reader, depth))
    return operands[0] if len(operands) == 1 else Group("and", tuple(operands))


def _single(reader: _Reader, depth: int) -> Node:
    token = reader.peek()
    if depth > DEEPEST:
        refuse(reader.text, token, f"more than {DEEPEST} parentheses and `not` in each other")
    if reader.is_word("not") and reader.peek(1).value not in _COMPARISONS:
        reader.next()
        return Not(_single(reader, depth + 1))
    if token.kind == "operator" and token.value == "(":
        reader.next()
        node = _either(reader, depth + 1)
        reader.expect(")", "a closing `)` is missing here")
        return node
    reader.comparisons += 1
    if reader.comparisons > MOST_COMPARISONS:
        refuse(reader.text, token, f"more than {MOST_COMPARISONS} comparisons")
    if reader.is_word("has") and reader.peek(1).value == "(":
        reader.next()
        reader.next()
        key = _key(reader)
        reader.expect(")", "a closing `)` is missing here")
        return Comparison(key, "has", ())
    return _comparison(reader)


def _comparison(reader: _Reader) -> Node:
    key = _key(reader)
    token = reader.next()
    if token.kind == "operator" and token.value in _COMPARISONS:
        return Comparison(key, _COMPARISONS[token.value], (_value(reader),))
    word = token.value.lower() if token.kind == "word" else ""
    negated = word == "not" and reader.is_word("in", "like", "ilike")
    if negated:
        word = reader.next().value.lower()
    if word in ("like", "ilike"):
        comparison = Comparison(key, word, (_value(reader),))
    elif word == "in":
        comparison = Comparison(key, word, _values(reader))
    else:
        refuse(
            reader.text,
            token,
            f"a comparison (=, !=, <, <=, >, >=, like, in) is expected, not {_shown(token)}",
        )
    if not negated:
        return comparison
    # As in SQL, `x not in (…)` asks for an x that is there, where `not x in (…)` takes
    # a run without one as well.
    return Group("and", (Comparison(key, "has", ()), Not(comparison)))


def _key(reader: _Reader) -> Key:
    token = reader.next()
    if token.kind != "word":
        refuse(reader.text, token, f"a key such as `metrics.rmse` or `status` is expected, not {_shown(token)}")
    section, dot, name = token.value.partition(".")
    quoted = reader.peek()
    if dot and not name and quoted.kind in ("key", "text") and quoted.column == token.end:
        reader.next()
        return Key(section, quoted.value, Token("word", token.value, token.column, quoted.end))
    if dot and not name:
        refuse(reader.text, token, "a name is missing after the dot")
    return Key(section, name, token) if dot else Key("", section, token)


def _values(reader: _Reader) -> tuple[Token, ...]:
    reader.expect("(", "a list in parentheses is expected after `in`")
    values = [_value(reader)]
    while reader.peek().value == "," and reader.peek().kind == "operator":
        reader.next()
        values.append(_value(reader))
    reader.expect(")", "`,` or a closing `)` is expected here")
    return tuple(values)


def _value(reader: _Reader) -> Token:
    token = reader.next()
    if token.kind not in ("word", "text"):
        refuse(reader.text, token, f"a value is expected, not {_shown(token)}")
    ago = 0
    if token.kind == "word" and reader.is_word("ago"):
        ago = 1
    elif token.kind == "word" and reader.is_word(*_AGE_UNITS) and reader.is_word("ago", ahead=1):
        ago = 2
    for _ in range(ago):
        part = reader.next()
        token = Token("word", f"{token.value} {part.value}", token.column, part.end)
    return token


def parse_order(text: str) -> list[tuple[Key, bool]]:
    """The keys of an order such as ``metrics.rmse desc, -started_at``, each with whether it
    goes downwards.
    """
    reader = _Reader(text)
    keys = []
    while True:
        first = reader.peek()
        minus = first.kind == "word" and first.value.startswith("-")
        if minus:
            shorter = Token("word", first.value[1:], first.column + 1, first.end)
            reader.tokens[reader.position] = (
                shorter if shorter.value else Token("operator", "-", first.column, first.end)
            )
        key = _key(reader)
        if reader.is_word("asc", "desc"):
            minus = reader.next().value.lower() == "desc"
        keys.append((key, minus))
        token = reader.next()
        if token.kind == "end":
            return keys
        if token.value != "," or len(keys) == 10:
            refuse(text, token, f"`asc`, `desc`, a comma or the end is expected, not {_shown(token)}")


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else f"`{one_line(token.value)}`"


def comparisons(node: Node | None) -> Iterator[Comparison]:
    """All comparisons in a filter's tree."""
    if isinstance(node, Comparison):
        yield node
    elif isinstance(node, Not):
        yield from comparisons(node.operand)
    elif isinstance(node, Group):
        for operand in node.operands:
            yield from comparisons(operand)
