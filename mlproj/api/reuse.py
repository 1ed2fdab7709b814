"""``--reuse``: a finished run that stands for the one asked for, its outputs put back where they were."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj import environments
from mlproj.api import recording
from mlproj.api.decisive import decisive, undecided, with_decisive
from mlproj.api.hermetic import Seal, hermetic_variables
from mlproj.api.inputs import inputs_of, without_digest
from mlproj.api.put_back import another_below, declared_files, is_there, put_back
from mlproj.api.request import Listener, RunRequest
from mlproj.api.resolution import Resolved
from mlproj.api.stores import open_settled_store
from mlproj.api.variables import command_variables, deciding, with_defaults
from mlproj.locations import store_folder
from mlproj.reproduction.causes import causes
from mlproj.runs.record import RunRecord
from mlproj.runs.result_key import newest_finished, result_key, runs_of_result
from mlproj.runs.store import Store, files_of, load
from mlproj.sources.git.working_tree import CommitFacts
from mlproj.text import one_line


@dataclass(frozen=True)
class Reuse:
    """What was found: the run that stands for the one asked for, or the reason why none does."""

    record: RunRecord | None
    reason: str | None = None


def find_reusable(request: RunRequest, resolved: Resolved, facts: CommitFacts, listener: Listener) -> Reuse:
    """The newest finished run of the same result key whose outputs are still whole.

    Its outputs are put back into the project. The environment is prepared for that: its key is a part of the run's.

    Raises as preparing an environment does, and ``MlprojError`` for an output that cannot be put back.
    """
    store = open_settled_store(request.store or store_folder(), listener.notice)
    draft, reason = _draft(request, resolved, facts, listener)
    if reason is not None:
        return Reuse(None, reason)
    if unknown := without_digest(resolved, draft.inputs):
        return Reuse(None, f"no digest is kept of {one_line(unknown[0])}, which a parameter names: `inputs` would")
    if draft.request is not None and (draft.request.secrets or draft.request.masked):
        return Reuse(None, "it has secrets, whose values no record holds")
    key = result_key(draft)
    if key is None:
        return Reuse(None, "not all that decides its result has a digest")
    for run_id in runs_of_result(store, key):
        record = load(store, run_id)
        if record.imported is not None or record.reproduction is not None:
            # What somebody else says that it was made of is checked by nothing; and a reproduction may have differed.
            continue
        if (damaged := _damaged(store, record)) is not None:
            listener.notice(f"run {record.id[:12]} is not reused: its output {one_line(damaged)} is not whole")
            continue
        if (other := another_below(record, resolved.loaded.folder)) is not None:
            listener.notice(f"run {record.id[:12]} is not reused: it found another {one_line(other)}")
            continue
        if others := put_back(store, record, resolved):
            listener.notice(f"left as they are, though run {record.id[:12]} has none of them: {others}")
        return Reuse(record)
    newest = newest_finished(store, draft.project, draft.entry_point)
    if newest is None:
        return Reuse(None, "there is no finished run of it yet")
    record = load(store, newest)
    found = causes(record, draft)
    if not found and record.result_key is None:
        return Reuse(None, f"run {newest[:12]} stands for no other: something changed while it ran, or is not recorded")
    told = f": {found[0]}" + (f", and {len(found) - 1} more" if len(found) > 1 else "") if found else ""
    return Reuse(None, f"run {newest[:12]} is of another source, environment or values{told}")


def _draft(
    request: RunRequest, resolved: Resolved, facts: CommitFacts, listener: Listener
) -> tuple[RunRecord, str | None]:
    """The record that the run would have when its command starts, and why no run can stand for it, if none can."""
    record = recording.first_record("0" * 32, request, resolved, None, facts)
    environment = environments.prepare(
        resolved.environment, resolved.environment_name, resolved.loaded.folder, resolved.policy, listener.progress
    )
    try:
        inputs = inputs_of(resolved)
        caller: Mapping[str, str] = {} if environment.container is not None else os.environ
        if resolved.hermetic and caller:
            caller = hermetic_variables(caller, resolved, Seal(Path(), None, ExitStack()))
        variables = with_defaults(command_variables(caller, environment, resolved), facts.committed_at)
        found = decisive(resolved, environment, caller)
        reason = next(undecided(resolved, environment, found), None)
        record = with_decisive(record, found)
    finally:
        if environment.held is not None:
            environment.held.release()
    record = replace(recording.with_environment(record, environment), inputs=inputs)
    return recording.masked(replace(record, variables=deciding(variables, resolved)), resolved.secrets), reason


def _damaged(store: Store, record: RunRecord) -> str | None:
    folder = files_of(store, record.id).artifacts
    return next((each.path for each in declared_files(record) if not is_there(folder / each.path, each.sha256)), None)
