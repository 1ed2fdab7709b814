"""The left half of a run's way: from a request to everything that is known before an environment is built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlproj import environments
from mlproj.api.checked import CheckedManifest, checked_manifest, manifest_folder
from mlproj.api.request import Listener, RunRequest, check_labels
from mlproj.environments.kind import EnvironmentPlan
from mlproj.errors import UsageError
from mlproj.locations import cache_folder, store_folder
from mlproj.manifest.durations import parse_duration
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.models import EntryPoint, EnvironmentSpec, System
from mlproj.parameters.config import Config, Surroundings, resolve
from mlproj.parameters.render import RenderedCommand, render
from mlproj.parameters.values import is_url
from mlproj.sources import Snapshot, take_snapshot
from mlproj.text import one_line
from mlproj.urls import secrets_of


@dataclass(frozen=True)
class Resolved:
    """A run that could begin: source, manifest, entry point, configuration, command, and the environment to be had."""

    snapshot: Snapshot
    loaded: CheckedManifest
    entry_point_name: str
    entry_point: EntryPoint
    config: Config
    command: RenderedCommand
    environment: EnvironmentSpec
    environment_name: str | None
    timeout_s: float | None
    grace_s: float
    secrets: tuple[str, ...]
    notices: tuple[str, ...]


def resolve_request(request: RunRequest, listener: Listener) -> Resolved:
    """Walk a request through sources, manifest and parameters. Nothing outside the cache is written.

    Raises ``UsageError`` (and its kinds) for what cannot be run as asked.
    """
    check_labels(request.name, request.experiment, request.tags)
    if any("\x00" in word for word in request.arguments):
        raise UsageError("a word for the command holds a NUL character, which no command can be given")
    folder = manifest_folder(request.project) if is_local(request.project) else take_snapshot(request.project).folder
    loaded = checked_manifest(folder, cache_folder())
    name, entry_point = choose_entry_point(loaded.manifest, loaded.path, request.entry_point)
    config = resolve(entry_point, request.given, _surroundings(folder, listener, request))
    command = render(entry_point, config, request.arguments)
    made_here = [each.path for each in entry_point.outputs.values()]
    own = [each for each in (request.store or store_folder(), cache_folder()) if each.is_relative_to(folder)]
    made_here += [each.relative_to(folder).as_posix() for each in own]
    snapshot = take_snapshot(request.project, made_here)
    environment, environment_name = _environment(loaded, entry_point, request.environment_kind)
    of_this_entry_point = [text for about, text in loaded.warnings if about in (name, None)]
    timeout = request.timeout_s if request.timeout_s is not None else _seconds(entry_point.timeout)
    return Resolved(
        snapshot,
        loaded,
        name,
        entry_point,
        config,
        command,
        environment,
        environment_name,
        timeout,
        parse_duration(entry_point.grace_period),
        tuple(_secrets(entry_point, config)),
        (*of_this_entry_point, *config.notices, *snapshot.notes),
    )


def is_local(project: str) -> bool:
    """Whether a project's URI is a folder of this machine, or a file in one."""
    from mlproj.sources import local

    return local.is_here(project)


def plan_environment(resolved: Resolved, request: RunRequest) -> EnvironmentPlan:
    """What preparing the environment would come to; it may be resolved for that, and nothing is built."""
    return environments.plan(resolved.environment, resolved.environment_name, resolved.loaded.folder, request.policy)


def _surroundings(folder: Path, listener: Listener, request: RunRequest) -> Surroundings:
    def fetch(url: str, sha256: str | None) -> Path:
        from mlproj.downloads import fetch as fetch_once
        from mlproj.urls import without_credentials

        shown = one_line(without_credentials(url))
        return fetch_once(
            url,
            sha256,
            cache_folder(),
            lambda done, total: listener.fetched(shown, done, total),
            refresh=request.policy.refresh,
            offline=request.policy.offline,
        )

    return Surroundings(Path.cwd(), folder, os.environ, fetch)


def _environment(
    loaded: CheckedManifest, entry_point: EntryPoint, kind: str | None
) -> tuple[EnvironmentSpec, str | None]:
    """The environment to run in, and its name among the manifest's ``environments`` if it has one."""
    declared = loaded.manifest.environment_of(entry_point)
    chosen = entry_point.environment if entry_point.environment is not None else loaded.manifest.environment
    name = chosen if isinstance(chosen, str) else None
    if kind is None or kind == declared.kind:
        return declared, name
    if kind in ("system", "local"):
        return EnvironmentSpec(system=System()), None
    raise UsageError(
        f"--env-manager {one_line(kind)}: this project declares a `{declared.kind}` environment",
        hint=f"It runs as `{declared.kind}`, or with `--env-manager system` in the environment you are in.",
    )


def _seconds(duration: int | float | str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def _secrets(entry_point: EntryPoint, config: Config) -> Iterator[str]:
    """Every text that neither the log nor the record may hold."""
    yield from config.secrets.values()
    for variable in entry_point.secret_variables:
        if os.environ.get(variable):
            yield os.environ[variable]
    for value in config.values.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and is_url(item):
                yield from secrets_of(item)
