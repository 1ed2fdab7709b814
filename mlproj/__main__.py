"""``python -m mlproj``."""

from mlproj.cli import run_and_exit

run_and_exit()
