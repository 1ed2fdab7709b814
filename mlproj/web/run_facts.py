"""What a record says of a run, in the form that its page shows: how to run it again, where its source is."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from mlproj.runs.record import RunRecord, SourceRecord

# What stands for a value in the command line of a record.
LEFT_OUT = "…"
_COMMIT = re.compile("[0-9a-f]{7,64}")
_REPOSITORY = re.compile(r"(?:[\w.~-]+/)+[\w.~-]+", re.ASCII)
_SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?([\w.-]+)(?::\d+(?=/))?[:/](.+)", re.ASCII)
# How each forge addresses a commit below a repository.
_FORGES = {"github": "commit", "gitlab": "-/commit", "bitbucket": "commits", "codeberg": "commit"}


@dataclass(frozen=True)
class Parameter:
    """A parameter's value and type; ``changed``: it was given in place of the manifest's ``default``."""

    name: str
    value: Any
    type: str
    changed: bool
    default: Any = None


def parameters_of(record: RunRecord) -> list[Parameter]:
    """The parameters of a run, those that are not as the manifest has them first."""
    found = [
        Parameter(name, value, _type_of(value), name in record.defaults, record.defaults.get(name))
        for name, value in record.parameters.items()
    ]
    return sorted(found, key=lambda each: not each.changed)


def _words(record: RunRecord) -> list[str]:
    try:
        return shlex.split(record.command_line or "")
    except ValueError:
        return []


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        kinds = {_type_of(each) for each in value}
        return f"list[{kinds.pop()}]" if len(kinds) == 1 else "list"
    names = {bool: "bool", int: "int", float: "float", str: "str", dict: "json"}
    return names.get(type(value), type(value).__name__)


def command_again(record: RunRecord) -> str | None:
    """The command line that runs it again, from any folder; ``None`` for a run that no command line began."""
    words = [_with_value(record, word) for word in _words(record)]
    if len(words) < 2:
        return None
    project = words[2] if len(words) > 2 and not words[2].startswith("-") else None
    if project is None:
        return f"cd {shlex.quote(record.source.path)} && {shlex.join(words)}"
    if "://" in project or re.match(r"[\w.-]+@[\w.-]+:", project) or not record.source.path:
        return shlex.join(words)
    return shlex.join([*words[:2], record.source.path, *words[3:]])


def _with_value(record: RunRecord, word: str) -> str:
    """A word of the command line with the parameter's value, which the record's command line leaves out, in it.

    That of a secret stays left out: no record has it.
    """
    name, equals, value = word.partition("=")
    known = name.removeprefix("-P").removeprefix("--param=")
    if not equals or value != LEFT_OUT or known not in record.parameters:
        return word
    given = record.parameters[known]
    return f"{name}={given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)}"


def commit_address(source: SourceRecord) -> str | None:
    """The web address of the commit, when its remote is on GitHub, GitLab, Bitbucket or Codeberg; else ``None``."""
    if not source.remote or not source.commit or not _COMMIT.fullmatch(source.commit):
        return None
    parts = urlsplit(source.remote) if "://" in source.remote else None
    if parts is not None and parts.scheme in ("http", "https"):
        host, path = parts.hostname or "", parts.path
    else:
        match = _SSH.fullmatch(source.remote)
        if match is None:
            return None
        host, path = match[1], match[2]
    host = host.lower()
    path = path.strip("/").removesuffix(".git")
    known = {f"{name}.{'org' if name in ('bitbucket', 'codeberg') else 'com'}": name for name in _FORGES}
    forge = known.get(host) or ("gitlab" if host.startswith("gitlab.") else None)
    if forge is None or not _REPOSITORY.fullmatch(path) or ".." in path:
        return None
    return f"https://{host}/{quote(path)}/{_FORGES[forge]}/{source.commit}"
