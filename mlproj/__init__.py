"""mlproj runs machine-learning projects from a declaration and records every run.

``load``, ``run``, ``runs`` and ``get_run`` are what the command line uses; ``log_metric`` and its kin are for entry
points. Nothing is imported before it is used: ``import mlproj`` costs a millisecond.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import mlproj.runs as _runs_package
from mlproj.version import __version__

if TYPE_CHECKING:
    from mlproj.api.public import Project, get_run, load, reproduce, run
    from mlproj.api.stored import Run
    from mlproj.errors import MlprojError
    from mlproj.tracking.client import log_artifact, log_metric, log_metrics, log_params, set_tags

__all__ = [
    "MlprojError",
    "Project",
    "Run",
    "__version__",
    "get_run",
    "load",
    "log_artifact",
    "log_metric",
    "log_metrics",
    "log_params",
    "reproduce",
    "run",
    "runs",
    "set_tags",
]

_HOMES = {
    "MlprojError": "mlproj.errors",
    "Project": "mlproj.api.public",
    "Run": "mlproj.api.stored",
    "get_run": "mlproj.api.public",
    "load": "mlproj.api.public",
    "log_artifact": "mlproj.tracking.client",
    "log_metric": "mlproj.tracking.client",
    "log_metrics": "mlproj.tracking.client",
    "log_params": "mlproj.tracking.client",
    "reproduce": "mlproj.api.public",
    "run": "mlproj.api.public",
    "set_tags": "mlproj.tracking.client",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlproj' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _CallablePackage(ModuleType):
    """``mlproj.runs`` is the package that holds the store, and the function that asks it."""

    def __call__(self, filter: str = "", order_by: str = "", limit: int | None = None) -> list[Run]:  # noqa: A002  the option's name
        from mlproj.api.public import runs

        return runs(filter, order_by, limit)


_runs_package.__class__ = _CallablePackage
