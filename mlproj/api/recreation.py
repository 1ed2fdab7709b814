"""A recorded run as a request for the same run: its source, lock, inputs, values and variables brought back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproj import environments
from mlproj.api.checked import CheckedManifest, checked_manifest, undeclared_manifest
from mlproj.api.environment_choice import choose_environment
from mlproj.api.projects import abandon
from mlproj.api.request import Again, Listener, RunRequest
from mlproj.environments.environment import Policy
from mlproj.errors import MlprojError, StoreError, UsageError
from mlproj.files import copy_file, sha256_of_bytes, sha256_of_file, write_atomically
from mlproj.locations import cache_folder
from mlproj.manifest.entry_points import choose_entry_point, is_script
from mlproj.manifest.finding import NoManifestError
from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.given import Given
from mlproj.parameters.values import is_url
from mlproj.reproduction.rules import OutputRule, Rules, Tolerance
from mlproj.runs.inputs import hash_inputs
from mlproj.runs.layout import RunFiles
from mlproj.runs.paths import expand
from mlproj.runs.record import InputRecord, RequestRecord, RunRecord
from mlproj.runs.store import Store, files_of, load
from mlproj.sources import Fetching
from mlproj.sources.recorded import RecordedSource, SourceGoneError, recreate
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line


class NotReproducibleError(MlprojError):
    """A run cannot be had again on this machine; the message lists all that is missing."""


@dataclass(frozen=True)
class Recreation:
    """The request by which a recorded run is had again, and the rules by which the two are compared.

    ``caveats`` are what may be otherwise than it was. The snapshot in the request is the caller's to ``release``.
    """

    request: RunRequest
    rules: Rules
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What a caller may say about a reproduction: secrets that no variable holds, mounts, the network, a name."""

    secrets: Mapping[str, Given]
    allowed_mounts: tuple[str, ...] = ()
    offline: bool = False
    keep_tree: bool = False
    hermetic: bool | None = None


def recreate_run(store: Store, record: RunRecord, options: Options, listener: Listener) -> Recreation:
    """Bring back what a run was made of, in a tree of its own, and the request to run it again.

    Raises ``NotReproducibleError`` naming all that is missing, before anything runs; ``UsageError`` for a run that is
    still going on.
    """
    if record.status == "running":
        raise UsageError(f"run {record.id[:12]} is still running", hint="`mlproj stop` ends it.")
    files = files_of(store, record.id)
    fetching = Fetching(offline=options.offline, keep_tree=options.keep_tree, report=listener.sourcing)
    origin = _origin(store, record)
    try:
        snapshot = recreate(_source(record, files, origin), fetching)
    except SourceGoneError as error:
        raise _not_reproducible(record, [error.message]) from None
    try:
        return _in_tree(record, files, origin, snapshot, options)
    except BaseException:
        abandon(snapshot)
        raise


@dataclass(frozen=True)
class _Origin:
    """Where a run's project lay, and what came with the run from elsewhere."""

    project: Path
    files: RunFiles


def _origin(store: Store, record: RunRecord) -> _Origin:
    """Where the project of a run lay: of one that is itself a reproduction, that of the run it was made from."""
    seen = {record.id}
    while record.reproduction is not None and record.reproduction.of not in seen:
        seen.add(record.reproduction.of)
        try:
            record = load(store, record.reproduction.of)
        except StoreError:
            break
    return _Origin(Path(record.source.path), files_of(store, record.id))


def _not_reproducible(record: RunRecord, problems: list[str]) -> NotReproducibleError:
    listed = "\n".join(f"  {problem}" for problem in problems)
    return NotReproducibleError(f"run {record.id[:12]} is not reproducible here:\n{listed}")


def _source(record: RunRecord, files: RunFiles, origin: _Origin) -> RecordedSource:
    source, outputs = record.source, tuple[str, ...]()
    path = origin.project
    if source.kind == "folder" and path.is_dir():
        # What mlproj and the run itself leave in the folder is no part of what ran.
        own = (files.folder.parent.parent, cache_folder())
        outputs = tuple(each.relative_to(path).as_posix() for each in own if each.is_relative_to(path))
        outputs = (*_declared_outputs(path, record.entry_point), *outputs)
    return RecordedSource(
        source.kind,
        path,
        source.commit,
        source.branch,
        source.revision,
        source.remote,
        source.subdirectory,
        bool(source.dirty),
        source.digest,
        _patch(record, files, origin),
        tuple(source.left_out),
        outputs,
        origin.files.source,
    )


def _patch(record: RunRecord, files: RunFiles, origin: _Origin) -> bytes:
    """The patch of a dirty tree's changes. Raises ``NotReproducibleError`` when it is not what was recorded."""
    source = record.source
    if source.patch is None:
        if source.dirty and not origin.files.source.is_dir():
            raise _not_reproducible(record, ["the patch of the changes since the commit was not kept"])
        return b""
    try:
        intact = sha256_of_file(files.patch) == source.patch_sha256
    except OSError:
        raise _not_reproducible(record, ["the patch of the changes since the commit is lost"]) from None
    if not intact:
        raise _not_reproducible(record, ["the patch of the changes since the commit is not the recorded one any more"])
    return files.patch.read_bytes()


def _declared_outputs(folder: Path, entry_point: str) -> list[str]:
    try:
        outputs = _entry_point(_manifest(folder, entry_point), entry_point).outputs
    except (MlprojError, OSError):
        return []
    return [each.path for each in outputs.values()]


def _manifest(folder: Path, entry_point: str) -> CheckedManifest:
    try:
        return checked_manifest(folder, cache_folder())
    except NoManifestError:
        if is_script(entry_point):
            return undeclared_manifest(folder)
        raise


def _entry_point(loaded: CheckedManifest, name: str) -> EntryPoint:
    return choose_entry_point(loaded.manifest, loaded.path, name)[1]


def _in_tree(record: RunRecord, files: RunFiles, origin: _Origin, snapshot: Snapshot, options: Options) -> Recreation:
    asked = record.request or RequestRecord(parameters=dict(record.parameters))
    try:
        loaded = _manifest(snapshot.folder, record.entry_point)
        entry_point = _entry_point(loaded, record.entry_point)
    except MlprojError as error:
        raise _not_reproducible(record, [error.message]) from None
    of_the_caller = asked.allowed_mounts is None and record.imported is None
    recorded_mounts = () if record.imported is not None else tuple(asked.allowed_mounts or ())
    caveats: list[str] = []
    request = RunRequest(
        project=str(snapshot.folder),
        entry_point=record.entry_point,
        given={**dict(_values(asked, entry_point, record, snapshot.folder)), **options.secrets},
        arguments=tuple(asked.arguments),
        environment_kind=asked.environment_kind,
        allowed_mounts=(*recorded_mounts, *options.allowed_mounts),
        docker_arguments=tuple(asked.docker_arguments),
        name=f"reproduction of {record.id[:12]}",
        experiment=record.experiment,
        tracking_uri="",
        timeout_s=record.command.timeout_s,
        keep_tree=options.keep_tree,
        store=files.folder.parent.parent,
        hermetic=asked.hermetic if options.hermetic is None else options.hermetic,
        again=Again(record.id, snapshot, record.environment.python, _variables(record), of_the_caller),
    )
    problems = [
        *_lock_problems(record, files, loaded, entry_point, request),
        *_input_problems(record, origin, snapshot.folder),
        *_secret_problems(asked, entry_point, options),
        *_path_problems(record, asked, entry_point, origin, snapshot.folder, caveats),
    ]
    if problems:
        raise _not_reproducible(record, problems)
    locked = record.environment.lock is not None
    request = replace(request, policy=Policy(frozen=locked, offline=options.offline))
    if not locked:
        caveats.append("its environment had no lock: it is the one that is here now")
    if record.source.left_out:
        names = ", ".join(one_line(each) for each in record.source.left_out[:3])
        caveats.append(f"not brought back, as they were too large for the patch: {names}")
    return Recreation(request, rules_of(loaded, entry_point), tuple(caveats))


def _values(
    asked: RequestRecord, entry_point: EntryPoint, record: RunRecord, folder: Path
) -> Iterator[tuple[str, Given]]:
    """The recorded values to be given again; what an entry point logged beside its parameters is none of them."""
    for name, value in asked.parameters.items():
        parameter = entry_point.parameters.get(name)
        if parameter is None and (entry_point.dialect == "mlproj" or record.request is None):
            continue
        if parameter is not None and _is_place(parameter, entry_point):
            items = [_moved(item, record, folder) for item in (value if isinstance(value, list) else [value])]
            value = items if isinstance(value, list) else items[0]
        yield name, Given(f"run {record.id[:12]}", data=value)


def _is_place(parameter: Parameter, entry_point: EntryPoint) -> bool:
    base = parameter.type if entry_point.dialect == "mlflow" else parameter.value_type.base
    return base in ("path", "uri")


def _moved(value: Any, record: RunRecord, folder: Path) -> Any:
    """A path in the project as one in the tree; other places and URLs are what they were."""
    if not isinstance(value, str) or is_url(value):
        return value
    project = Path(record.command.cwd or record.source.path)
    place = project / value
    return str(folder / place.relative_to(project)) if place.is_relative_to(project) else str(place)


def _variables(record: RunRecord) -> Mapping[str, str] | None:
    """The deciding variables that the command had; a run from before they were recorded does not tell."""
    return record.variables if record.request is not None else None


def _lock_problems(
    record: RunRecord, files: RunFiles, loaded: CheckedManifest, entry_point: EntryPoint, request: RunRequest
) -> Iterator[str]:
    """Put the recorded lock beside the manifest."""
    kept = record.environment
    try:
        chosen = choose_environment(loaded, entry_point, request)
    except UsageError as error:
        yield error.message
        return
    place = environments.lock_path(chosen.spec, chosen.name, loaded.folder)
    if place is None:
        return
    if kept.lock is None:
        yield "its environment was never built, so there is no lock of it"
        return
    lock = files.folder / Path(kept.lock).name
    try:
        content = lock.read_bytes()
    except OSError:
        yield f"the lock of its environment, {one_line(kept.lock)}, is lost"
        return
    if sha256_of_bytes(content) != kept.lock_sha256:
        yield f"the lock of its environment, {one_line(kept.lock)}, is not the recorded one any more"
        return
    if place.is_symlink():
        place.unlink()
    write_atomically(place, content)


def _input_problems(record: RunRecord, origin: _Origin, folder: Path) -> Iterator[str]:
    """Put the recorded inputs into the tree where they are not: from what came with the run, or from where they lay."""
    for recorded in record.inputs:
        shown = one_line(recorded.path)
        if _hash(recorded, folder) == recorded.sha256:
            continue
        in_source = _hash(recorded, folder) is not None
        places = [place for place in (origin.files.inputs, origin.project) if place.is_dir()]
        found = [(place, _hash(recorded, place)) for place in places]
        place = next((place for place, digest in found if digest == recorded.sha256), None)
        if place is not None:
            try:
                _copy_input(recorded.path, place, folder)
            except OSError as error:
                yield f"input {shown} cannot be copied: {one_line(error.strerror or error)}"
        elif any(digest for _, digest in found) or in_source:
            now = next((digest for _, digest in found if digest), _hash(recorded, folder)) or ""
            yield f"input {shown} has changed: it was sha256 {(recorded.sha256 or '')[:12]}, and is {now[:12]}"
        else:
            yield f"input {shown} is not there any more (sha256 {(recorded.sha256 or '')[:12]})"


def _hash(recorded: InputRecord, folder: Path) -> str | None:
    hashed = hash_inputs([recorded.path], folder, cache_folder())
    return hashed.inputs[0].sha256 if hashed.inputs and not hashed.problems else None


def _copy_input(pattern: str, place: Path, folder: Path) -> None:
    for found in expand(pattern, place, None).files:
        target = folder / found.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        copy_file(place / found.path, target)


def _secret_problems(asked: RequestRecord, entry_point: EntryPoint, options: Options) -> Iterator[str]:
    for name, parameter in entry_point.parameters.items():
        if entry_point.dialect == "mlflow" or parameter.value_type.base != "secret" or name in options.secrets:
            continue
        variable = parameter.env or asked.secrets.get(name)
        needed = name in asked.secrets or not parameter.value_type.optional
        if needed and not (parameter.env and os.environ.get(parameter.env)):
            how = f"set ${variable}, or give it with" if parameter.env else "give it with"
            yield f"the secret `{one_line(name)}` is not recorded: {how} -P {one_line(name)}=@FILE"


def _path_problems(
    record: RunRecord,
    asked: RequestRecord,
    entry_point: EntryPoint,
    origin: _Origin,
    folder: Path,
    caveats: list[str],
) -> Iterator[str]:
    """Bring what `path` parameters name in the project into the tree, where it is no part of the source."""
    declared = {each.path for each in record.inputs}
    for name, parameter in entry_point.parameters.items():
        value = asked.parameters.get(name)
        if not value or not _is_place(parameter, entry_point) or parameter.type.startswith("uri"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or is_url(item) or item in declared:
                continue
            target = Path(_moved(item, record, folder))
            if target.exists():
                if not target.is_relative_to(folder):
                    caveats.append(f"no digest is kept of {one_line(item)} (parameter {name}): `inputs` would have one")
                continue
            if target.is_relative_to(folder) and (origin.project / item).exists():
                _copy_input(item, origin.project, folder)
                caveats.append(f"no digest is kept of {one_line(item)} (parameter {name}): `inputs` would have one")
            else:
                yield f"{one_line(item)}, which the parameter {name} names, is not there any more"


def rules_of(loaded: CheckedManifest, entry_point: EntryPoint) -> Rules:
    """By what two runs of an entry point are compared. Raises ``UsageError`` when a package for that is missing."""
    from mlproj.reproduction.contents import refuse_without_extra

    declared = loaded.manifest.reproducibility_of(entry_point)
    outputs = {}
    for name, each in entry_point.outputs.items():
        how = each.compare or ("bytes" if each.kind == "artifact" else "metrics")
        outputs[name] = OutputRule(how, Tolerance(each.rtol, each.atol), tuple(each.ignore))
    artifacts = {
        glob: OutputRule(each.compare, Tolerance(each.rtol, each.atol), tuple(each.ignore))
        for glob, each in declared.artifacts.items()
    }
    for rule in (*outputs.values(), *artifacts.values()):
        refuse_without_extra(rule.how)
    metrics = {
        name: None if each.ignore else Tolerance(each.rtol, each.atol) for name, each in declared.metrics.items()
    }
    return Rules(outputs, metrics, artifacts)
