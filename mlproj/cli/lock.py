"""``mlproj lock``."""

from __future__ import annotations

import click

from mlproj.cli.console import out, out_json, say
from mlproj.cli.options import as_json
from mlproj.text import plural, printable


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("project", default=".", metavar="[PROJECT]")
@click.option("--upgrade", is_flag=True, help="Take the newest version of everything.")
@click.option(
    "--upgrade-package",
    "upgrades",
    multiple=True,
    metavar="NAME",
    help="Take the newest version of one package.",
)
@as_json
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def lock(project: str, upgrade: bool, upgrades: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Write the lock of every environment that a project declares, beside its manifest.

    Of the manifest's own environment that is `pylock.toml` (PEP 751) for a virtualenv, `conda-lock.yml` for conda; a
    named one's has its name in it. `mlproj.lock` pins the images of all Docker environments. Versions that still fit
    are kept.

    \b
    Examples:
      mlproj lock
      mlproj lock wine --upgrade-package pandas
    """
    from mlproj.api.locking import lock_project

    report = (lambda _: None) if quiet else (lambda phrase: say(f"  environment  {phrase}"))
    results = lock_project(project, upgrade, upgrades, report)
    if as_json:
        out_json(
            [
                {
                    "path": str(each.path),
                    "packages": each.package_count,
                    "added": dict(each.added),
                    "removed": dict(each.removed),
                    "changed": {name: list(versions) for name, versions in each.changed.items()},
                    "written": each.written,
                }
                for each in results
            ]
        )
        return 0
    for each in results:
        for name, version in each.added.items():
            out(printable(f"+ {name} {version}"))
        for name, version in each.removed.items():
            out(printable(f"- {name} {version}"))
        for name, (before, after) in each.changed.items():
            out(printable(f"~ {name} {before} → {after}"))
        state = "written" if each.written else "unchanged"
        if not quiet:
            out(printable(f"{each.path}: {plural(each.package_count, each.unit)}, {state}"))
    return 0
