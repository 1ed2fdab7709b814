"""``mlproj pack``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mlproj.cli.console import complain, out, out_json
from mlproj.cli.options import as_json, size_option
from mlproj.errors import UsageError
from mlproj.text import one_line, plural

if TYPE_CHECKING:
    from mlproj.api.request import Listener


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("project", default=".", metavar="[PROJECT]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Where to write it: a file, or a folder.  [default: NAME-VERSION.mlpack.tar.zst]",
)
@click.option("--rev", "revision", metavar="REV", help="The branch, tag or commit of a git project to pack.")
@click.option(
    "--sign", "key", metavar="KEY", type=click.Path(path_type=Path), help="Sign it with this ssh key, as git does."
)
@click.option("--vendor", is_flag=True, help="Pack the packages of its locks too: it runs without a network.")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="NAME",
    help="With --vendor: what for, such as `macos-arm64`; repeatable.  [default: this one]",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="VERSION",
    help="With --vendor: the Python of the wheels; repeatable.  [default: the environment's]",
)
@click.option(
    "--verify", "verify", is_flag=True, help="Write none: compare the pack PROJECT with what it says it holds."
)
@click.option(
    "--allowed-signers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="MLPROJ_ALLOWED_SIGNERS",
    show_envvar=True,
    help="With --verify: whose signature it has to have, in ssh's format.",
)
@click.option("--unpack-limit", metavar="SIZE", help="The most that an archive may unpack to, such as `50GB`.")
@as_json
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def pack(
    project: str,
    output: str | None,
    revision: str | None,
    key: Path | None,
    vendor: bool,
    platforms: tuple[str, ...],
    pythons: tuple[str, ...],
    verify: bool,
    allowed_signers: Path | None,
    unpack_limit: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Write a project into one file that runs elsewhere: its files, manifest and locks, with a list of their digests.

    In a git repository it holds the files that git tracks, as they are now; else all that are not ignored. The same
    files give the same bytes on every machine. `mlproj run FILE` compares them with the list before anything of it
    runs. With --vendor it holds the packages of the project's environments as well, by their locks, and `mlproj run`
    takes them from there.

    \b
    Examples:
      mlproj pack                                     NAME-VERSION.mlpack.tar.zst
      mlproj pack wine -o wine-1.2.mlpack.tar.zst
      mlproj pack . --vendor                          with its packages: runs without a network
      mlproj pack . --vendor --platform linux-x86_64 --platform macos-arm64 --python 3.11
      mlproj pack . --sign ~/.ssh/id_ed25519
      mlproj pack --verify wine-1.2.mlpack.tar.zst --allowed-signers team
      mlproj run wine-1.2.mlpack.tar.zst
    """
    from mlproj.api.interruption import Interrupted, interruptible
    from mlproj.cli.progress import RunDisplay

    display = RunDisplay(quiet=quiet, verbose=False)
    listener = display.listener()
    try:
        if output == "":
            raise UsageError("-o names no file")
        limit = size_option(unpack_limit, "--unpack-limit")
        if verify:
            if output is not None or key is not None or revision is not None or vendor:
                raise UsageError("--verify goes with no -o, --sign, --rev and --vendor: it writes nothing")
            return _verify(project, allowed_signers, limit, listener, as_json, quiet)
        if click.get_current_context().get_parameter_source("allowed_signers") is ParameterSource.COMMANDLINE:
            raise UsageError("--allowed-signers says who may have signed what --verify looks at, which is not given")
        if (platforms or pythons) and not vendor:
            raise UsageError("--platform and --python say what --vendor is for, which is not given")
        from mlproj.api.packing import PackRequest, pack_project
        from mlproj.environments.vendored import targets_of

        targets = targets_of(platforms, pythons) if vendor else ()
        place = None if output is None else Path(output)
        with interruptible():
            written = pack_project(PackRequest(project, revision, place, key, targets, limit), listener)
    except Interrupted as interrupted:
        complain("interrupted")
        return 128 + interrupted.number
    finally:
        display.close()
    if as_json:
        out_json({"path": str(written.path), "size": written.size, "files": written.files})
    elif not quiet:
        from mlproj.files import human_size

        out(f"{one_line(written.path)}: {plural(written.files, 'file')}, {human_size(written.size)}")
    return 0


def _verify(
    project: str, allowed_signers: Path | None, limit: int | None, listener: Listener, as_json: bool, quiet: bool
) -> int:
    from mlproj.api.packing import verify_pack

    verified = verify_pack(project, allowed_signers, listener, unpack_limit=limit)
    about = verified.about
    if as_json:
        out_json({"pack": about, "signer": verified.signer})
    elif not quiet:
        source = about.get("source") or {}
        commit = f", commit {source['commit'][:12]}" if source.get("commit") else ""
        by = f", signed by {verified.signer}" if verified.signer else ""
        if verified.is_signed and not verified.signer:
            by = "; its signature was not checked, since no --allowed-signers says who may sign"
        out(one_line(f"{project}: {about.get('project')} as it was packed{commit}{by}"))
    return 0
