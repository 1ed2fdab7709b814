"""Reading a bash script letter by letter, to know in which quoting context a placeholder stands.

Bash's quoting: https://www.gnu.org/software/bash/manual/html_node/Quoting.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace


@dataclass
class Context:
    """Where in a script the reader is: the kind of the innermost construct, and the words of its command so far."""

    kind: str
    words: list[str] = field(default_factory=list)
    word: str = ""
    depth: int = 0
    delimiter: str = ""
    in_expression: bool = False
    arithmetic_tests: bool = False
    after_backslash: bool = False
    after_dollar: bool = False


class Reader:
    """Follows a script letter by letter and knows the quoting context it has come to."""

    def __init__(self, *, arithmetic_tests: bool) -> None:
        self.arithmetic_tests = arithmetic_tests
        self.stack = [Context("plain")]
        self.pending: list[Context] = []  # the here-documents whose bodies start at the next line

    def context(self) -> Context:
        """The innermost construct, with what the ones around it say about a value in it."""
        in_expression = False
        for context in reversed(self.stack):
            if context.kind in ("substitution", "plain"):
                break
            in_expression = in_expression or context.kind in ("arithmetic", "parameter")
        return replace(self.stack[-1], in_expression=in_expression, arithmetic_tests=self.arithmetic_tests)

    def fill_in(self) -> None:
        """Go over a placeholder, which is a word or a part of one."""
        self.stack[-1].word += "\x00"

    def read(self, text: str) -> None:
        """Go over a stretch of the script."""
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
        self.stack.append(Context(kind, words=inherited.words if inherited else [], word=""))
        return length

    def _pop(self) -> int:
        closed = self.stack.pop()
        self.stack[-1].word += closed.word or "\x00"
        return 1

    def _add(self, top: Context, letter: str) -> int:
        top.word += letter
        return 1

    def _until_quote(self, top: Context, letter: str) -> int:
        return self._pop() if letter == "'" else self._add(top, letter)

    def _backtick(self) -> int:
        if any(context.kind == "substitution" and context.depth < 0 for context in self.stack):
            while self.stack[-1].depth >= 0:
                self.stack.pop()
            return self._pop()
        self.stack.append(Context("substitution", depth=-1))
        return 1

    def _arithmetic(self, top: Context, letter: str) -> int:
        if letter in "([":
            top.depth += 1
        elif letter in ")]":
            top.depth -= 1
            if top.depth < 0:
                return self._pop()
        return 1

    def _command(self, top: Context, rest: str) -> int:
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
            self.pending.append(Context("heredoc" if expands else "literal", words=list(top.words), delimiter=word))
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

    def _end_word(self, top: Context) -> None:
        if top.word:
            keyword = top.word in ("if", "then", "else", "elif", "while", "until", "do", "!", "{", "time")
            if not (keyword and not top.words):
                top.words.append(top.word)
            if top.word == "]]" and top.words[0] == "[[":
                top.words = []
        top.word = ""

    def _end_command(self, top: Context) -> None:
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
