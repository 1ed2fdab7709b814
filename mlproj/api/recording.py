"""The record of a run, put together from what each step of its way found out; no secret gets into it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlproj.api import machine
from mlproj.api.request import RunRequest
from mlproj.api.resolution import Resolved
from mlproj.environments.environment import Environment
from mlproj.execution.masking import mask_bytes, mask_text
from mlproj.execution.plan import Outcome
from mlproj.files import write_atomically
from mlproj.locations import MADE_FROM_VARIABLE, is_image_project
from mlproj.parameters.values import is_url
from mlproj.runs.experiments import DEFAULT_EXPERIMENT
from mlproj.runs.metric_lines import masked_line
from mlproj.runs.record import (
    CommandRecord,
    EnvironmentRecord,
    ReproductionRecord,
    RequestRecord,
    Resources,
    RunRecord,
    SourceRecord,
)
from mlproj.runs.times import now_text
from mlproj.sources import Snapshot
from mlproj.sources.git.working_tree import CommitFacts
from mlproj.urls import secrets_of
from mlproj.version import __version__

PATCH_NAME = "source.patch"


def first_record(
    run_id: str, request: RunRequest, resolved: Resolved, parent: str | None, facts: CommitFacts
) -> RunRecord:
    """The record of a run that begins: everything but its environment and its end."""
    record = RunRecord(
        id=run_id,
        name=request.name,
        project=(request.again.project if request.again is not None else "") or resolved.project_name,
        experiment=request.experiment or resolved.loaded.manifest.tracking.experiment or DEFAULT_EXPERIMENT,
        entry_point=resolved.entry_point_name,
        parameters=resolved.config.recorded,
        defaults=_defaults_left(resolved),
        tags=dict(request.tags),
        user=machine.user_name(),
        started_at=now_text(),
        source=replace(_source(resolved.snapshot), author=facts.author, tree=facts.tree),
        command=CommandRecord(
            argv=list(resolved.command.shown),
            shell=resolved.command.interpreter,
            cwd=str(resolved.loaded.folder),
            timeout_s=resolved.timeout_s,
        ),
        request=_request(request, resolved),
        reproduction=ReproductionRecord(request.again.of) if request.again is not None else None,
        parent=parent,
        notices=list(resolved.notices),
        command_line=request.command_line,
        host=machine.host_name(),
        platform=machine.platform_name(),
        machine=machine.machine(),
        mlproj_version=__version__,
        supervisor=machine.supervisor(),
    )
    return masked(record, resolved.secrets)


def _request(request: RunRequest, resolved: Resolved) -> RequestRecord:
    return RequestRecord(
        parameters=dict(resolved.values_again),
        secrets={**resolved.config.secret_variables, **_secret_variables(resolved)},
        masked=[name for name, value in resolved.config.values.items() if any(_with_credentials(value))],
        arguments=list(request.arguments),
        environment_kind=request.environment_kind,
        docker_arguments=list(request.docker_arguments),
        allowed_mounts=None if resolved.policy.allowed_mounts is None else list(resolved.policy.allowed_mounts),
        hermetic=resolved.hermetic,
    )


def _with_credentials(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and is_url(item):
            yield from secrets_of(item)


def _secret_variables(resolved: Resolved) -> dict[str, str]:
    return {name: name for name in resolved.entry_point.secret_variables if os.environ.get(name)}


def _defaults_left(resolved: Resolved) -> dict[str, Any]:
    """The manifest's defaults that other values were given in place of."""
    config = resolved.config
    return {
        name: parameter.default
        for name, parameter in resolved.entry_point.parameters.items()
        if name in config.changed and name in config.recorded and parameter.has_default
        if config.recorded[name] != parameter.default
    }


def _source(snapshot: Snapshot) -> SourceRecord:
    return SourceRecord(
        kind=snapshot.kind,
        path=str(snapshot.folder),
        digest=snapshot.digest,
        commit=snapshot.commit,
        branch=snapshot.branch,
        revision=snapshot.revision,
        remote=snapshot.remote,
        made_from=os.environ.get(MADE_FROM_VARIABLE) or None if is_image_project(snapshot.folder) else None,
        subdirectory=snapshot.subdirectory,
        dirty=snapshot.dirty if snapshot.commit or snapshot.kind == "git" else None,
        patch=PATCH_NAME if snapshot.patch else None,
        patch_sha256=snapshot.digest if snapshot.patch else None,
        kept=bool(snapshot.files),
        left_out=list(snapshot.left_out),
        notes=list(snapshot.notes),
    )


def with_environment(record: RunRecord, environment: Environment) -> RunRecord:
    """The record of a run whose environment is ready."""
    built = EnvironmentRecord(
        kind=environment.kind,
        key=environment.key,
        python=environment.python,
        interpreter=environment.interpreter,
        platform=environment.platform,
        lock=environment.lock_name,
        lock_sha256=environment.lock_digest,
        packages=dict(environment.packages),
        image=environment.image,
        managed_by="the caller" if environment.kind == "system" else "mlproj",
    )
    return replace(record, environment=built)


def with_outcome(record: RunRecord, outcome: Outcome, duration_s: float) -> RunRecord:
    """The record of a run whose command has ended."""
    usage = outcome.usage
    return replace(
        record,
        status=outcome.status,
        exit_status=outcome.exit_status,
        duration_s=round(duration_s, 3),
        ended_at=now_text(),
        resources=Resources(round(usage.wall_s, 3), usage.user_s, usage.system_s, usage.max_memory_bytes),
        error=outcome.reason,
        notices=[*record.notices, *outcome.notices],
    )


def masked(record: RunRecord, secrets: tuple[str, ...]) -> RunRecord:
    """The record with every secret masked, wherever in it one has got to."""
    if not secrets:
        return record
    fields: dict[str, Any] = {
        field.name: masked_value(getattr(record, field.name), secrets)
        for field in dataclasses.fields(record)
        if field.name not in ("id", "status")
    }
    return replace(record, **fields)


def masked_value(value: Any, secrets: tuple[str, ...]) -> Any:
    """A value of texts, lists, mappings and dataclasses with every secret in it masked."""
    if isinstance(value, str):
        return mask_text(value, secrets)
    if isinstance(value, list):
        return [masked_value(item, secrets) for item in value]
    if isinstance(value, dict):
        return {masked_value(key, secrets): masked_value(item, secrets) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{each.name: masked_value(getattr(value, each.name), secrets) for each in dataclasses.fields(value)},
        )
    return value


def mask_file(path: Path, secrets: tuple[str, ...]) -> None:
    """Mask secrets that an entry point logged as a parameter or a tag, which it wrote into the file itself."""
    if not secrets or not path.exists():
        return
    content = path.read_bytes()
    masked = b"".join(_masked_line(line, secrets) for line in content.splitlines(keepends=True))
    if masked != content:
        write_atomically(path, masked)


def _masked_line(line: bytes, secrets: tuple[str, ...]) -> bytes:
    if mask_bytes(line, secrets) == line:
        return line
    try:
        mapping = json.loads(line)
    except (ValueError, RecursionError):
        return mask_bytes(line, secrets)
    if not isinstance(mapping, dict):
        return mask_bytes(line, secrets)
    # What a secret of digits has in common with a time or a value is none of it.
    return (json.dumps(masked_line(mapping, lambda text: mask_text(text, secrets))) + "\n").encode()
