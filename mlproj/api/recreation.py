"""A recorded run as a request for the same run: its source, lock, inputs, values and variables brought back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj.api.brought_back import (
    Origin,
    input_problems,
    is_place,
    lock_problems,
    masked_values,
    moved_into,
    path_problems,
    secret_problems,
)
from mlproj.api.checked import CheckedManifest, manifest_to_run
from mlproj.api.projects import abandon
from mlproj.api.request import Again, Listener, RunRequest
from mlproj.environments.environment import Policy
from mlproj.errors import MlprojError, StoreError, UsageError
from mlproj.files import sha256_of_file
from mlproj.locations import cache_folder
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.manifest.models import EntryPoint
from mlproj.parameters.given import Given
from mlproj.reproduction.rules import OutputRule, Rules, Tolerance
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RequestRecord, RunRecord
from mlproj.runs.store import Store, files_of, load
from mlproj.sources import Fetching
from mlproj.sources.recorded import RecordedSource, SourceGoneError, recreate
from mlproj.sources.snapshot import Snapshot
from mlproj.text import one_line


class NotReproducibleError(MlprojError):
    """A run cannot be had again on this machine: ``missing`` is all that it lacks, each in words."""

    def __init__(self, run_id: str, missing: Sequence[str], *, hint: str | None = None) -> None:
        listed = "\n".join(f"  {each}" for each in missing)
        super().__init__(f"run {run_id[:12]} is not reproducible here:\n{listed}", hint=hint)
        self.missing = tuple(missing)


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
    if record.imported is not None and not record.mlproj_version:
        reason = f"another tool ran it, whose command and environment are not known here ({record.imported.origin})"
        raise NotReproducibleError(record.id, [reason])
    files = files_of(store, record.id)
    fetching = Fetching(offline=options.offline, keep_tree=options.keep_tree, report=listener.sourcing)
    origin = _origin(store, record)
    try:
        snapshot = recreate(_source(record, files, origin), fetching)
    except SourceGoneError as error:
        raise NotReproducibleError(record.id, [error.message]) from None
    try:
        return _in_tree(record, files, origin, snapshot, options)
    except BaseException:
        abandon(snapshot)
        raise


def _origin(store: Store, record: RunRecord) -> Origin:
    """Where the project of a run lay: of one that is itself a reproduction, that of the run it was made from."""
    seen = {record.id}
    while record.reproduction is not None and record.reproduction.of not in seen:
        seen.add(record.reproduction.of)
        try:
            record = load(store, record.reproduction.of)
        except StoreError:
            break
    return Origin(Path(record.source.path), files_of(store, record.id))


def recorded_source(store: Store, record: RunRecord, files: RunFiles) -> RecordedSource:
    """What is known of a run's source, for ``recreate``.

    Raises ``NotReproducibleError`` when the patch of its changes is not to be had.
    """
    return _source(record, files, _origin(store, record))


def _source(record: RunRecord, files: RunFiles, origin: Origin) -> RecordedSource:
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


def _patch(record: RunRecord, files: RunFiles, origin: Origin) -> bytes:
    """The patch of a dirty tree's changes. Raises ``NotReproducibleError`` when it is not what was recorded."""
    source = record.source
    if source.patch is None:
        if source.dirty and not origin.files.source.is_dir():
            raise NotReproducibleError(record.id, ["the patch of the changes since the commit was not kept"])
        return b""
    try:
        intact = sha256_of_file(files.patch) == source.patch_sha256
    except OSError:
        if origin.files.source.is_dir():
            return b""  # the project's files came with the run, changes and all
        raise NotReproducibleError(record.id, ["the patch of the changes since the commit is lost"]) from None
    if not intact:
        missing = "the patch of the changes since the commit is not the recorded one any more"
        raise NotReproducibleError(record.id, [missing])
    return files.patch.read_bytes()


def _declared_outputs(folder: Path, entry_point: str) -> list[str]:
    try:
        outputs = _entry_point(manifest_to_run(folder, entry_point), entry_point).outputs
    except (MlprojError, OSError):
        return []
    return [each.path for each in outputs.values()]


def _entry_point(loaded: CheckedManifest, name: str) -> EntryPoint:
    return choose_entry_point(loaded.manifest, loaded.path, name)[1]


def _in_tree(record: RunRecord, files: RunFiles, origin: Origin, snapshot: Snapshot, options: Options) -> Recreation:
    asked = record.request or RequestRecord(parameters=dict(record.parameters))
    try:
        loaded = manifest_to_run(snapshot.folder, record.entry_point)
        entry_point = _entry_point(loaded, record.entry_point)
    except MlprojError as error:
        raise NotReproducibleError(record.id, [error.message]) from None
    _refuse_other_values(options, asked, entry_point)
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
        again=Again(record.id, snapshot, record.environment.python, _variables(record), of_the_caller, record.project),
    )
    problems = [
        *lock_problems(record, files, loaded, entry_point, request),
        *input_problems(record, origin, snapshot.folder),
        *secret_problems(asked, entry_point, options.secrets),
        *path_problems(record, asked, entry_point, origin, snapshot.folder, caveats),
    ]
    if problems:
        raise NotReproducibleError(record.id, problems)
    locked = record.environment.lock is not None
    request = replace(request, policy=Policy(frozen=locked, offline=options.offline))
    if not locked:
        caveats.append("its environment had no lock: it is the one that is here now")
    if record.source.left_out:
        names = ", ".join(one_line(each) for each in record.source.left_out[:3])
        caveats.append(f"not brought back, as the patch does not hold them: {names}")
    return Recreation(request, rules_of(loaded, entry_point), tuple(caveats))


def _refuse_other_values(options: Options, asked: RequestRecord, entry_point: EntryPoint) -> None:
    """Raise ``UsageError`` for a value that is no secret: with another one it would be another run."""
    masked = masked_values(asked)
    for name in options.secrets:
        parameter = entry_point.parameters.get(name)
        is_secret = parameter is not None and entry_point.dialect == "mlproj" and parameter.value_type.base == "secret"
        if not is_secret and name not in masked:
            raise UsageError(
                f"-P {one_line(name)}: only secrets, which no run records, are given to `reproduce`",
                hint="`mlproj run` runs with other values.",
            )


def _values(
    asked: RequestRecord, entry_point: EntryPoint, record: RunRecord, folder: Path
) -> Iterator[tuple[str, Given]]:
    """The recorded values to be given again; what an entry point logged beside its parameters is none of them."""
    for name, value in asked.parameters.items():
        parameter = entry_point.parameters.get(name)
        if parameter is None and (entry_point.dialect == "mlproj" or record.request is None):
            continue
        items = value if isinstance(value, list) else [value]
        if parameter is not None and is_place(parameter, entry_point):
            items = [moved_into(item, record, folder) for item in items]
        elif parameter is not None and entry_point.dialect == "mlproj" and parameter.value_type.base == "float":
            # JSON, and so a record, has no number for what is without end or none: it is written as Python does.
            items = [float(item) if item in ("inf", "-inf", "nan") else item for item in items]
        value = items if isinstance(value, list) else items[0]
        yield name, Given(f"run {record.id[:12]}", data=value)


def _variables(record: RunRecord) -> Mapping[str, str] | None:
    """The deciding variables that the command had; a run from before they were recorded does not tell."""
    return record.variables if record.request is not None else None


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
