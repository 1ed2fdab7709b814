"""The command line: a thin layer over the Python API."""

import signal


def run_and_exit() -> None:
    """The command line as a whole process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # While it is only being read in, Ctrl-C just ends it: there is nothing yet to be put in order or to be told.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mlproj.cli.app import run_to_the_end

    run_to_the_end()
