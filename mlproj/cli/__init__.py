"""The command line: a thin layer over the Python API."""

from mlproj.cli.app import main, run_and_exit

__all__ = ["main", "run_and_exit"]
