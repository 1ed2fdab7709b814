"""``mlproj ui``."""

from __future__ import annotations

import click

from mlproj.cli.console import out, say
from mlproj.locations import store_folder


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, metavar="N", help="0: any free one.  [default: 8765]"
)
@click.option("--host", default="127.0.0.1", metavar="NAME", help="Where to listen.  [default: 127.0.0.1]")
@click.option(
    "--token",
    default=None,
    envvar="MLPROJ_UI_TOKEN",
    metavar="TEXT",
    help="What browsers must come with; on other than loopback one is made where none is given. $MLPROJ_UI_TOKEN.",
)
@click.option("--open", "opened", is_flag=True, help="Open it in a browser.")
@click.option("--read-only", is_flag=True, help="Have nothing changed, stopped or deleted from the pages.")
def ui(port: int, host: str, token: str | None, opened: bool, read_only: bool) -> int:
    """Look at the runs in a browser: table, curves, comparisons, logs, artifacts, live. Ctrl-C ends it.

    \b
    Examples:
      mlproj ui --open
      mlproj ui --host 0.0.0.0 --read-only
    """
    from mlproj.errors import UsageError
    from mlproj.web.serve import answer, listen

    if token is not None and not token.strip():
        raise UsageError("--token takes a text that is not empty")
    served = listen(store_folder(), host, port, token, read_only=read_only)
    out(served.address)
    say("  the runs of " + str(store_folder()) + "; Ctrl-C ends it")
    if opened:
        import webbrowser

        webbrowser.open(served.address)
    try:
        answer(served)
    except KeyboardInterrupt:
        say("")
    return 0
