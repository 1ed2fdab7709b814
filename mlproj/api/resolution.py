"""The left half of a run's way: from a request to everything that is known before an environment is built."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlproj import environments
from mlproj.api.checked import CheckedManifest, manifest_folder, manifest_to_run
from mlproj.api.environment_choice import choose_environment, cut_off, with_python
from mlproj.api.projects import abandon
from mlproj.api.request import Listener, RunRequest, check_labels
from mlproj.environments.environment import Policy
from mlproj.environments.kind import EnvironmentPlan
from mlproj.errors import UsageError
from mlproj.locations import cache_folder, store_folder
from mlproj.manifest.durations import parse_duration
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.finding import MANIFEST_NAME, MLFLOW_NAME, NoManifestError, is_mlproject
from mlproj.manifest.models import EntryPoint, EnvironmentSpec, Reproducibility
from mlproj.parameters.config import Config, Surroundings, resolve
from mlproj.parameters.relocation import relocate
from mlproj.parameters.render import RenderedCommand, render
from mlproj.parameters.values import is_url
from mlproj.sources import Fetching, Snapshot, is_folder_as_it_is, take_snapshot
from mlproj.sources.fetching import allowed_signers_by_default
from mlproj.sources.shown import shown_address
from mlproj.text import one_line
from mlproj.urls import secrets_of, without_credentials


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
    policy: Policy
    needed: Mapping[str, str]
    """For a container: places inside it, and the paths of this machine that its parameters name, to be had there."""
    timeout_s: float | None
    grace_s: float
    secrets: tuple[str, ...]
    notices: tuple[str, ...]
    files_named: Mapping[str, str]
    """What `path` parameters name, as it is recorded, and where it is on this machine."""
    values_again: Mapping[str, Any]
    """The values that have to be given for the same command; paths in the project are relative to it."""
    reproducibility: Reproducibility
    hermetic: bool

    @property
    def project_name(self) -> str:
        """The project's name: as declared, else that of its folder, or of what it was fetched from."""
        return project_name(self.loaded, self.snapshot)


def project_name(loaded: CheckedManifest, snapshot: Snapshot) -> str:
    """The name of a project: as declared, else that of its folder, or of what it was fetched from."""
    if loaded.manifest.name is not None or snapshot.tree is None:
        return loaded.name
    place = PurePosixPath(snapshot.subdirectory or snapshot.remote or loaded.name)
    return re.sub(r"(?i)(\.git|\.zip|(\.mlpack)?\.tar(\.\w+)?|\.t(gz|xz|zst|bz2))$", "", place.name) or loaded.name


def resolve_request(request: RunRequest, listener: Listener) -> Resolved:
    """Walk a request through sources, manifest and parameters. Nothing outside the cache is written.

    The caller has to ``release`` the snapshot when it is done.

    Raises ``UsageError`` (and its kinds) for what cannot be run as asked.
    """
    check_labels(request.name, request.experiment, request.tags)
    if any("\x00" in word for word in request.arguments):
        raise UsageError("a word for the command holds a NUL character, which no command can be given")
    fetching = _fetching(request, listener)
    if request.again is not None:
        fetched = request.again.snapshot
    elif is_folder_as_it_is(request.project, fetching):
        return _resolve_in(manifest_folder(request.project), None, request, listener)
    else:
        fetched = take_snapshot(request.project, (), fetching)
    try:
        return _resolve_in(fetched.folder, fetched, request, listener)
    except BaseException:
        abandon(fetched)
        raise


def _resolve_in(folder: Path, fetched: Snapshot | None, request: RunRequest, listener: Listener) -> Resolved:
    try:
        loaded = manifest_to_run(folder, request.entry_point)
    except NoManifestError as error:
        raise error if fetched is None else _no_manifest(fetched, request.project) from None
    if request.entry_point is not None and request.entry_point in loaded.broken:
        raise UsageError(loaded.broken[request.entry_point])
    name, entry_point = choose_entry_point(loaded.manifest, loaded.path, request.entry_point)
    if name in loaded.broken:
        raise UsageError(loaded.broken[name])
    environment = choose_environment(loaded, entry_point, request)
    config = resolve(entry_point, request.given, _surroundings(folder, listener, request))
    values_again = dict(_values_again(entry_point, config, folder))
    files_named = dict(_files_named(entry_point, config, values_again, folder))
    needed: dict[str, str] = {}
    if environment.spec.docker is not None:
        config, needed = relocate(entry_point, config, folder, environment.spec.docker.project_at)
    try:
        command = render(entry_point, config, request.arguments)
    except UsageError as error:
        place = f"{one_line(loaded.path)}: entry point `{one_line(name)}`"
        raise UsageError(f"{place}: {error.message}", hint=error.hint) from None
    _refuse_reports_among(entry_point, _reports(request), folder)
    snapshot = fetched or take_snapshot(request.project, made_by_runs(request, entry_point, folder))
    fetched_mounts = (*request.allowed_mounts, *environment.allowed_mounts)
    of_the_caller = snapshot.tree is None or (request.again is not None and request.again.trusted)
    policy = replace(request.policy, allowed_mounts=None if of_the_caller else fetched_mounts)
    reproducibility = loaded.manifest.reproducibility_of(entry_point)
    hermetic = reproducibility.hermetic or False if request.hermetic is None else request.hermetic
    spec = with_python(environment.spec, request.again.python if request.again is not None else None)
    spec = cut_off(spec) if hermetic else spec
    of_this_entry_point = [text for about, text in loaded.warnings if about in (name, None)]
    timeout = request.timeout_s if request.timeout_s is not None else _seconds(entry_point.timeout)
    return Resolved(
        snapshot,
        loaded,
        name,
        entry_point,
        config,
        command,
        spec,
        environment.name,
        policy,
        needed,
        timeout,
        parse_duration(entry_point.grace_period),
        (*_secrets(entry_point, config), *snapshot.secrets),
        (*of_this_entry_point, *config.notices, *snapshot.notes, *environment.notices),
        files_named,
        values_again,
        reproducibility,
        hermetic,
    )


def made_by_runs(request: RunRequest, entry_point: EntryPoint, folder: Path) -> list[str]:
    """What in a project runs make, and mlproj with them: it is no part of the source."""
    own = (request.store or store_folder(), cache_folder(), *_reports(request))
    inside = [each.relative_to(folder).as_posix() for each in own if each.is_relative_to(folder)]
    return [*(each.path for each in entry_point.outputs.values()), *inside]


def _reports(request: RunRequest) -> list[Path]:
    return [Path(os.path.abspath(each)) for each in request.reports]  # noqa: PTH100  a symlink keeps its name


def _refuse_reports_among(entry_point: EntryPoint, written: Sequence[Path], folder: Path) -> None:
    """Raise ``UsageError`` for a report in place of an output, which is written and kept before it is."""
    for path in written:
        if not path.is_relative_to(folder):
            continue
        within = path.relative_to(folder)
        for name, output in entry_point.outputs.items():
            places = [within, *within.parents[:-1]]
            if any(fnmatchcase(each.as_posix(), output.path.rstrip("/")) for each in places):
                raise UsageError(f"the report {one_line(within)} would be written over the output `{one_line(name)}`")


def _files_named(
    entry_point: EntryPoint, config: Config, recorded: Mapping[str, Any], folder: Path
) -> Iterator[tuple[str, str]]:
    for name, parameter in entry_point.parameters.items():
        if entry_point.base_type(parameter) not in ("path", "uri") or not recorded.get(name):
            continue
        values, shown = (each if isinstance(each, list) else [each] for each in (config.values[name], recorded[name]))
        for item, place in zip(shown, values):
            if entry_point.base_type(parameter) == "path":
                yield item, place
            elif (path := _file_of_uri(str(place), folder)) is not None:
                yield item, path


def _file_of_uri(uri: str, folder: Path) -> str | None:
    """The file or folder of this machine that a URI is of, if it is one that is there."""
    if uri.startswith("file://"):
        return unquote(urlsplit(uri).path)
    return None if is_url(uri) or not (folder / uri).exists() else str(folder / uri)


def _values_again(entry_point: EntryPoint, config: Config, folder: Path) -> Iterator[tuple[str, Any]]:
    """The values to give for the same command: an MLproject's paths are recorded as they were written."""
    for name, value in config.recorded.items():
        parameter = entry_point.parameters.get(name)
        of_mlflow = entry_point.dialect == "mlflow" and parameter is not None and parameter.type == "path"
        if of_mlflow and not is_url(value):
            place = Path(config.values[name])
            value = place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)
        yield name, value


def _no_manifest(fetched: Snapshot, project: str) -> NoManifestError:
    """The error for a source without a manifest: its tree will be gone, so it says where there are some instead."""
    assert fetched.tree is not None
    top = fetched.tree.folder
    found = [each for each in top.glob("*/*") if each.name == MANIFEST_NAME or is_mlproject(each)]
    found += [each for each in top.glob("*/*/*") if each.name == MANIFEST_NAME or is_mlproject(each)]
    folders = sorted({each.parent.relative_to(top).as_posix() for each in found})[:5]
    listed = ", ".join(f"`#{one_line(each)}`" for each in folders)
    hint = f"There are projects in it: {listed}." if folders else "`-e NAME.py` runs a script of it all the same."
    return NoManifestError(f"no {MANIFEST_NAME} and no {MLFLOW_NAME} in `{shown_address(project)}`", hint=hint)


def _fetching(request: RunRequest, listener: Listener) -> Fetching:
    return Fetching(
        request.revision,
        offline=request.policy.offline,
        refresh=request.policy.refresh,
        keep_tree=request.keep_tree,
        unpack_limit=request.unpack_limit,
        allowed_signers=request.allowed_signers or allowed_signers_by_default(),
        report=listener.sourcing,
        fetched=listener.fetched,
    )


def plan_environment(resolved: Resolved) -> EnvironmentPlan:
    """What preparing the environment would come to; it may be resolved for that, and nothing is built."""
    return environments.plan(resolved.environment, resolved.environment_name, resolved.loaded.folder, resolved.policy)


def _surroundings(folder: Path, listener: Listener, request: RunRequest) -> Surroundings:
    def fetch(url: str, sha256: str | None) -> Path:
        from mlproj.downloads import fetch as fetch_once

        shown = one_line(without_credentials(url))
        return fetch_once(
            url,
            sha256,
            cache_folder(),
            lambda done, total: listener.fetched(shown, done, total),
            refresh=request.policy.refresh,
            offline=request.policy.offline,
        )

    try:
        caller = Path.cwd()
    except FileNotFoundError:  # removed meanwhile: a project that is fetched runs all the same
        caller = folder
    return Surroundings(caller, folder, os.environ, fetch)


def _seconds(duration: int | float | str | None) -> float | None:
    return None if duration is None else parse_duration(duration)


def _secrets(entry_point: EntryPoint, config: Config) -> Iterator[str]:
    """Every text that neither the log nor the record may hold."""
    yield from config.secrets.values()
    for variable in entry_point.secret_variables:
        if os.environ.get(variable):
            yield os.environ[variable]
    # Defaults as well: the record names those that other values were given in place of.
    defaults = [parameter.default for parameter in entry_point.parameters.values()]
    for value in [*config.values.values(), *defaults]:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and is_url(item):
                yield from secrets_of(item)
