"""What a recorded run needs beside its source, brought into a tree: lock, inputs, paths; and what of it is missing.

Each function that looks for problems puts in place what is there, and names what is not.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj import environments
from mlproj.api.checked import CheckedManifest
from mlproj.api.environment_choice import choose_environment
from mlproj.api.request import RunRequest
from mlproj.errors import UsageError
from mlproj.execution.masking import MASK
from mlproj.files import copy_file, sha256_of_bytes, write_atomically
from mlproj.locations import cache_folder
from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.values import is_url
from mlproj.runs.inputs import digest_of_input
from mlproj.runs.layout import RunFiles
from mlproj.runs.paths import expand
from mlproj.runs.record import InputRecord, RequestRecord, RunRecord
from mlproj.text import one_line


@dataclass(frozen=True)
class Origin:
    """Where a run's project lay, and what came with the run from elsewhere."""

    project: Path
    files: RunFiles


def is_place(parameter: Parameter, entry_point: EntryPoint) -> bool:
    """Whether a parameter's values are paths, or may be."""
    return entry_point.base_type(parameter) in ("path", "uri")


def moved_into(value: Any, record: RunRecord, folder: Path) -> Any:
    """A path in the project as one in the tree; other places and URLs are what they were."""
    if not isinstance(value, str) or is_url(value):
        return value
    project = Path(record.command.cwd or record.source.path)
    place = project / value
    return str(folder / place.relative_to(project)) if place.is_relative_to(project) else str(place)


def lock_problems(
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


def input_problems(record: RunRecord, origin: Origin, folder: Path) -> Iterator[str]:
    """Put the recorded inputs into the tree where they are not: from what came with the run, or from where they lay."""
    for recorded in record.inputs:
        if is_url(recorded.path):
            continue  # it is fetched when its parameter is, and told of if it is another one
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
    return digest_of_input(recorded.path, folder, cache_folder())


def _copy_input(pattern: str, place: Path, folder: Path) -> None:
    for found in expand(pattern, place, None).files:
        target = folder / found.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        copy_file(place / found.path, target)


def masked_values(asked: RequestRecord) -> list[str]:
    """The parameters whose recorded values had credentials in them, which no record holds."""
    mask = MASK.decode()

    def is_masked(value: Any) -> bool:
        return any(isinstance(each, str) and mask in each for each in (value if isinstance(value, list) else [value]))

    return [*asked.masked, *(name for name, value in asked.parameters.items() if is_masked(value))]


def secret_problems(asked: RequestRecord, entry_point: EntryPoint, given: Container[str]) -> Iterator[str]:
    """Name the secrets that the run had and that neither a variable nor ``given`` has now."""
    for name in masked_values(asked):
        if name not in given:
            shown, value = one_line(name), asked.parameters.get(name)
            yield (
                f"the value of `{shown}` held a secret, which is not recorded (it was `{one_line(value)}`): "
                f"give all of it with -P {shown}=VALUE"
            )
    for name, holder in asked.secrets.items():
        if name not in entry_point.parameters and not os.environ.get(holder):
            yield f"the variable {one_line(holder)}, which held a secret, is not set"
    for name, parameter in entry_point.parameters.items():
        if entry_point.dialect == "mlflow" or parameter.value_type.base != "secret" or name in given:
            continue
        variable = parameter.env or asked.secrets.get(name)
        needed = name in asked.secrets or not parameter.value_type.optional
        if needed and not (parameter.env and os.environ.get(parameter.env)):
            how = f"set ${variable}, or give it with" if parameter.env else "give it with"
            yield f"the secret `{one_line(name)}` is not recorded: {how} -P {one_line(name)}=@FILE"


def path_problems(
    record: RunRecord,
    asked: RequestRecord,
    entry_point: EntryPoint,
    origin: Origin,
    folder: Path,
    caveats: list[str],
) -> Iterator[str]:
    """Bring what `path` parameters name in the project into the tree, where it is no part of the source."""
    declared = {each.path for each in record.inputs}
    for name, parameter in entry_point.parameters.items():
        value = asked.parameters.get(name)
        if not value or not is_place(parameter, entry_point) or parameter.type.startswith("uri"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or is_url(item) or item in declared:
                continue
            target = Path(moved_into(item, record, folder))
            if target.exists():
                if not target.is_relative_to(folder):
                    caveats.append(f"no digest is kept of {one_line(item)} (parameter {name}): `inputs` would have one")
                continue
            if target.is_relative_to(folder) and (origin.project / item).exists():
                _copy_input(item, origin.project, folder)
                caveats.append(f"no digest is kept of {one_line(item)} (parameter {name}): `inputs` would have one")
            else:
                yield f"{one_line(item)}, which the parameter {name} names, is not there any more"
