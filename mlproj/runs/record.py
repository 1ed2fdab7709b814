"""The record of a run: what ``run.json``, ``--json`` and the Python API show of it, and its JSON Schema."""

# ruff: noqa: RUF009  `_said` is called once per field, for its description
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from mlproj.errors import StoreError

SCHEMA_VERSION = 1
Status = Literal["running", "finished", "failed", "killed", "lost"]
STATUSES: tuple[str, ...] = ("running", "finished", "failed", "killed", "lost")


def _said(description: str, **default: Any) -> Any:
    # pydantic reads the description out of a standard dataclass field's metadata, so
    # the record needs no pydantic.
    return field(metadata={"description": description}, **default)


@dataclass(frozen=True)
class FileRecord:
    """One file: where it is, how large, and the digest of its bytes."""

    path: str = _said("Path with forward slashes; of an output: below the run's artifacts folder")
    size: int = _said("Size in bytes")
    sha256: str = _said("SHA-256 of the file's bytes, hexadecimal")


@dataclass(frozen=True)
class SourceRecord:
    """The exact source that ran."""

    kind: str = _said("`git`, `folder` or `archive`", default="folder")
    path: str = _said("The project's folder on the machine that ran it", default="")
    digest: str | None = _said("Digest of the project's files; of an archive: of its bytes", default=None)
    commit: str | None = _said("Git commit", default=None)
    tree: str | None = _said("Git tree of the commit", default=None)
    branch: str | None = _said("Git branch", default=None)
    revision: str | None = _said("The branch, tag or commit that was asked for", default=None)
    remote: str | None = _said("URL of the git remote or of the archive, without credentials", default=None)
    made_from: str | None = _said("Of a project in an image: the remote and the commit it was made from", default=None)
    subdirectory: str = _said("The project's folder within the repository", default="")
    dirty: bool | None = _said("Whether the working tree differed from the commit", default=None)
    author: str | None = _said("Author of the commit", default=None)
    patch: str | None = _said("File in the run's folder with the changes since the commit", default=None)
    patch_sha256: str | None = _said("SHA-256 of the patch", default=None)
    changed: list[str] = _said("Files of it, and inputs, that changed while the run ran", default_factory=list)
    kept: bool = _said("Whether the folder's files are kept in the run's folder, in `source`", default=False)
    left_out: list[str] = _said("Files too large for the patch, and submodules with changes", default_factory=list)
    notes: list[str] = _said("What was unusual about the source", default_factory=list)


@dataclass(frozen=True)
class EnvironmentRecord:
    """The exact environment that the command ran in."""

    kind: str = _said("`virtualenv`, `conda`, `docker` or `system`", default="system")
    key: str | None = _said("Digest of kind, platform, interpreter and lock", default=None)
    python: str | None = _said("Version of the Python interpreter", default=None)
    interpreter: str | None = _said("Path of the interpreter", default=None)
    platform: str | None = _said("Platform that the environment was built for", default=None)
    lock: str | None = _said("File in the run's folder with the lock", default=None)
    lock_sha256: str | None = _said("SHA-256 of the lock", default=None)
    packages: dict[str, str] = _said("Installed packages: name to version", default_factory=dict)
    managed_by: str | None = _said("Who provides the environment", default=None)
    image: str | None = _said("For `docker`: the image, with its digest where it has one", default=None)


@dataclass(frozen=True)
class CommandRecord:
    """What was executed, with secrets masked."""

    argv: list[str] = _said("The words of the command", default_factory=list)
    shell: str | None = _said("The shell that ran it, if one was asked for", default=None)
    cwd: str = _said("The folder it ran in", default="")
    timeout_s: float | None = _said("The time it was given, in seconds", default=None)


# The name in ``decided_by`` under which the variables are listed that a container has of its caller's.
OF_CALLER = "variables of the caller"
# The name under which it is said that the command was given something to read there.
STANDARD_INPUT = "standard input"


@dataclass(frozen=True)
class RequestRecord:
    """What was asked for, as far as the rest of the record does not say it: for the run to be had again."""

    parameters: dict[str, Any] = _said("The values the command was given, without secrets", default_factory=dict)
    secrets: dict[str, str] = _said("Names of secrets, and the variables that hold them", default_factory=dict)
    masked: list[str] = _said("Parameters whose values had credentials, which are left out", default_factory=list)
    arguments: list[str] = _said("Words appended to the command", default_factory=list)
    environment_kind: str | None = _said("The kind of environment asked for instead of the declared", default=None)
    docker_arguments: list[str] = _said("Arguments for the container", default_factory=list)
    allowed_mounts: list[str] | None = _said(
        "What of the machine a fetched project's container was given; null: all that it asked for",
        default=None,
    )
    hermetic: bool = _said("Whether it was cut off from what it does not declare", default=False)
    decided_by: dict[str, str] = _said(
        "What else decides the result, by name: digests of the manifest and of other entry points' outputs, programs",
        default_factory=dict,
    )


@dataclass(frozen=True)
class ReproductionRecord:
    """Which run this one is to be the same as, and whether it was."""

    of: str = _said("Id of the run that was reproduced", default="")
    verdict: str | None = _said("`identical`, `equivalent` or `different`; none while it runs", default=None)
    differences: list[str] = _said("What differed", default_factory=list)


@dataclass(frozen=True)
class ImportRecord:
    """Where a run that was recorded elsewhere came from."""

    origin: str = _said("The file or remote it was taken from, without credentials", default="")
    at: str = _said("When: ISO 8601, UTC", default="")
    without: list[str] = _said(
        "Files of the record, in the run's folder, that did not come with it", default_factory=list
    )


@dataclass(frozen=True)
class InputRecord:
    """Something that the run read."""

    path: str = _said("Path or pattern as declared")
    size: int = _said("Size in bytes, of all files together", default=0)
    sha256: str | None = _said(
        "SHA-256 of the file; of a folder or pattern: of its lines `sha256  path`, sorted", default=None
    )
    files: int = _said("Number of files", default=1)


@dataclass(frozen=True)
class OutputRecord:
    """Something that the run wrote, kept below its artifacts folder."""

    name: str = _said("Name in the manifest; empty: the entry point logged it itself")
    path: str = _said("Path or pattern as declared")
    kind: str = _said("`artifact` or `metrics`", default="artifact")
    size: int = _said("Size in bytes, of all files together", default=0)
    files: list[FileRecord] = _said("The files kept", default_factory=list)
    unwritten: list[str] = _said("Those that were there before, and that the run left unchanged", default_factory=list)


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset that an MLflow client logged as an input."""

    name: str = _said("Name of the dataset")
    digest: str = _said("Its digest, as the client computed it", default="")
    context: str = _said("What it was used for, such as `training`", default="")
    source_type: str = _said("Kind of its source", default="")
    source: str = _said("Where it came from: JSON, of a form that depends on the kind", default="")
    schema: str = _said("Its schema, as JSON", default="")
    profile: str = _said("Its size and such, as JSON", default="")
    tags: dict[str, str] = _said("Tags of this use of it", default_factory=dict)


@dataclass(frozen=True)
class ModelRecord:
    """A model that an MLflow client logged or registered."""

    id: str = _said("Its id, `m-…`; of a registered version: `name/version`")
    name: str = _said("The name that it was logged or registered under", default="")
    path: str = _said("Where it is below the run's artifacts folder", default="")
    version: str | None = _said("Of a registered model: the version", default=None)
    flavors: list[str] = _said("What can load it", default_factory=list)
    step: int = _said("The step of the training that it is of", default=0)


@dataclass(frozen=True)
class TrackingRecord:
    """Where else the run is: on a tracking server of MLflow's."""

    uri: str = _said("The server's or store's URI, without credentials", default="")
    experiment_id: str | None = _said("The experiment's id there", default=None)
    run_id: str | None = _said("The run's id there; none while the server has not been told", default=None)
    sent: bool = _said("Whether all of the run is there", default=False)


@dataclass(frozen=True)
class Resources:
    """What the run took, of all its processes together."""

    wall_s: float | None = _said("Time from start to end, in seconds", default=None)
    user_s: float | None = _said("CPU time in user mode, in seconds", default=None)
    system_s: float | None = _said("CPU time in the kernel, in seconds", default=None)
    max_memory_bytes: int | None = _said("Largest resident memory of one process, in bytes", default=None)


@dataclass(frozen=True)
class SupervisorRecord:
    """The processes of the run: to stop it, and to end what is left of it when it is lost."""

    pid: int | None = _said("Process id of the mlproj that runs it", default=None)
    pid_started: str | None = _said("When that process started, as the kernel says it", default=None)
    host: str | None = _said("The machine it is on", default=None)
    boot: str | None = _said("The boot of that machine", default=None)
    child_pid: int | None = _said("Process id, and process group, of the command", default=None)
    child_started: str | None = _said("When the command's process started, as the kernel says it", default=None)


@dataclass(frozen=True)
class MachineRecord:
    """The hardware that the run was on."""

    cpu: str | None = _said("Model of the CPU", default=None)
    cpu_count: int | None = _said("CPUs that the run could use", default=None)
    memory_bytes: int | None = _said("Memory of the machine, in bytes", default=None)
    gpus: list[str] = _said("Models of the GPUs", default_factory=list)
    gpu_driver: str | None = _said("Version of the GPU driver", default=None)


@dataclass(frozen=True)
class RunRecord:
    """One run: the resolved configuration, the exact source and environment, what it read
    and wrote, how it ended.
    """

    id: str = _said("32 hexadecimal characters, ordered by the time the run began")
    name: str = _said("The run's name", default="")
    project: str = _said("The project's name", default="")
    experiment: str = _said("The experiment it belongs to", default="")
    entry_point: str = _said("The entry point that ran", default="")
    status: Status = _said("How the run stands; `lost`: its runner died without a word", default="running")
    exit_status: int | None = _said("Exit status of the command; 128+n: ended by signal n", default=None)
    parameters: dict[str, Any] = _said("Parameters: name to typed value", default_factory=dict)
    metrics: dict[str, float] = _said("Metrics: name to last value", default_factory=dict)
    tags: dict[str, str] = _said("Tags", default_factory=dict)
    user: str | None = _said("Who ran it", default=None)
    started_at: str = _said("When it began: ISO 8601, UTC, milliseconds", default="")
    duration_s: float | None = _said("How long it took, in seconds", default=None)
    source: SourceRecord = _said("The exact source", default_factory=SourceRecord)
    environment: EnvironmentRecord = _said("The exact environment", default_factory=EnvironmentRecord)
    command: CommandRecord = _said("What was executed", default_factory=CommandRecord)
    inputs: list[InputRecord] = _said("What it read", default_factory=list)
    outputs: list[OutputRecord] = _said("What it wrote", default_factory=list)
    resources: Resources = _said("What it took", default_factory=Resources)
    parent: str | None = _said("Id of the run that this one is a child of", default=None)
    datasets: list[DatasetRecord] = _said("Datasets that MLflow clients logged", default_factory=list)
    models: list[ModelRecord] = _said("Models that MLflow clients logged or registered", default_factory=list)
    defaults: dict[str, Any] = _said(
        "The manifest's defaults of parameters that were given another value", default_factory=dict
    )
    tracking: TrackingRecord | None = _said("Where else the run is", default=None)
    request: RequestRecord | None = _said("What was asked for, for the run to be had again", default=None)
    variables: dict[str, str] = _said(
        "Environment variables of the command that decide how it turns out: seeds, threads, locale, those declared",
        default_factory=dict,
    )
    reproduction: ReproductionRecord | None = _said("Which run this one is to be the same as", default=None)
    imported: ImportRecord | None = _said("Where the run came from, if it was recorded elsewhere", default=None)
    ended_at: str | None = _said("When it ended; of a lost run: when it was last heard of", default=None)
    deleted_at: str | None = _said("When it was moved to the trash", default=None)
    error: str | None = _said("Why it failed, where that was not the command's exit status", default=None)
    notices: list[str] = _said("What the user should know about the run", default_factory=list)
    command_line: str | None = _said("The command line that started it", default=None)
    host: str | None = _said("The machine's name", default=None)
    platform: str | None = _said("Operating system and architecture", default=None)
    machine: MachineRecord = _said("The hardware", default_factory=MachineRecord)
    mlproj_version: str = _said("The version of mlproj that ran it", default="")
    supervisor: SupervisorRecord = _said("The run's processes", default_factory=SupervisorRecord)
    result_key: str | None = _said(
        "Digest of all that decides the result: source, environment, values, variables, inputs", default=None
    )
    schema_version: int = _said("Version of this record's form", default=SCHEMA_VERSION)
    other: dict[str, Any] = _said("Keys that a newer mlproj wrote, kept as they are", default_factory=dict)


def recorded_files(record: RunRecord) -> dict[str, str | None]:
    """The files that a record says are kept, by their paths in the run's folder, each with its SHA-256."""
    files: dict[str, str | None] = {
        f"artifacts/{each.path}": each.sha256 for output in record.outputs for each in output.files
    }
    if record.source.patch:
        files[record.source.patch] = record.source.patch_sha256
    if record.environment.lock:
        files[record.environment.lock] = record.environment.lock_sha256
    return files


def not_brought(record: RunRecord) -> frozenset[str]:
    """The files of a record that an imported run came without, by their paths in the run's folder."""
    return frozenset(record.imported.without if record.imported is not None else ())


def to_json(record: RunRecord) -> dict[str, Any]:
    """The record as the mapping that ``run.json`` holds, its keys in the order of ``RunRecord``."""
    mapping = dataclasses.asdict(record)
    other = mapping.pop("other")
    return {**mapping, **other}


def from_json(mapping: Any) -> RunRecord:
    """The record of a mapping read from ``run.json``. Unknown keys are kept; raises
    StoreError when it is none.
    """
    if not isinstance(mapping, dict) or not isinstance(mapping.get("id"), str):
        raise StoreError("not a run record: it has no `id`")
    known = {each.name for each in dataclasses.fields(RunRecord)} - {"other"}
    values: dict[str, Any] = {key: value for key, value in mapping.items() if key in known}
    try:
        if values.get("status", "running") not in STATUSES:
            raise ValueError("unknown status")
        for key, kind in _NESTED.items():
            if values.get(key) is not None:
                values[key] = _built(kind, values[key])
        values["inputs"] = [_built(InputRecord, each) for each in values.get("inputs", [])]
        values["outputs"] = [_output(each) for each in values.get("outputs", [])]
        values["datasets"] = [_built(DatasetRecord, each) for each in values.get("datasets", [])]
        values["models"] = [_built(ModelRecord, each) for each in values.get("models", [])]
        values["metrics"] = {name: float(value) for name, value in values.get("metrics", {}).items()}
        values["other"] = {key: value for key, value in mapping.items() if key not in known}
        return RunRecord(**values)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"the record of run {mapping['id'][:32]} is damaged: {error}") from error


_NESTED: dict[str, type] = {
    "source": SourceRecord,
    "environment": EnvironmentRecord,
    "command": CommandRecord,
    "resources": Resources,
    "machine": MachineRecord,
    "supervisor": SupervisorRecord,
    "tracking": TrackingRecord,
    "request": RequestRecord,
    "reproduction": ReproductionRecord,
    "imported": ImportRecord,
}


def _built(kind: type, mapping: Any) -> Any:
    known = {each.name for each in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in mapping.items() if key in known})


def _output(mapping: Any) -> OutputRecord:
    output: OutputRecord = _built(OutputRecord, mapping)
    files = [_built(FileRecord, each) for each in mapping.get("files", [])]
    return dataclasses.replace(output, files=files)


def run_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``run.json``, generated from the dataclasses above."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(RunRecord).json_schema(mode="serialization")
    del schema["properties"]["other"]
    schema["required"] = list(schema["properties"])
    schema["properties"]["metrics"]["additionalProperties"] = {
        "anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]
    }
    schema["properties"]["id"]["pattern"] = "^[0-9a-f]{32}$"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "mlproj run record"}
