"""The help of one entry point: ``mlproj run PROJECT -e NAME --help``.

Click's users put ``--help`` at the end of whatever they are about to run, and expect to read about that; so ``run
--help`` tells of the command, and with a project or ``-e`` of the entry point that it would run.
"""

from __future__ import annotations

import click

from mlproj.api.projects import project_at
from mlproj.locations import is_image_project
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.load import load_manifest
from mlproj.manifest.models import Parameter
from mlproj.parameters.values import text_of
from mlproj.text import one_line, printable


def entry_point_help(project: str, name: str | None, revision: str | None = None) -> str:
    """The help text of a project's entry point: what it does, its parameters, the other entry points.

    Raises ``UsageError`` when there is no such entry point.
    """
    with project_at(project, revision) as folder:
        loaded = load_manifest(folder)
    formatter = click.HelpFormatter(max_width=110)
    program, words = ("docker run", "IMAGE") if is_image_project(folder) else ("mlproj run", one_line(project))
    try:
        chosen, entry_point = choose_entry_point(loaded.manifest, loaded.path, name)
    except Exception:
        if name is not None:
            raise
        chosen, entry_point = "", None
    if entry_point is None:
        formatter.write_usage(program, f"{words} -e ENTRY_POINT [-P NAME=VALUE]…")
    else:
        formatter.write_usage(program, f"{words} -e {chosen} [-P NAME=VALUE]… [-- WORD…]")
        if entry_point.description:
            formatter.write_paragraph()
            formatter.write_text(printable(entry_point.description))
        if entry_point.parameters:
            with formatter.section("Parameters (-P)"):
                formatter.write_dl([(each, _about(item)) for each, item in entry_point.parameters.items()])
        if entry_point.outputs:
            with formatter.section("Outputs"):
                formatter.write_dl([(each, one_line(item.path)) for each, item in entry_point.outputs.items()])
    others = {each: item for each, item in loaded.manifest.entry_points.items() if each != chosen}
    if others:
        with formatter.section("Other entry points (-e)" if chosen else "Entry points (-e)"):
            formatter.write_dl([(each, one_line(item.description or "")) for each, item in others.items()])
    return formatter.getvalue().rstrip()


def _about(parameter: Parameter) -> str:
    facts = [parameter.hint or parameter.type]
    if parameter.choices is not None:
        facts.append("one of " + ", ".join(one_line(text_of(each)) for each in parameter.choices))
    for label, bound in (("at least", parameter.min), ("at most", parameter.max)):
        if bound is not None:
            facts.append(f"{label} {one_line(bound)}")
    for label, length in (("min length", parameter.min_length), ("max length", parameter.max_length)):
        if length is not None:
            facts.append(f"{label} {length}")
    if parameter.pattern is not None:
        facts.append(f"matches {one_line(parameter.pattern)}")
    if parameter.env is not None:
        facts.append(f"from ${parameter.env}")
    if parameter.required:
        facts.append("required" if parameter.env is None else "required unless that is set")
    elif parameter.value_type.base != "secret":
        facts.append(
            "default: "
            + (
                one_line(text_of(parameter.default)) or "null"
                if parameter.default is None
                else one_line(text_of(parameter.default)) or '""'
            )
        )
    description = f"{printable(parameter.description)}  " if parameter.description else ""
    return f"{description}[{'; '.join(facts)}]"
