"""Logging from within an entry point: metrics, parameters, tags and artifacts of the run it is part of.

Outside of a run (``python train.py`` by hand) every function does nothing and prints nothing, so that a
script needs no `if` around its logging. Values are checked all the same, so that a mistake shows before the
first run.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, SupportsFloat

from mlproj.runs.metric_lines import LONGEST_NAME, append_lines


def log_metric(name: str, value: SupportsFloat, step: int | None = None) -> None:
    """Log one value of a metric; without ``step`` it is the one after the last. Raises ValueError,
    TypeError.
    """
    log_metrics({name: value}, step)


def log_metrics(metrics: Mapping[str, SupportsFloat], step: int | None = None) -> None:
    """Log the values of several metrics at one step: floats, ints, or what ``float()`` takes (NumPy,
    tensors).

    Raises TypeError or ValueError for a name or value that is none, OSError when the run's file cannot be
    written.
    """
    line: dict[str, Any] = {"metrics": {_name(name): float(value) for name, value in metrics.items()}}
    if step is not None:
        line["step"] = int(step)
    _append({**line, "timestamp": time.time()})


def log_params(params: Mapping[str, Any]) -> None:
    """Log parameters that the manifest does not declare; what JSON has no form for is logged as its text."""
    _append({"params": {_name(name): _plain(value) for name, value in params.items()}})


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the run."""
    _append({"tags": {_name(name): str(value) for name, value in tags.items()}})


def log_artifact(path: str | os.PathLike[str], as_: str | None = None) -> None:
    """Keep a copy of a file or folder with the run, as it is now, under its own name or the path ``as_``.

    An artifact logged again under the same name replaces the first. Raises FileNotFoundError when ``path``
    is not there, ValueError when ``as_`` leads out of the artifacts folder.
    """
    source = Path(path)
    name = PurePosixPath(source.resolve().name if as_ is None else as_)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise ValueError(f"as_={as_!r} must be a path below the artifacts folder")
    if not source.exists():
        raise FileNotFoundError(f"there is no file or folder {str(source)!r} to log")
    folder = os.environ.get("MLPROJ_ARTIFACTS")
    if not folder:
        return
    target = Path(folder) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        # A link that leads nowhere is no reason to keep nothing of the rest.
        shutil.copytree(source, target, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        return
    # Copied aside first: an artifact that is being replaced is whole at every moment.
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copy2(source, scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _append(line: Mapping[str, Any]) -> None:
    path = os.environ.get("MLPROJ_METRICS")
    if path:
        append_lines(Path(path), [line])


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise TypeError(f"a name is text of 1 to {LONGEST_NAME} characters, not {name!r}")
    return name


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
