"""The options of `mlflow run` that `mlproj run` understands, and either takes or refuses with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from mlproj.errors import UsageError

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Option → its names, whether it is a flag, and why it is refused. Those that are taken are options of `run` itself.
_REFUSED: dict[str, tuple[tuple[str, ...], bool, str]] = {
    "backend_config": (("-c", "--backend-config"), False, "--backend-config: runs are local, and take no such file"),
    "experiment_id": (("--experiment-id",), False, "--experiment-id: experiments have names here: --experiment NAME"),
    "mlflow_run_id": (("--run-id",), False, "--run-id: mlproj makes the run, and its id, itself"),
    "storage_dir": (
        ("--storage-dir",),
        False,
        "--storage-dir: what `path` parameters fetch is cached by content in the folder that $MLPROJ_CACHE names",
    ),
}


def mlflow_options(command: _Command) -> _Command:
    """The hidden options; ``take_mlflow_options`` looks at them."""
    for name, (names, is_flag, _) in _REFUSED.items():
        command = click.option(*names, name, is_flag=is_flag, multiple=not is_flag, hidden=True)(command)
    command = click.option("-b", "--backend", "backend", hidden=True)(command)
    # No image is ever made of the project, which is mounted: either way the code that runs is the folder's.
    command = click.option("--build-image", "--skip-image-build", "image_build", is_flag=True, hidden=True)(command)
    return click.option("--no-conda", "no_conda", is_flag=True, hidden=True)(command)


def take_mlflow_options(options: Mapping[str, Any]) -> str | None:
    """The kind of environment that they come to, if they say one. Raises ``UsageError`` for what is not to be had."""
    for name, (_, _, reason) in _REFUSED.items():
        if options[name]:
            raise UsageError(reason)
    if options["backend"] not in (None, "local"):
        raise UsageError("--backend: runs are local; this version of mlproj knows no other backend")
    return "local" if options["no_conda"] else None
