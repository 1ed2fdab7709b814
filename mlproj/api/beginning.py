"""How a run begins: what is known of its commit, whether a finished one stands for it, its first record."""

from __future__ import annotations

import os
from dataclasses import replace

from mlproj.api import recording
from mlproj.api.request import Listener, RunRequest
from mlproj.api.resolution import Resolved
from mlproj.api.stores import RUN_ID_VARIABLE, open_settled_store
from mlproj.execution.masking import forms_of
from mlproj.locations import store_folder
from mlproj.runs.record import RunRecord
from mlproj.runs.store import LiveRun, begin, new_run_id
from mlproj.sources.git.working_tree import CommitFacts, commit_facts


def begin_run(
    request: RunRequest, resolved: Resolved, facts: CommitFacts, listener: Listener
) -> tuple[LiveRun, RunRecord, bytes]:
    """Put a new run into the store: it, its first record, and the patch that is to be kept with it.

    A patch that holds a secret is not kept. Raises StoreError.
    """
    store = open_settled_store(request.store or store_folder(), listener.notice)
    parent = os.environ.get(RUN_ID_VARIABLE) or None
    record = recording.first_record(new_run_id(store), request, resolved, parent, facts)
    patch = resolved.snapshot.patch
    if patch and any(form in patch for secret in resolved.secrets for form in forms_of(secret)):
        notice = "the patch of the changes is not kept: it holds the value of a secret"
        source = replace(record.source, patch=None, notes=[*record.source.notes, notice])
        record, patch = replace(record, source=source), b""
        listener.notice(notice)
    return begin(store, record), record, patch


def reused(request: RunRequest, resolved: Resolved, facts: CommitFacts, listener: Listener) -> RunRecord | None:
    """The finished run that stands for the one asked for, if there is one; else why there is none is told."""
    from mlproj.api.reuse import find_reusable

    found = find_reusable(request, resolved, facts, listener)
    if found.record is None:
        listener.notice(f"not reused: {found.reason}")
    else:
        listener.notice(f"run {found.record.id[:12]} of {found.record.started_at[:16]} stands for this one")
    return found.record


def facts_of(resolved: Resolved) -> CommitFacts:
    """What is known of the source's commit; nothing where it has none."""
    return commit_facts(resolved.snapshot.folder) if resolved.snapshot.commit is not None else CommitFacts()
