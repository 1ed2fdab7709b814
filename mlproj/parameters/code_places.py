"""Which placeholders of a bash script stand where even a variable's value would be executed, however it gets there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlproj.parameters.bash_commands import (
    EXPANSION,
    PLACEHOLDER,
    SUBSTITUTION,
    Command,
    Spot,
    commands_of_group,
    names_expanded,
    plain,
)
from mlproj.parameters.bash_reader import Reader
from mlproj.parameters.code_words import Code, Place, code_of
from mlproj.parameters.template import Piece, merged

_ARITHMETIC_TEST = re.compile(r"-(eq|ne|lt|le|gt|ge|v|R)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]]*\])?\+?=(.*)", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_ASSIGNING = frozenset(("declare", "typeset", "local", "readonly", "export", "env"))
_READING = frozenset(("read", "mapfile", "readarray"))
_LONGEST_PIPELINE = 100
# Stand for names: of what `read` reads, of the parameters of a function or of the script.
_READ, _POSITIONAL = "<read>", "@"


@dataclass(frozen=True)
class Placed:
    """A piece of a script; of a placeholder where it stands, and the place that would execute it, if that does."""

    piece: Piece
    spot: Spot
    place: Place | None
    after: str  # the `\` or `$` right before it that takes effect


def placed_pieces(pieces: Sequence[Piece]) -> list[Placed]:
    """The pieces of a script with the places that they stand in."""
    reader = Reader()
    found: list[tuple[Piece, Spot, str]] = []
    text, after = "", ""
    for piece in merged(pieces):
        if isinstance(piece, str):
            text = piece
            reader.read(piece)
            after = _effective_end(text, reader.stack[-1].kind)
            found.append((piece, reader.spot(), ""))
        else:
            found.append((piece, reader.spot(), after))
            reader.fill_in()
            after = ""
    reader.finish()
    script = _Script(reader)
    return [
        Placed(piece, spot, None if isinstance(piece, str) else script.place(spot), after)
        for piece, spot, after in found
    ]


def _effective_end(text: str, kind: str) -> str:
    if text.endswith("\\"):
        return "\\" if _backslashes(text) % 2 == 1 and kind not in ("single", "literal") else ""
    if text.endswith("$") and _backslashes(text[:-1]) % 2 == 0 and kind not in ("single", "ansi", "literal"):
        return "$"
    return ""


def _backslashes(text: str) -> int:
    return len(text) - len(text.rstrip("\\"))


class _Script:
    """A script that was read: its commands, and the variables whose values it evaluates or executes."""

    def __init__(self, reader: Reader) -> None:
        self.functions = reader.functions
        self.parameters = reader.parameters
        self.commands = [command for level in reader.levels for command in level.commands]
        self.codes = {id(command): code_of(command.words) for command in self.commands}
        self.texts = "\n".join(
            re.sub(f"{EXPANSION}[^{EXPANSION}]*{EXPANSION}", " ", " ".join(command.words)) for command in self.commands
        )
        self.cats = [
            command.level.parent
            for command in self.commands
            if command.level.parent is not None and command.words in (["cat"], ["cat", "-"])
        ]
        self.run = {name for command in self.commands for name in names_expanded(_program(command))}
        evaluated, executed = set[str](), set[str]()
        for text in reader.arithmetic:
            evaluated |= _names_in(text)
        for inside in reader.parameters:
            bare = inside.replace(EXPANSION, " ")
            for part in re.findall(r"^[!#]?\w+\[(.*)\]|:(?![-=?+])(.*)$", bare, re.DOTALL):
                evaluated |= _names_in(" ".join(part)) | names_expanded(inside)
            indirect = re.match(r"\s*(?:!(\w+)(?!\w*(?:[*@]$|\[))|(\w+).*@P$)", bare, re.DOTALL)
            if indirect:
                executed.add(indirect[1] or indirect[2])
        self.executes_variable = ""
        for spot in self._spots():
            self._follow(spot, evaluated, executed)
        self.evaluated = self._closure(evaluated)
        self.executed = self._closure(executed)

    def place(self, spot: Spot) -> Place | None:
        """The place that would execute what stands at ``spot``; of several the one that lets in the least."""
        found = [self._direct_place(spot)]
        goes_to = self._destinations(spot)
        found += [
            Place(f"in the value of {_shown(name)}, which arithmetic evaluates", of_names=True)
            for name in sorted(goes_to & self.evaluated)
        ]
        found += [
            Place(f"in the value of {_shown(name)}, which is executed", of_code=True)
            for name in sorted(goes_to & self.executed)
        ]
        found.append(self._place_in_run_value(spot, goes_to))
        if self.executes_variable:
            found.append(Place(f"in a script that executes the value of `${self.executes_variable}`", of_code=True))
        return min((each for each in found if each), key=lambda each: each.of_code, default=None)

    def _place_in_run_value(self, spot: Spot, goes_to: set[str]) -> Place | None:
        """Where what stands at ``spot`` is code of the command that a variable's value is run as, as by `$command`."""
        assignment = _ASSIGNMENT.match(self._text(spot))
        if not assignment or not goes_to & self.run:
            return None
        words = plain(assignment[3]).split()
        code = code_of(words).words
        return next((code[index] for index, word in enumerate(words) if index in code and PLACEHOLDER in word), None)

    def _spots(self) -> Iterator[Spot]:
        for command in self.commands:
            for index in range(len(command.words)):
                yield Spot("plain", command, index, "", "", False)
            for operator, _ in command.redirections:
                yield Spot("plain", command, -1, operator, "", False)

    def _follow(self, spot: Spot, evaluated: set[str], executed: set[str]) -> None:
        """Take down the variables that the text at ``spot`` has, if it is evaluated or executed."""
        text = self._text(spot)
        words = spot.command.words
        place = self._direct_place(spot)
        if spot.index >= 0 and words[0] in ("declare", "typeset", "local", "readonly") and place is not None:
            evaluated |= set(_IDENTIFIER.findall(plain(text).partition("=")[0]))
        subscript = re.match(r"\w+\[(.*)\]\+?=", text, re.DOTALL)
        if subscript:
            evaluated |= _names_in(subscript[1])
        if place is None:
            return
        if place.of_names:
            evaluated |= _names_in(text) if words[:1] in (["[["], ["let"]) else names_expanded(text)
            return
        names = {name for name in names_expanded(text) if self._is_set_here(name)}
        executed |= names
        if names and (" handed to " in place.text or "`eval`" in place.text or "`ssh`" in place.text):
            self.executes_variable = min(names)

    def _is_set_here(self, name: str) -> bool:
        """Whether the script itself could give a variable its value, which otherwise is the environment's."""
        if name.isdigit() or name in "@*":
            return bool(self.functions) or re.search(r"(?m)(^| )set ", self.texts) is not None
        return re.search(rf"\b{re.escape(name)}\b", self.texts) is not None

    def _text(self, spot: Spot) -> str:
        if spot.index >= 0:
            return spot.command.words[spot.index] if spot.index < len(spot.command.words) else ""
        return " ".join(text for operator, text in spot.command.redirections if operator == spot.redirection)

    def _direct_place(self, spot: Spot) -> Place | None:
        return self._own_place(spot) or self._place_of_output(spot, [])

    def _own_place(self, spot: Spot) -> Place | None:
        words = spot.command.words
        if spot.in_expression:
            return Place("in an arithmetic or parameter expression", of_names=True)
        if re.match(r"\w*\[[^\]]*$", spot.before) and self._may_be_subscript(spot):
            return Place("in an array's subscript, which is arithmetic", of_names=True)
        if words[:1] == ["[["] and any(_ARITHMETIC_TEST.fullmatch(word) for word in words):
            return Place("inside `[[`, whose arithmetic tests evaluate what they compare", of_names=True)
        if spot.index >= 0:
            return self._code(spot.command).words.get(spot.index)
        if spot.redirection in ("<<<", "<<"):
            return self._reader_of_code(spot.command)
        return None

    def _may_be_subscript(self, spot: Spot) -> bool:
        words = spot.command.words
        if spot.command.array:
            return True
        assignments = 0
        while assignments < len(words) and _ASSIGNMENT.match(words[assignments]):
            assignments += 1
        return spot.before[0] != "[" and (spot.index <= assignments or words[0] in _ASSIGNING)

    def _code(self, command: Command) -> Code:
        return self.codes[id(command)]

    def _reader_of_code(self, command: Command) -> Place | None:
        """What reads the command's standard input as code: itself, or a command of the group that it is."""
        readers = command.level.commands if command.opens_group else [command, *commands_of_group(command)]
        if _program(command) in self.functions or _program(command) == "exec":
            readers = self.commands
        places = (
            self._code(reader).standard_input or self._code_from_cat(reader) for reader in readers if reader.words
        )
        return next((place for place in places if place), None)

    def _code_from_cat(self, reader: Command) -> Place | None:
        """What takes the output of a `cat` as code that has the standard input of the command around it."""
        for parent in self.cats:
            if parent.command is reader:
                return self._code(reader).words.get(parent.index)
        return None

    def _place_of_output(self, spot: Spot, seen: list[Command]) -> Place | None:
        """Where the output of the command at ``spot`` is code."""
        command = spot.command
        if any(command is each for each in seen):
            return None
        if len(seen) > _LONGEST_PIPELINE:
            return Place("in a pipeline that is too long to follow", of_names=True)
        seen.append(command)
        for target in command.feeds:
            place = self._reader_of_code(target)
            place = place or self._place_of_output(Spot("plain", target, 0, "", "", False), seen)
            if place is not None:
                return place
        parent = command.level.parent
        if parent is None or command.level.opening == ">(":
            return None
        inherited = self._own_place(parent) or self._place_of_output(parent, seen)
        if inherited is not None:
            return inherited if not inherited.of_names or _is_printed(spot) else None
        is_file = parent.index in self._code(parent.command).files or parent.redirection == "<"
        if command.level.opening != "<(" or not is_file:
            return None
        if parent.redirection == "<":
            return self._reader_of_code(parent.command)
        return Place(f"in the code that is handed to `{plain(parent.command.words[0])}`", of_code=True)

    def _destinations(self, spot: Spot) -> set[str]:
        """The variables that what stands at ``spot`` may become a value of."""
        command, words = spot.command, spot.command.words
        names: set[str] = set()
        if spot.redirection in ("<<<", "<<", "<") or command.feeds:
            names.add(_READ)
        if command.array:
            names.add(command.array)
        parent = command.level.parent
        if parent is not None and _is_printed(spot):
            names |= self._destinations(parent)
        if spot.index < 0 or not words:
            return names
        assignment = _ASSIGNMENT.match(words[spot.index]) if spot.index < len(words) else None
        leading = all(_ASSIGNMENT.match(word) for word in words[: spot.index])
        if assignment and (leading or words[0] in _ASSIGNING):
            names.add(assignment[1])
        program = _program(command)
        if program in ("for", "select") and len(words) > 1:
            names.add(words[1])
        if program == "printf" and "-v" in words[:-1]:
            names.add(words[words.index("-v") + 1])
        if program in self.functions or program == "set":
            names.add(_POSITIONAL)
        return names

    def _closure(self, seeds: set[str]) -> set[str]:
        """The names, with those of the variables whose values become theirs."""
        names = set(seeds)
        while True:
            before = len(names)
            if any(name.isdigit() or name == "*" for name in names):
                names.add(_POSITIONAL)
            for command in self.commands:
                if _READING & set(command.words) and names & {*map(plain, command.words), "REPLY", "MAPFILE"}:
                    names.add(_READ)
            for inside in self.parameters:
                assigned = re.match(r"(\w+):?=(.*)", inside, re.DOTALL)
                if assigned and assigned[1] in names:
                    names |= _names_in(assigned[2])
            for spot in self._spots():
                if self._destinations(spot) & names:
                    text = self._text(spot)
                    assignment = _ASSIGNMENT.match(text)
                    names |= names_expanded(text) | set(_IDENTIFIER.findall(assignment[3]) if assignment else ())
            if len(names) == before:
                return names


def _program(command: Command) -> str:
    """The name of what a command runs, after its assignments."""
    return next((plain(word) for word in command.words if not _ASSIGNMENT.match(word)), "")


def _is_printed(spot: Spot) -> bool:
    """Whether a command's output is what stands at ``spot``, as of `echo`, not something found out about it."""
    command = spot.command
    if any(target.words[:1] == ["wc"] for target in command.feeds):
        return False
    return _program(command) in ("echo", "printf") or spot.redirection in ("<<<", "<<")


def _names_in(text: str) -> set[str]:
    """The variables that a text of arithmetic names."""
    return set(_IDENTIFIER.findall(text.replace(PLACEHOLDER, " ").replace(SUBSTITUTION, " "))) | names_expanded(text)


def _shown(name: str) -> str:
    return {_READ: "what `read` reads", _POSITIONAL: "`$@`"}.get(name, f"`{name}`")
