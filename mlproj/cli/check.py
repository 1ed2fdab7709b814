"""``mlproj check``."""

from __future__ import annotations

import os
import sys

import click

from mlproj.cli.console import coloured, out, out_json, say
from mlproj.cli.options import as_json
from mlproj.text import plural, printable


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("project", default=".", metavar="[PROJECT]")
@click.option("--rev", "revision", metavar="REV", help="The branch, tag or commit of a git project.")
@as_json
def check(project: str, revision: str | None, as_json: bool) -> int:
    """Find everything that is wrong with a manifest, without running anything.

    The exit status is 0 when a run could begin (warnings included), 2 when not.

    \b
    Examples:
      mlproj check
      mlproj check wine --json
    """
    from mlproj.api.checked import load_checked
    from mlproj.api.projects import project_at
    from mlproj.manifest.diagnostics import ManifestError

    name = None
    with project_at(project, revision) as folder:
        try:
            loaded, findings = load_checked(folder)
            name, place = loaded.name, str(loaded.path)
        except ManifestError as error:
            findings, place = list(error.diagnostics), str(folder)
    errors = sum(1 for each in findings if each.severity == "error")
    warnings = sum(1 for each in findings if each.severity == "warning")
    if as_json:
        out_json({"project": name, "valid": errors == 0, "findings": [each.as_json() for each in findings]})
        return 2 if errors else 0
    for each in findings:
        out(printable(each))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from mlproj.reporting.github import beside_lines

        for line in beside_lines(findings, os.environ.get("GITHUB_WORKSPACE")):
            say(line)
    if errors:
        counted = plural(errors, "error") + (f", {plural(warnings, 'warning')}" if warnings else "")
        out(coloured(f"✗ {counted}", sys.stdout, fg="red"))
        return 2
    entry_points = plural(len(loaded.manifest.entry_points), "entry point")
    counted = f", {plural(warnings, 'warning')}" if warnings else ""
    out(f"{coloured('✓', sys.stdout, fg='green')} {printable(place)}: {printable(name)}, {entry_points}{counted}")
    return 0
