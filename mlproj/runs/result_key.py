"""The key of a run's result: a digest of all that decides it, so that a run can stand for another of the same key."""

from __future__ import annotations

import hashlib
import json

from mlproj.runs.database import explained
from mlproj.runs.record import STANDARD_INPUT, RunRecord
from mlproj.runs.store import Store

_VERSION = 2


def result_key(record: RunRecord) -> str | None:
    """The key of a run whose environment and inputs are known; ``None`` where not all that decides is recorded.

    Of a commit the tree decides, not its message or its place in the history.
    """
    source, environment, asked = record.source, record.environment, record.request
    if asked is None or environment.key is None or source.left_out:
        return None
    if asked.secrets or asked.masked or STANDARD_INPUT in asked.decided_by:
        return None  # of a secret's value, which may decide as well, no record holds anything
    if source.kind == "git" and source.dirty and source.patch_sha256 is None:
        return None  # the patch was too large, or held a secret
    content = source.tree or source.commit or source.digest
    if content is None:
        return None
    # Of a commit it is the commit's time unless somebody says otherwise: a part of the history, not of the content.
    variables = {name: value for name, value in record.variables.items() if name != "SOURCE_DATE_EPOCH"}
    decisive = [
        _VERSION,
        [content, source.subdirectory, source.patch_sha256],
        [record.entry_point, asked.parameters, asked.secrets, asked.arguments, asked.docker_arguments, asked.hermetic],
        [environment.kind, environment.key, environment.lock_sha256],
        variables,
        asked.decided_by,
        [[each.path, each.sha256] for each in record.inputs],
    ]
    text = json.dumps(decisive, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def runs_of_result(store: Store, key: str) -> list[str]:
    """The ids of the finished runs of a key, newest first. Raises StoreError."""
    with explained(store.folder):
        rows = store.connection.execute(
            "SELECT id FROM runs WHERE result_key = ? AND status = 'finished' AND deleted_at IS NULL ORDER BY id DESC",
            (key,),
        )
        return [str(row[0]) for row in rows]


def newest_finished(store: Store, project: str, entry_point: str) -> str | None:
    """The id of the newest finished run of an entry point. Raises StoreError."""
    with explained(store.folder):
        row = store.connection.execute(
            "SELECT max(id) FROM runs WHERE project = ? AND entry_point = ? AND status = 'finished' "
            "AND deleted_at IS NULL",
            (project, entry_point),
        ).fetchone()
        return None if row[0] is None else str(row[0])
