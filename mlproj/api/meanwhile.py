"""Whether what a run was made of changed while it ran, so that its record says of other files than those it read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproj.api.decisive import BEFORE
from mlproj.api.inputs import inputs_of
from mlproj.api.request import RunRequest
from mlproj.api.resolution import Resolved, made_by_runs
from mlproj.errors import MlprojError
from mlproj.runs.record import STANDARD_INPUT, InputRecord, RunRecord
from mlproj.sources import Snapshot, take_snapshot
from mlproj.sources.digest import stamp_of_folder


@dataclass(frozen=True)
class Meanwhile:
    """Whether anything is another than at the beginning; ``changed`` are the names of what was there already then."""

    same: bool
    changed: tuple[str, ...] = ()


def look_again(
    request: RunRequest, resolved: Resolved, record: RunRecord, decided_by: Mapping[str, str] | None
) -> RunRecord:
    """The record of a run whose command has ended, without a key if anything that decides is another one by now.

    Such a run is of neither what was nor what is: it stands for no other. ``decided_by`` is what else decides now
    (``api.decisive``), ``None`` where that cannot be told.
    """
    meanwhile = _compared(request, resolved, record.inputs)
    if meanwhile.same and _is_alike(record.request.decided_by if record.request else {}, decided_by):
        return record
    return replace(record, source=replace(record.source, changed=list(meanwhile.changed)), result_key=None)


def _is_alike(before: Mapping[str, str], now: Mapping[str, str] | None) -> bool:
    """Whether what else decides is still the same, but for what the run has written itself or read away."""
    if now is None:
        return False
    names = [name for name in {**before, **now} if BEFORE not in name and name != STANDARD_INPUT]
    return all(before.get(name) == now.get(name) for name in names)


def _compared(request: RunRequest, resolved: Resolved, inputs: Sequence[InputRecord]) -> Meanwhile:
    """Compare source and inputs with what they were when the run began. The tree of a fetched project is its own."""
    try:
        now = inputs_of(resolved)
        source = resolved.snapshot if resolved.snapshot.tree is not None else _source_now(request, resolved)
    except (MlprojError, OSError):
        return Meanwhile(False)
    first, second = ({each.path: each.sha256 for each in found} for found in (inputs, now))
    changed = [path for path in first if first[path] != second.get(path)]
    before = resolved.snapshot
    if (before.commit, before.digest) == (source.commit, source.digest):
        return Meanwhile(not changed, tuple(changed))
    files, files_now = _files(before), _files(source)
    changed += [name for name in files if name not in changed and files[name] != files_now.get(name)]
    if before.kind == "git":  # a file that was as committed is in the later patch alone
        changed += [name for name, part in files_now.items() if name not in files and b"\nnew file mode" not in part]
    return Meanwhile(False, tuple(changed))


def _source_now(request: RunRequest, resolved: Resolved) -> Snapshot:
    before, made_here = resolved.snapshot, made_by_runs(request, resolved.entry_point, resolved.loaded.folder)
    if before.stamp is not None and before.stamp == stamp_of_folder(before.folder, made_here):
        return before
    return take_snapshot(request.project, made_here)


def _files(snapshot: Snapshot) -> Mapping[str, Any]:
    """What is known of single files: of a repository those in the patch, of a folder all, if it is small."""
    if snapshot.kind != "git":
        return {each.name: each for each in snapshot.files}
    parts = (b"\n" + snapshot.patch).split(b"\ndiff --git ")[1:]
    return {_name(part.split(b"\n", 1)[0]): part for part in parts}


def _name(header: bytes) -> str:
    """The name in ``a/NAME b/NAME``, as git writes it: both are the same, as renames are not looked for."""
    half = header[: len(header) // 2]
    return Path(os.fsdecode(half.strip(b'"').partition(b"/")[2])).as_posix()
