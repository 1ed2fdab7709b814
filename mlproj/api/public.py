"""The functions of ``import mlproj``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.api.request import DEFAULT_EXPERIMENT, Listener, RunRequest
from mlproj.api.stored import Run, stored_run, stored_runs
from mlproj.environments.environment import Policy


@dataclass(frozen=True)
class Project:
    """A project whose manifest is valid. ``manifest`` is the pydantic model, ``warnings`` what ``check`` says of it."""

    folder: Path
    name: str
    manifest: Any
    warnings: tuple[str, ...]

    @property
    def entry_points(self) -> tuple[str, ...]:
        """The names of what it can do."""
        return tuple(self.manifest.entry_points)

    def run(self, entry_point: str | None = None, **options: Any) -> Run:
        """``mlproj.run`` of this project."""
        return run(self.folder, entry_point, **options)


def load(path: str | Path = ".") -> Project:
    """Read and check a project's manifest.

    Raises ``ManifestError`` (a ``UsageError``) with every finding when it is not valid.
    """
    from mlproj.api.checked import load_checked, manifest_folder

    loaded, warnings = load_checked(manifest_folder(str(path)))
    return Project(loaded.folder, loaded.name, loaded.manifest, tuple(str(each) for each in warnings))


def run(
    project: str | Path = ".",
    entry_point: str | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    params_files: Sequence[str | Path] = (),
    arguments: Sequence[str] = (),
    environment_kind: str | None = None,
    locked: bool = False,
    frozen: bool = False,
    refresh: bool = False,
    offline: bool = False,
    name: str = "",
    experiment: str = DEFAULT_EXPERIMENT,
    tags: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Run:
    """Run a project's entry point, record it, and give the run, whether it finished, failed or was killed.

    ``params`` are typed values (``0.1``, not ``"0.1"``), and win over ``params_files``. The command's output goes to
    this process's stdout and stderr. ``timeout_s`` is in seconds.

    Raises ``MlprojError``: ``UsageError`` when the manifest or a value is wrong, others when it could not be run.
    """
    from mlproj.api.run import execute
    from mlproj.execution.supervise import Streams, stand_by
    from mlproj.locations import store_folder
    from mlproj.parameters.given import from_python, gather

    given = {**gather((), [Path(each) for each in params_files]), **from_python(params or {})}
    request = RunRequest(
        project=str(project),
        entry_point=entry_point,
        given=given,
        arguments=tuple(arguments),
        policy=Policy(locked=locked, frozen=frozen, refresh=refresh, offline=offline),
        environment_kind=environment_kind,
        name=name,
        experiment=experiment,
        tags=dict(tags or {}),
        timeout_s=timeout_s,
    )
    return Run(execute(request, Listener(), stand_by(Streams())), store_folder())


def runs(filter: str = "", order_by: str = "", limit: int | None = None) -> list[Run]:  # noqa: A002  the option's name
    """The stored runs that ``filter`` means (the language of ``mlproj runs --filter``), newest first.

    Raises ``UsageError`` for a filter that cannot be read, ``StoreError``.
    """
    return stored_runs(filter, order_by, limit)


def get_run(name: str) -> Run:
    """The run that ``name`` means: a prefix of its id, its name, ``@last``, ``@best:metric``.

    Raises ``RunNotFoundError``, ``StoreError``.
    """
    return stored_run(name)
