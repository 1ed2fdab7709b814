"""``mlproj artifacts``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from mlproj.cli.console import out, out_json, out_table
from mlproj.cli.options import as_json, complete_run, open_store
from mlproj.errors import UsageError
from mlproj.files import human_size
from mlproj.text import one_line

_SETTINGS = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_SETTINGS)
def artifacts() -> None:
    """List and fetch what a run left behind.

    \b
    Examples:
      mlproj artifacts list 0193
      mlproj artifacts get 0193 model --to ./model
      ls "$(mlproj artifacts path @last plots)"
    """


@artifacts.command("list", context_settings=_SETTINGS)
@click.argument("run", default="@last", shell_complete=complete_run)
@as_json
def list_(run: str, as_json: bool) -> int:
    """List the kept files: output, path, size, SHA-256."""
    from mlproj.runs.find import find

    record = find(open_store(), run)
    files = [(output.name, each) for output in record.outputs for each in output.files]
    if as_json:
        out_json(
            [{"output": name, "path": each.path, "size": each.size, "sha256": each.sha256} for name, each in files]
        )
        return 0
    rows = [[name, each.path, human_size(each.size), each.sha256[:12]] for name, each in files]
    out_table(["output", "path", "size", "sha256"], rows, right=["size"])
    return 0


@artifacts.command(context_settings=_SETTINGS)
@click.argument("run", shell_complete=complete_run)
@click.argument("name", required=False)
def path(run: str, name: str | None) -> int:
    """Print where a run's artifacts are, or one of them (an output's name, or a path)."""
    out(shown_path(_located(run, name)))
    return 0


@artifacts.command(context_settings=_SETTINGS)
@click.argument("run", shell_complete=complete_run)
@click.argument("name", required=False)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to.  [default: its name, here]",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
def get(run: str, name: str | None, target: Path | None, force: bool) -> int:
    """Copy a run's artifacts, or one of them, out of the store."""
    source = _located(run, name)
    target = target or Path(source.name)
    if target.is_dir() and not target.is_symlink() and not (source.is_dir() and target.name == source.name):
        target = target / source.name  # into a folder that is there, as cp does
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise UsageError(f"`{one_line(target)}` is no file and no folder: it is not replaced")
    if target.exists() or target.is_symlink():
        if not force:
            raise UsageError(f"`{one_line(target)}` is there already", hint="--force replaces it.")
        shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    out(shown_path(target))
    return 0


def shown_path(path: Path) -> str:
    """A path for a program that reads it, or, on a terminal, without what could act on that."""
    return one_line(path) if sys.stdout.isatty() else str(path)


def _located(run: str, name: str | None) -> Path:
    from mlproj.api.stored import artifact_path
    from mlproj.runs.find import find
    from mlproj.runs.store import files_of

    store = open_store()
    record = find(store, run)
    folder = files_of(store, record.id).artifacts
    return folder if name is None else folder / artifact_path(record, name)
