"""``mlproj logs``."""

from __future__ import annotations

import sys
import time

import click

from mlproj.cli.options import complete_run, open_store

_CHUNK = 1 << 16
_LOOK_AGAIN_S = 0.2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", default="@last", shell_complete=complete_run)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def logs(run: str, follow: bool) -> int:
    """Print what a run's command wrote to stdout and stderr, secrets masked.

    \b
    Examples:
      mlproj logs
      mlproj logs -f 0193
    """
    from mlproj.runs.find import find
    from mlproj.runs.store import files_of, is_live

    store = open_store()
    record = find(store, run)
    path = files_of(store, record.id).log
    target = sys.stdout.buffer
    while not path.exists():
        if not follow or not is_live(store, record.id):
            return 0
        time.sleep(_LOOK_AGAIN_S)
    with path.open("rb") as stream:
        while True:
            # Asked before the read: what was written until the run's end is then certainly read.
            goes_on = follow and is_live(store, record.id)
            while chunk := stream.read(_CHUNK):
                target.write(chunk)
            target.flush()
            if not goes_on:
                return 0
            time.sleep(_LOOK_AGAIN_S)  # a file that grows cannot be waited for without inotify, which is Linux alone
