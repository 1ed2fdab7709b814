"""How a run begins: what is known of its commit, whether a finished one stands for it, its first record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mlproj.api import recording
from mlproj.api.request import Listener, RunRequest
from mlproj.api.resolution import Resolved
from mlproj.api.stores import RUN_ID_VARIABLE, open_settled_store
from mlproj.execution.masking import forms_of
from mlproj.files import write_atomically
from mlproj.locations import store_folder
from mlproj.private_keys import BEGINNING, begins_private_key
from mlproj.runs.layout import RunFiles
from mlproj.runs.record import RunRecord
from mlproj.runs.store import LiveRun, begin, new_run_id
from mlproj.secret_names import looks_secret
from mlproj.sources.digest import SourceFile, write_source_files
from mlproj.sources.git.working_tree import CommitFacts, commit_facts
from mlproj.text import one_line


@dataclass(frozen=True)
class KeptSource:
    """What is kept of a run's source, in the run's folder: the patch of a dirty tree, or a folder's files."""

    patch: bytes = field(default=b"", repr=False)
    files: tuple[SourceFile, ...] = field(default=(), repr=False)


def begin_run(
    request: RunRequest, resolved: Resolved, facts: CommitFacts, listener: Listener
) -> tuple[LiveRun, RunRecord, KeptSource]:
    """Put a new run into the store: it, its first record, and what of its source is to be kept with it.

    What holds a secret is not kept. Raises StoreError.
    """
    store = open_settled_store(request.store or store_folder(), listener.notice)
    parent = os.environ.get(RUN_ID_VARIABLE) or None
    record = recording.first_record(new_run_id(store), request, resolved, parent, facts)
    kept = KeptSource(resolved.snapshot.patch, resolved.snapshot.files)
    if notice := _holds_secret(kept, resolved.secrets):
        source = replace(record.source, patch=None, kept=False, notes=[*record.source.notes, notice])
        record, kept = replace(record, source=source), KeptSource()
        listener.notice(notice)
    elif note := _looks_secret(kept.files):
        # Recorded alone: told at every run, nobody would read it.
        source = replace(record.source, kept=False, notes=[*record.source.notes, note])
        record, kept = replace(record, source=source), replace(kept, files=())
    return begin(store, record), record, kept


def _holds_secret(kept: KeptSource, secrets: Sequence[str]) -> str | None:
    """Why none of it is to be kept, where a secret's value is in it."""
    forms = [form for secret in secrets for form in forms_of(secret)]
    if any(form in kept.patch for form in forms):
        return "the patch of the changes is not kept: it holds the value of a secret"
    for name, _, content in kept.files:
        if any(form in content for form in forms):
            return f"the project's files are not kept with the run: {one_line(name)} holds the value of a secret"
    return None


def _looks_secret(files: Sequence[SourceFile]) -> str | None:
    """Why a folder's files are not to be kept, where one of them is called as files with secrets are, or is a key."""
    for name, _, content in files:
        if looks_secret(name) or begins_private_key(content[:BEGINNING], name):
            ways = "unless .mlprojignore names it, they are not kept with the run"
            return f"{one_line(name)} is among the project's files, as files with secrets are called: {ways}"
    return None


def keep_source(kept: KeptSource, files: RunFiles) -> None:
    """Write what is kept of a source into the run's folder. Raises OSError."""
    if kept.patch:
        write_atomically(files.patch, kept.patch)
    if kept.files:
        write_source_files(kept.files, files.source)


def reused(request: RunRequest, resolved: Resolved, facts: CommitFacts, listener: Listener) -> RunRecord | None:
    """The finished run that stands for the one asked for, if there is one; else why there is none is told."""
    from mlproj.api.reuse import find_reusable

    found = find_reusable(request, resolved, facts, listener)
    if found.record is None:
        listener.notice(f"not reused: {found.reason}")
    else:
        listener.notice(f"run {found.record.id[:12]} of {found.record.started_at[:16]} stands for this one")
        labels = {"--name": request.name, "--tag": request.tags, "--experiment": request.experiment}
        if given := [option for option, value in labels.items() if value]:
            verb = "does" if len(given) == 1 else "do"
            listener.notice(f"{', '.join(given)} {verb} not apply: that run is as it was recorded")
        listener.reused(found.record.id)
    return found.record


def facts_of(resolved: Resolved) -> CommitFacts:
    """What is known of the source's commit; nothing where it has none."""
    return commit_facts(resolved.snapshot.folder) if resolved.snapshot.commit is not None else CommitFacts()
