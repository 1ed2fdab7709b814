"""The commands of a bash script as they were read: words, redirections, and where the output goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# What a word's text has in place of what is no text of its own. An expansion is enclosed by its mark, with its name.
PLACEHOLDER, EXPANSION, SUBSTITUTION, QUOTE, FILE = "\x00", "\x01", "\x02", "\x03", "\x04"


@dataclass(eq=False)
class Command:
    """A simple command: its words without redirections, and the commands that its output is piped to."""

    level: Level
    words: list[str] = field(default_factory=list)
    redirections: list[tuple[str, str]] = field(default_factory=list)
    redirection: str = ""
    feeds: list[Command] = field(default_factory=list)
    opens_group: bool = False
    closes_group: bool = False
    group_start: int = 0  # of what it closes: the index of the first command in its level
    array: str = ""


@dataclass(eq=False)
class Level:
    """The script itself, or a substitution's: its commands, and where its output goes."""

    parent: Spot | None = None
    opening: str = ""
    commands: list[Command] = field(default_factory=list)


@dataclass(frozen=True)
class Spot:
    """Where something stands: in which word of which command, after what of the word; or in a redirection."""

    kind: str
    command: Command
    index: int
    redirection: str
    before: str
    in_expression: bool


def new_command(level: Level) -> Command:
    """One more command of a level."""
    level.commands.append(Command(level))
    return level.commands[-1]


def commands_of_group(command: Command) -> list[Command]:
    """The command, and what is in the group that it closes."""
    return command.level.commands[command.group_start :] if command.closes_group else [command]


def plain(word: str) -> str:
    """A word's text as the command gets it, marks of what is expanded left in."""
    return word.replace(QUOTE, "")


def names_expanded(text: str) -> set[str]:
    """The variables that are expanded in a word."""
    return {name for inside in text.split(EXPANSION)[1::2] for name in re.findall(r"\w+|[@*]", inside)}
