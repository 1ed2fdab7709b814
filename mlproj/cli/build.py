"""``mlproj build``."""

from __future__ import annotations

import click

from mlproj.cli.console import complain, out, out_json
from mlproj.cli.options import as_json, complete_entry_point, size_option
from mlproj.text import one_line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("project", default=".", metavar="[PROJECT]")
@click.option("-t", "--tag", required=True, metavar="NAME[:TAG]", help="What the image is to be called.")
@click.option(
    "-e",
    "--entry-point",
    metavar="NAME",
    help="What it runs unless told otherwise.  [default: main, or the only one]",
    shell_complete=complete_entry_point,
)
@click.option("--rev", "revision", metavar="REV", help="The branch, tag or commit of a git project.")
@click.option(
    "--base", metavar="IMAGE", help="The image to build on.  [default: python:X.Y-slim of the environment's Python]"
)
@click.option("--platform", metavar="PLATFORM", help="What to build for, as docker has it: `linux/arm64`.")
@click.option("--push", is_flag=True, help="Push it to its registry.")
@click.option("--no-cache", is_flag=True, help="Have the engine do every step again.")
@click.option("--unpack-limit", metavar="SIZE", help="The most that an archive may unpack to, such as `50GB`.")
@as_json
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def build(
    project: str,
    tag: str,
    entry_point: str | None,
    revision: str | None,
    base: str | None,
    platform: str | None,
    push: bool,
    no_cache: bool,
    unpack_limit: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Make an image of a project, with its environment and mlproj in it.

    What stands after the image's name on `docker run` is for `mlproj run` in it: parameters are checked as they are
    here, runs are recorded in /home/mlproj/runs, and the exit status is the command's. It runs as a user without
    rights. Packages are fetched here, by the project's locks: the build itself needs no network.

    \b
    Examples:
      mlproj build -t wine:1.2
      mlproj build wine -t registry.example.org/wine:1.2 --push
      docker run wine:1.2 -P alpha=0.1
      docker run wine:1.2 --help                        what it takes
      docker run -v runs:/runs -e MLPROJ_HOME=/runs wine:1.2
    """
    from mlproj.api.interruption import Interrupted, interruptible
    from mlproj.cli.progress import RunDisplay

    display = RunDisplay(quiet=quiet, verbose=False)
    listener = display.listener()
    try:
        from mlproj.api.building import BuildRequest, build_image

        limit = size_option(unpack_limit, "--unpack-limit")
        request = BuildRequest(project, tag, revision, entry_point, base, platform, push, not no_cache, limit)
        with interruptible():
            built = build_image(request, listener)
    except Interrupted as interrupted:
        complain("interrupted")
        return 128 + interrupted.number
    finally:
        display.close()
    if as_json:
        out_json({"image": built.reference, "id": built.id, "digest": built.digest})
    elif not quiet:
        pushed = f", pushed as {built.digest}" if built.digest else ""
        out(one_line(f"{built.reference}: {built.id}{pushed}"))
    return 0
