"""Globs as manifests have them: ``*`` and ``?`` within a folder, ``**`` for any number of folders, ``[...]``."""

from __future__ import annotations

import re

_MAGIC = re.compile(r"[*?\[]")


def is_glob(pattern: str) -> bool:
    """Whether a path, or a part of one, may mean more than one file."""
    return _MAGIC.search(pattern) is not None


def glob_expression(pattern: str) -> str:
    """A glob as a regular expression on a path with forward slashes; ``**`` spans any number of folders."""
    parts = ["(?:[^/]+/)*" if part == "**" else _part_expression(part) + "/" for part in pattern.split("/")]
    if pattern.split("/")[-1] == "**":
        return "".join(parts) + "[^/]+"
    return "".join(parts)[:-1]


def _part_expression(part: str) -> str:
    expression, position = "", 0
    while position < len(part):
        character = part[position]
        end = part.find("]", position + 2) if character == "[" else -1
        if character == "*":
            expression += "[^/]*" if not expression.endswith("[^/]*") else ""
        elif character == "?":
            expression += "[^/]"
        elif end > 0:
            members = part[position + 1 : end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            negated = members[0] == "!"
            expression += f"[{'^/' if negated else ''}{_members(members[1:] if negated else members)}]"
            position = end
        else:
            expression += re.escape(character)
        position += 1
    return expression


def _members(members: str) -> str:
    # Only ranges that go upwards are ranges to `re`; any other `-` is itself.
    return (
        re.sub(
            "(.)-(.)",
            lambda match: match[0] if match[1] <= match[2] else re.escape(match[0]),
            members,
            flags=re.DOTALL,
        )
        .replace("&&", "&\\&")
        .replace("||", "|\\|")
        .replace("~~", "~\\~")
        .replace("--", "-\\-")
    )
