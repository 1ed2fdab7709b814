"""Write docs/cli.md, the command reference, from the commands themselves.

Run it after any change to a command: ``python scripts/generate_cli_docs.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from mlproj.cli.app import COMMANDS, SUMMARIES, app

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"

_BEGINNING = """\
# Command line

<!-- Written by scripts/generate_cli_docs.py: change the commands, not this file. -->

Messages for people go to stderr, results to stdout. Colours are for terminals; `NO_COLOR` switches them off and
`FORCE_COLOR` on.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | `run`: an output is missing; `reproduce`: it came out different; `verify`, `store …`: something is wrong |
| 2 | the command line, the manifest or a value cannot be as it is |
| 3 | `run`: it finished, and an `--assert` or the `--baseline` was not kept |
| 125 | mlproj could not do it: no environment, no lock, no store, no such program |
| 128 + n | ended by signal n |
| any other | `run`: the command's own |

| variable | what for | by default |
|---|---|---|
| `MLPROJ_HOME` | the store of runs | the platform's folder for a user's data |
| `MLPROJ_CACHE` | what can be made again: environments, fetched files | `$MLPROJ_HOME/cache`, else the platform's |
| `MLPROJ_ALLOWED_SIGNERS` | a file of those who may sign packs: no other archive is run | |
"""


def generate() -> str:
    """The text of docs/cli.md."""
    parts = [_BEGINNING]
    context = click.Context(app, info_name="mlproj")
    for section in dict.fromkeys(section for _, section in COMMANDS.values()):
        names = [name for name, (_, own) in COMMANDS.items() if own == section]
        rows = [f"| [`mlproj {name}`](#mlproj-{name}) | {SUMMARIES[name]} |" for name in names]
        parts.append("\n".join([f"## {section}\n", "| command | |", "|---|---|", *rows]) + "\n")
        for name in names:
            command = app.get_command(context, name)
            assert command is not None
            parts += _sections(command, context, name, "###")
    return "\n".join(parts)


def _sections(command: click.Command, parent: click.Context, name: str, heading: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"{heading} {context.command_path}\n\n```console\n$ {_usage(command, context)}\n```\n"
    description, examples = _description(command)
    yield description + "\n"
    options = list(_options(command, context))
    if options:
        yield "\n".join(["| option | |", "|---|---|", *options]) + "\n"
    if examples:
        yield f"```console\n{examples}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            assert inner is not None
            yield from _sections(inner, context, each, heading + "#")


def _usage(command: click.Command, context: click.Context) -> str:
    pieces = [context.command_path, *command.collect_usage_pieces(context)]
    return " ".join([*pieces, "[-- WORD...]"] if command.name == "run" else pieces)


def _description(command: click.Command) -> tuple[str, str]:
    """What a command's help says, its paragraphs unbroken, and its examples apart."""
    text, _, examples = (command.help or "").replace("\b\n", "").partition("Examples:\n")
    paragraphs = [" ".join(each.split()) for each in re.split(r"\n\s*\n", text.strip())]
    lines = [line.strip() for line in examples.strip().splitlines()]
    return "\n\n".join(paragraphs), "\n".join(f"$ {re.sub(r'  +', '  # ', line)}" for line in lines)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None and "--help" not in parameter.opts:
            names, text = record
            yield f"| `{names}` | {text.replace('|', chr(92) + '|').replace('  [default:', ' [default:')} |"


if __name__ == "__main__":
    TARGET.write_text(generate(), encoding="utf-8")
