"""Commands that ask for bash: each placeholder becomes a reference to an environment variable, quoted for its place.

The value is never text of the script, so bash never parses it. Where even an expanded variable would be read as
code (arithmetic, ``eval``, the code of another interpreter), only values that cannot be code are let in.
Bash's quoting: https://www.gnu.org/software/bash/manual/html_node/Quoting.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlproj.errors import UsageError
from mlproj.manifest.models import Parameter
from mlproj.parameters.config import Config
from mlproj.parameters.template import EVERY_FLAG, EVERY_OVERRIDE, Placeholder, parse_script
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
_PREFIXES = frozenset(("command", "builtin", "exec", "env", "nohup", "time", "sudo", "nice", "!"))
_SHELL_OR_LANGUAGE = re.compile(r"(.*/)?((ba|da|z|k)?sh|python[\d.]*|perl|ruby|node|Rscript|R|julia|php|lua)")
_TAKES_CODE = re.compile(r"(.*/)?([gmn]?awk|sed|ssh|su|psql|sqlite3|mysql|parallel|watch)")
_CODE_OPTION = re.compile(r"-\w*[cepr]|--eval|--command|<<<")
_ARITHMETIC_TEST = re.compile(r"(?<!\w)-(eq|ne|lt|le|gt|ge|v|R)(?!\w)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")


class ShellTemplateError(UsageError):
    """A placeholder that stands where no value can be put safely."""


@dataclass
class _Context:
    """Where in a script the reader is: the kind of the innermost construct, and the words of its command so far."""

    kind: str
    words: list[str] = field(default_factory=list)
    word: str = ""
    depth: int = 0
    delimiter: str = ""
    in_expression: bool = False
    arithmetic_tests: bool = False
    after_backslash: bool = False


def rewrite_for_bash(
    script: str, parameters: Mapping[str, Parameter], config: Config, extra: Sequence[str]
) -> tuple[str, dict[str, str]]:
    """The script with variable references for its placeholders, and the variables to set.

    ``extra`` words are appended to the last command, as references too.

    Raises ``ShellTemplateError`` for a placeholder in a place where its value could be executed.
    """
    variables: dict[str, str] = {}
    text: list[str] = []
    for piece, context in _pieces_in_context(script):
        if isinstance(piece, str):
            text.append(piece)
        elif piece.name in (EVERY_FLAG, EVERY_OVERRIDE):
            if context.kind not in ("plain", "substitution"):
                raise ShellTemplateError(f"`{{{piece.name}}}` stands for several words, so it cannot stand in quotes")
            _refuse_code(piece.name, None, context)
            words = flags(config) if piece.name == EVERY_FLAG else overrides(config)
            text.append(_references(words, piece.name, variables))
        else:
            parameter = parameters.get(piece.name)
            _refuse_code(piece.name, parameter, context)
            variable = _variable(piece.name, parameters)
            value = config.secrets.get(piece.name)
            variables[variable] = text_of(config.values.get(piece.name)) if value is None else value
            text.append(_reference(variable, context))
    result = "".join(text).rstrip()
    if extra:
        result += " " + _references(extra, "extra", variables)
    return result, variables


def check_for_bash(script: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """What ``rewrite_for_bash`` would refuse about a script, whatever the values."""
    for piece, context in _pieces_in_context(script):
        if isinstance(piece, Placeholder) and (piece.name in parameters):
            try:
                _refuse_code(piece.name, parameters[piece.name], context)
            except ShellTemplateError as error:
                yield error.message


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


def _reference(variable: str, context: _Context) -> str:
    if context.kind in ("plain", "substitution"):
        return f'"${{{variable}}}"'
    if context.kind == "single":
        return f"'\"${{{variable}}}\"'"
    if context.kind == "ansi":
        return f"'\"${{{variable}}}\"$'"
    return f"${{{variable}}}"


def _refuse_code(name: str, parameter: Parameter | None, context: _Context) -> None:
    if context.kind == "literal":
        raise ShellTemplateError(
            f"`{{{name}}}` stands in a here-document whose word is quoted, where bash expands nothing: "
            "take the quotes off the word"
        )
    if context.after_backslash:
        raise ShellTemplateError(f"`{{{name}}}` stands after a backslash, which would take its value's place apart")
    if parameter is not None and parameter.value_type.base in _INERT_TYPES and not parameter.value_type.is_list:
        return
    place = _executing_place(context)
    if place is not None:
        raise ShellTemplateError(
            f"`{{{name}}}` stands {place}, so its value could be executed: only int, float and bool parameters can "
            "stand there; hand this one over as an argument or a variable"
        )


def _executing_place(context: _Context) -> str | None:
    """Where the context is, if what stands there is executed even as a variable's value."""
    words = [word for word in context.words if not _ASSIGNMENT.match(word)]
    while words and words[0] in _PREFIXES:
        words = words[1:]
    if context.in_expression or re.match(r"\w+\[[^\]]*$", context.word):
        return "in an arithmetic or parameter expression"
    if words[:1] == ["[["] and context.arithmetic_tests:
        return "inside `[[`, whose arithmetic tests evaluate what they compare"
    if words and words[0] in _EVALUATING:
        return f"as an argument of `{words[0]}`, which evaluates it"
    if words and words[0] in ("printf", "test", "[") and words[-1] == "-v":
        return f"as a variable's name for `{words[0]} -v`, which evaluates it"
    interpreter = next((word for word in words if _SHELL_OR_LANGUAGE.fullmatch(word)), None)
    if interpreter is not None and (_CODE_OPTION.fullmatch(words[-1]) or context.kind == "heredoc"):
        return f"in the code that is handed to `{interpreter}`"
    if words and _TAKES_CODE.fullmatch(words[0]):
        return f"as an argument of `{words[0]}`, which takes code"
    return None


def _pieces_in_context(script: str) -> Iterator[tuple[str | Placeholder, _Context]]:
    reader = _Reader(arithmetic_tests=_ARITHMETIC_TEST.search(script) is not None)
    after_backslash = False
    for piece in parse_script(script):
        if isinstance(piece, str):
            reader.read(piece)
            backslashes = len(piece) - len(piece.rstrip("\\"))
            after_backslash = backslashes % 2 == 1 and reader.stack[-1].kind != "single"
            yield piece, reader.stack[-1]
        else:
            yield piece, replace(reader.context(), after_backslash=after_backslash)
            reader.stack[-1].word += "\x00"
            after_backslash = False


class _Reader:
    """Follows a script letter by letter and knows the quoting context it has come to."""

    def __init__(self, *, arithmetic_tests: bool) -> None:
        self.arithmetic_tests = arithmetic_tests
        self.stack = [_Context("plain")]
        self.pending: list[_Context] = []  # the here-documents whose bodies start at the next line

    def context(self) -> _Context:
        """The innermost construct, with what the ones around it say about a value in it."""
        in_expression = False
        for context in reversed(self.stack):
            if context.kind in ("substitution", "plain"):
                break
            in_expression = in_expression or context.kind in ("arithmetic", "parameter")
        return replace(self.stack[-1], in_expression=in_expression, arithmetic_tests=self.arithmetic_tests)

    def read(self, text: str) -> None:
        position = 0
        while position < len(text):
            position += self._step(text, position)

    def _step(self, text: str, position: int) -> int:
        """Read one construct at ``position`` and give its length."""
        top = self.stack[-1]
        rest = text[position:]
        letter = rest[0]
        if top.kind in ("heredoc", "literal"):
            return self._heredoc_line(rest)
        if top.kind == "single":
            return self._until_quote(top, letter)
        if letter == "\\":
            top.word += rest[1:2]
            return 2
        if top.kind == "ansi":
            return self._until_quote(top, letter)
        if rest.startswith("$(("):
            return self._push("arithmetic", 3)
        if rest.startswith(("$(", "<(", ">(")) and (letter == "$" or top.kind != "double"):
            return self._push("substitution", 2)
        if rest.startswith("${"):
            return self._push("parameter", 2)
        if rest.startswith("$["):
            return self._push("arithmetic", 2)
        if letter == "`":
            return self._backtick()
        if top.kind == "double":
            return self._pop() if letter == '"' else self._add(top, letter)
        if rest.startswith("$'") and top.kind != "parameter":
            return self._push("ansi", 2)
        if letter == "'":
            return self._push("single", 1)
        if letter == '"':
            return self._push("double", 1)
        if top.kind == "arithmetic":
            return self._arithmetic(top, letter)
        if top.kind == "parameter":
            return self._pop() if letter == "}" else 1
        return self._command(top, rest)

    def _push(self, kind: str, length: int) -> int:
        inherited = self.stack[-1] if kind in ("double", "single", "ansi") else None
        self.stack.append(_Context(kind, words=inherited.words if inherited else [], word=""))
        return length

    def _pop(self) -> int:
        closed = self.stack.pop()
        self.stack[-1].word += closed.word or "\x00"
        return 1

    def _add(self, top: _Context, letter: str) -> int:
        top.word += letter
        return 1

    def _until_quote(self, top: _Context, letter: str) -> int:
        return self._pop() if letter == "'" else self._add(top, letter)

    def _backtick(self) -> int:
        if any(context.kind == "substitution" and context.depth < 0 for context in self.stack):
            while self.stack[-1].depth >= 0:
                self.stack.pop()
            return self._pop()
        self.stack.append(_Context("substitution", depth=-1))
        return 1

    def _arithmetic(self, top: _Context, letter: str) -> int:
        if letter in "([":
            top.depth += 1
        elif letter in ")]":
            top.depth -= 1
            if top.depth < 0:
                return self._pop()
        return 1

    def _command(self, top: _Context, rest: str) -> int:
        letter = rest[0]
        if letter == "#" and not top.word:
            end = rest.find("\n")
            return len(rest) if end < 0 else end
        if letter == "\n":
            self._end_command(top)
            if self.pending:
                self.stack.append(self.pending[0])
            return 1
        heredoc = re.match(r"<<(-?)[ \t]*(?:'([^']*)'|\"([^\"]*)\"|(\\?)([\w.-]+))", rest)
        if heredoc and not rest.startswith("<<<"):
            word = heredoc[2] or heredoc[3] or heredoc[5] or ""
            expands = heredoc[5] is not None and not heredoc[4]
            self._end_word(top)
            self.pending.append(_Context("heredoc" if expands else "literal", words=list(top.words), delimiter=word))
            return heredoc.end()
        if rest.startswith("<<<"):
            self._end_word(top)
            top.words.append("<<<")
            return 3
        if rest.startswith("((") and not top.word and not top.words:
            return self._push("arithmetic", 2)
        if letter == "(":
            top.depth += top.kind == "substitution" and top.depth >= 0
            self._end_command(top)
            return 1
        if letter == ")" and top.kind == "substitution" and top.depth >= 0:
            if top.depth == 0:
                return self._pop()
            top.depth -= 1
            self._end_command(top)
            return 1
        if top.words[:1] != ["[["] and letter in ";&|)":
            self._end_command(top)
            return 1
        if letter in " \t":
            self._end_word(top)
            return 1
        return self._add(top, letter)

    def _end_word(self, top: _Context) -> None:
        if top.word:
            keyword = top.word in ("if", "then", "else", "elif", "while", "until", "do", "!", "{", "time")
            if not (keyword and not top.words):
                top.words.append(top.word)
            if top.word == "]]" and top.words[0] == "[[":
                top.words = []
        top.word = ""

    def _end_command(self, top: _Context) -> None:
        self._end_word(top)
        top.words = []

    def _heredoc_line(self, rest: str) -> int:
        end = rest.find("\n")
        line = rest if end < 0 else rest[:end]
        if line.strip("\t") == self.stack[-1].delimiter and end >= 0:
            self.stack.pop()
            self.pending.pop(0)
            if self.pending:
                self.stack.append(self.pending[0])
        return len(rest) if end < 0 else end + 1
