"""The functions of ``import mlproj``."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.api.request import Listener, RunRequest
from mlproj.api.stored import Run, stored_run, stored_runs
from mlproj.environments.environment import Policy
from mlproj.errors import UsageError

if TYPE_CHECKING:
    from mlproj.api.reproduction import Reproduction


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
    revision: str | None = None,
    allowed_mounts: Sequence[str | Path] = (),
    hermetic: bool | None = None,
    reuse: bool = False,
    locked: bool = False,
    frozen: bool = False,
    refresh: bool = False,
    offline: bool = False,
    name: str = "",
    experiment: str | None = None,
    tracking_uri: str | None = None,
    tags: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Run:
    """Run a project's entry point, record it, and give the run, whether it finished, failed or was killed.

    ``params`` are typed values (``0.1``, not ``"0.1"``), and win over ``params_files``. The command's output goes to
    this process's stdout and stderr. ``timeout_s`` is in seconds. ``project`` may be a git URL, at ``revision``, or an
    archive, whose container may have the ``allowed_mounts`` of this machine. ``tracking_uri`` is of an MLflow server
    that is to have the run too.

    Raises ``MlprojError``: ``UsageError`` when the manifest or a value is wrong, others when it could not be run.
    """
    from mlproj.api.interruption import Interrupted
    from mlproj.api.run import execute
    from mlproj.execution.supervise import Streams, stand_by
    from mlproj.locations import store_folder
    from mlproj.parameters.given import from_python, gather

    _expect("params", params, Mapping, "a mapping of names to values", optional=True)
    _expect("tags", tags, Mapping, "a mapping of names to texts", optional=True)
    for what, mapping in (("params", params), ("tags", tags)):
        for key in mapping or {}:
            _expect(f"a name in {what}", key, str, "a text")
    for key, value in (tags or {}).items():
        _expect(f"the tag {key!r}", value, str, "a text")
    _expect("name", name, str, "a text")
    _expect("experiment", experiment, str, "a text", optional=True)
    _expect("tracking_uri", tracking_uri, str, "a text", optional=True)
    _expect("entry_point", entry_point, str, "a text", optional=True)
    _expect("revision", revision, str, "a text", optional=True)
    _expect("timeout_s", timeout_s, (int, float), "a number of seconds", optional=True)
    if timeout_s is not None and not 0 < timeout_s < float("inf"):
        raise UsageError(f"timeout_s: expected a number of seconds above 0; found {timeout_s}")
    lists = (("arguments", arguments), ("params_files", params_files), ("allowed_mounts", allowed_mounts))
    for what, several in lists:
        if isinstance(several, (str, bytes)) or not isinstance(several, Sequence):
            raise UsageError(f"{what}: expected a list; found {type(several).__name__}")
    for word in arguments:
        _expect("a word of arguments", word, str, "a text")
    given = {**gather((), [Path(each) for each in params_files]), **from_python(params or {})}
    request = RunRequest(
        project=str(project),
        entry_point=entry_point,
        given=given,
        arguments=tuple(arguments),
        policy=Policy(locked=locked, frozen=frozen, refresh=refresh, offline=offline),
        environment_kind=environment_kind,
        revision=revision,
        allowed_mounts=tuple(map(str, allowed_mounts)),
        name=name,
        experiment=experiment,
        tracking_uri=tracking_uri,
        tags=dict(tags or {}),
        timeout_s=timeout_s,
        hermetic=hermetic,
        reuse=reuse,
    )
    try:
        return Run(execute(request, Listener(), stand_by(Streams())), store_folder())
    except Interrupted as interrupted:
        raise _as_it_came(interrupted.number) from None


def _as_it_came(number: int) -> BaseException:
    """What a signal would have raised without mlproj in between."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def reproduce(name: str, *, offline: bool = False, hermetic: bool | None = None) -> Reproduction:
    """Run a recorded run again, and compare the two. The command's output goes to this process's stdout and stderr.

    Raises ``NotReproducibleError`` (an ``MlprojError``) naming all that is missing, before anything runs;
    ``RunNotFoundError``, ``StoreError``.
    """
    from mlproj.api.interruption import Interrupted
    from mlproj.api.recreation import Options
    from mlproj.api.reproduction import reproduce as have_again
    from mlproj.api.stores import open_settled_store
    from mlproj.execution.supervise import Streams, stand_by
    from mlproj.locations import store_folder
    from mlproj.runs.find import find

    _expect("name", name, str, "a text")
    store = open_settled_store(store_folder(), lambda _: None)
    options = Options({}, offline=offline, hermetic=hermetic)
    try:
        return have_again(store, find(store, name), options, Listener(), lambda: stand_by(Streams()))
    except Interrupted as interrupted:
        raise _as_it_came(interrupted.number) from None


def runs(filter: str = "", order_by: str = "", limit: int | None = None) -> list[Run]:  # noqa: A002  the option's name
    """The stored runs that ``filter`` means (the language of ``mlproj runs --filter``), newest first.

    Raises ``UsageError`` for a filter that cannot be read, ``StoreError``.
    """
    _expect("filter", filter, str, "a text")
    _expect("order_by", order_by, str, "a text")
    _expect("limit", limit, int, "a whole number", optional=True)
    return stored_runs(filter, order_by, limit)


def get_run(name: str) -> Run:
    """The run that ``name`` means: a prefix of its id, its name, ``@last``, ``@best:metric``.

    Raises ``RunNotFoundError``, ``StoreError``.
    """
    _expect("name", name, str, "a text")
    return stored_run(name)


def _expect(what: str, value: object, kinds: Any, expected: str, *, optional: bool = False) -> None:
    """Raise ``UsageError`` when an argument is of another type, which a type checker would have said."""
    if (value is None and optional) or (isinstance(value, kinds) and not isinstance(value, bool)):
        return
    raise UsageError(f"{what}: expected {expected}; found {type(value).__name__}")
