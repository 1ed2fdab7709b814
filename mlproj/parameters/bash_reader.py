"""Reading a bash script letter by letter into commands and words, to know what surrounds each placeholder.

Bash's quoting: https://www.gnu.org/software/bash/manual/html_node/Quoting.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mlproj.errors import UsageError
from mlproj.parameters.bash_commands import (
    EXPANSION,
    FILE,
    PLACEHOLDER,
    QUOTE,
    SUBSTITUTION,
    Command,
    Level,
    Spot,
    commands_of_group,
    new_command,
)

_DEEPEST_NESTING = 100
_OPENERS = frozenset(("if", "while", "until", "{", "for", "select", "case"))
_KEYWORDS = frozenset(("if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"))
_CLOSERS = frozenset(("}", "done", "fi", "esac"))
_HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^']*)'|\"([^\"]*)\"|(\\?)([\w.-]+))")
_REDIRECTION = re.compile(r"<<<|&>>?|>>|>\||<>|[<>]&|<|>")
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*|\d|[@*#?$!-])")


@dataclass
class Context:
    """The innermost construct that the reader is in."""

    kind: str
    command: Command
    word: str = ""
    depth: int = 0
    delimiter: str = ""
    in_backticks: bool = False
    at_line_start: bool = False
    cases: int = 0
    expects_pattern: bool = False
    array: str = ""
    groups: list[int] = field(default_factory=list)


class Reader:
    """Follows a script letter by letter and knows what surrounds the letter it has come to."""

    def __init__(self) -> None:
        level = Level()
        self.levels = [level]
        self.stack = [Context("plain", new_command(level))]
        self.pending: list[Context] = []  # the here-documents whose bodies start at the next line
        self.arithmetic: list[str] = []  # every text that is evaluated as arithmetic
        self.parameters: list[str] = []  # the insides of every `${…}`
        self.functions: set[str] = set()

    def spot(self) -> Spot:
        """Where the reader is."""
        before = ""
        in_expression = False
        for context in reversed(self.stack):
            in_expression = in_expression or context.kind in ("arithmetic", "parameter")
            before = context.word + before
            if context.kind in ("substitution", "plain", "heredoc", "literal"):
                break
        command = context.command
        redirection = "<<" if context.kind in ("heredoc", "literal") else command.redirection
        index = -1 if redirection else len(command.words)
        return Spot(self.stack[-1].kind, command, index, redirection, before, in_expression)

    def fill_in(self) -> None:
        """Go over a placeholder, which is a word or a part of one."""
        self.stack[-1].word += PLACEHOLDER
        self.stack[-1].at_line_start = False

    def read(self, text: str) -> None:
        """Go over a stretch of the script.

        Raises ``UsageError`` for substitutions in one another beyond all reason.
        """
        position = 0
        while position < len(text):
            position += self._step(text[position:])

    def finish(self) -> None:
        """Come to the script's end: what is open ends there."""
        while len(self.stack) > 1:
            self._pop()
        self._end_word(self.stack[0])

    def _step(self, rest: str) -> int:
        """Read one construct and give its length."""
        top = self.stack[-1]
        letter = rest[0]
        if top.at_line_start and self._ends_document(top, rest):
            return max(rest.find("\n"), 0) + 1
        top.at_line_start = letter == "\n" and top.kind in ("heredoc", "literal")
        if top.kind == "literal":
            return self._add(top, letter)
        if top.kind == "single":
            return self._until_quote(top, letter)
        if letter == "\\":
            if rest[1:2] == "$" and self._in_backticks():
                return 1
            top.word += rest[1:2].replace("\n", "")
            return 2
        if top.kind == "ansi":
            return self._until_quote(top, letter)
        if rest.startswith("$(("):
            return self._push("arithmetic", 3, depth=1)
        if rest.startswith("$("):
            return self._push_level("$(")
        if rest.startswith(("<(", ">(")) and top.kind in ("plain", "substitution"):
            return self._push_level(rest[:2])
        if rest.startswith("${"):
            return self._push("parameter", 2)
        if rest.startswith("$["):
            return self._push("arithmetic", 2)
        variable = _VARIABLE.match(rest)
        if variable:
            top.word += f"{EXPANSION}{variable[1]}{EXPANSION}"
            return variable.end()
        if letter == "`":
            return self._backtick()
        if top.kind == "heredoc":
            return self._add(top, letter)
        if top.kind == "double":
            return self._pop() if letter == '"' else self._add(top, letter)
        if rest.startswith("$'") and top.kind != "parameter":
            return self._push("ansi", 2)
        if letter == "'":
            return self._push("single", 1)
        if letter == '"' or rest.startswith('$"'):
            return self._push("double", 1 + (letter == "$"))
        if top.kind == "arithmetic":
            return self._arithmetic(top, letter)
        if top.kind == "parameter":
            return self._pop() if letter == "}" else self._add(top, letter)
        return self._command(top, rest)

    def _in_backticks(self) -> bool:
        return any(context.in_backticks for context in self.stack)

    def _push(self, kind: str, length: int, depth: int = 0) -> int:
        self.stack.append(Context(kind, self.stack[-1].command, depth=depth))
        return length

    def _push_level(self, opening: str) -> int:
        if len(self.stack) > _DEEPEST_NESTING:
            raise UsageError(
                f"the command nests substitutions too deep to be read: more than {_DEEPEST_NESTING}",
                hint="Put it into a script of the project.",
            )
        level = Level(self.spot(), opening)
        self.levels.append(level)
        self.stack.append(Context("substitution", new_command(level), in_backticks=opening == "`"))
        if opening == ">(":
            assert level.parent is not None
            level.commands[0].opens_group = True
            level.parent.command.feeds.append(level.commands[0])
        return len(opening)

    def _pop(self) -> int:
        closed = self.stack.pop()
        outer = self.stack[-1]
        if closed.kind == "parameter":
            self.parameters.append(closed.word)
            outer.word += f"{EXPANSION}{closed.word.replace(EXPANSION, ' ')}{EXPANSION}"
        elif closed.kind == "arithmetic":
            self.arithmetic.append(closed.word)
            outer.word += SUBSTITUTION
        elif closed.kind == "substitution":
            self._end_word(closed)
            outer.word += FILE if closed.command.level.opening in ("<(", ">(") else SUBSTITUTION
        elif closed.kind in ("heredoc", "literal"):
            closed.command.redirections.append(("<<", closed.word))
        else:
            outer.word += QUOTE + closed.word
        return 1

    def _add(self, top: Context, letter: str) -> int:
        top.word += letter
        return 1

    def _until_quote(self, top: Context, letter: str) -> int:
        return self._pop() if letter == "'" else self._add(top, letter)

    def _backtick(self) -> int:
        if not self._in_backticks():
            return self._push_level("`")
        while not self.stack[-1].in_backticks:
            self._pop()
        return self._pop()

    def _arithmetic(self, top: Context, letter: str) -> int:
        if letter in "([":
            top.depth += 1
        elif letter in ")]":
            top.depth -= 1
            if top.depth < 0:
                return self._pop()
        return self._add(top, letter)

    def _command(self, top: Context, rest: str) -> int:
        letter = rest[0]
        if letter == "#" and not top.word:
            end = rest.find("\n")
            return len(rest) if end < 0 else end
        if letter in " \t":
            self._end_word(top)
            return 1
        if top.command.words[:1] == ["[["]:
            return self._inside_test(top, letter)
        if letter == "\n":
            self._end_command(top)
            self._start_document()
            return 1
        if rest.startswith("((") and self._starts_a_command(top):
            return self._push("arithmetic", 2, depth=1)
        if letter in "()":
            return self._parenthesis(top, rest)
        redirection = _REDIRECTION.match(rest)
        if redirection:
            return self._redirection(top, rest, redirection[0])
        if letter in ";&|":
            return self._operator(top, rest)
        return self._add(top, letter)

    def _inside_test(self, top: Context, letter: str) -> int:
        if letter not in "\n;&|()<>":
            return self._add(top, letter)
        self._end_word(top)
        if letter == "(":
            top.depth += 1
        elif letter == ")" and top.depth > 0:
            top.depth -= 1
        return 1

    def _starts_a_command(self, top: Context) -> bool:
        self._end_word(top) if top.word in _KEYWORDS | {"for"} else None
        return not top.word and top.command.words in ([], ["for"])

    def _parenthesis(self, top: Context, rest: str) -> int:
        if top.word == "esac":
            self._end_word(top)
        if top.expects_pattern:
            self._end_command(top)
            top.expects_pattern = rest[0] == "("
            return 1
        if rest[0] == "(":
            array = top.word.rstrip("+=") if top.word.endswith("=") else ""
            if re.match(r"\([ \t]*\)", rest):
                self.functions.add((top.command.words[-1:] + [top.word])[-1] or "".join(top.command.words[-1:]))
            top.depth += 1
            self._end_command(top)
            top.array = top.command.array = array
            self._open_group(top)
            return 1
        if top.kind == "substitution" and not top.in_backticks and top.depth == 0:
            return self._pop()
        top.depth -= top.depth > 0
        self._end_command(top)
        top.array = top.command.array = ""
        self._close_group(top)
        return 1

    def _redirection(self, top: Context, rest: str, operator: str) -> int:
        if top.word.isdigit() or re.fullmatch(r"\{\w+\}", top.word):
            top.word = ""
        self._end_word(top)
        heredoc = None if operator == "<<<" else _HEREDOC.match(rest)
        if heredoc is None:
            top.command.redirection = operator
            return len(operator)
        word = heredoc[2] or heredoc[3] or heredoc[5] or ""
        expands = heredoc[5] is not None and not heredoc[4]
        kind = "heredoc" if expands else "literal"
        self.pending.append(Context(kind, top.command, delimiter=word, at_line_start=True))
        return heredoc.end()

    def _operator(self, top: Context, rest: str) -> int:
        operator = re.match(r";;&|;;|;&|&&|\|\||\|&|[;&|]", rest)
        assert operator is not None
        before = top.command
        self._end_command(top)
        if operator[0] in (";;", ";&", ";;&"):
            top.expects_pattern = top.cases > 0
        if operator[0] in ("|", "|&") and not top.expects_pattern:
            for feeder in commands_of_group(before):
                if feeder is not top.command:
                    feeder.feeds.append(top.command)
        return operator.end()

    def _end_word(self, top: Context) -> None:
        word, top.word = top.word, ""
        command = top.command
        if not word:
            return
        if command.redirection:
            command.redirections.append((command.redirection, word))
            command.redirection = ""
            return
        if not command.words and not top.array and not top.expects_pattern:
            if word in _OPENERS:
                self._open_group(top)
            elif word in _CLOSERS:
                self._close_group(top)
        if not command.words and word in _KEYWORDS and not top.array:
            return
        if command.words[:1] == ["function"] and word == "{":
            self.functions.update(command.words[1:])
            self._end_command(top)
            self._open_group(top)
            return
        command.words.append(word)
        if word == "esac" and len(command.words) == 1:
            top.cases, top.expects_pattern = max(top.cases - 1, 0), False
        if command.words[0] == "case" and len(command.words) == 3 and word == "in":
            top.cases, top.expects_pattern = top.cases + 1, True
            self._end_command(top)
        elif word == "]]" and command.words[0] == "[[":
            self._end_command(top)

    def _open_group(self, top: Context) -> None:
        top.command.opens_group = True
        top.groups.append(len(top.command.level.commands) - 1)

    def _close_group(self, top: Context) -> None:
        top.command.closes_group = True
        top.command.group_start = top.groups.pop() if top.groups else 0

    def _end_command(self, top: Context) -> None:
        self._end_word(top)
        command = top.command
        if command.words or command.redirections or command.closes_group:
            top.command = new_command(command.level)
            top.command.array = top.array

    def _start_document(self) -> None:
        if self.pending:
            self.stack.append(self.pending.pop(0))

    def _ends_document(self, top: Context, rest: str) -> bool:
        end = rest.find("\n")
        line = rest if end < 0 else rest[:end]
        if line.strip("\t") != top.delimiter or end < 0:
            return False
        self._pop()
        self._start_document()
        return True
