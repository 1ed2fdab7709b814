"""What a run reads, with its digests: the inputs that are declared, and the files that its `path` parameters name."""

from __future__ import annotations

from pathlib import Path

from mlproj.api.resolution import Resolved
from mlproj.errors import MlprojError
from mlproj.locations import cache_folder
from mlproj.runs.inputs import hash_inputs
from mlproj.runs.record import InputRecord

# A larger file is read at every run only if it is declared.
_LARGEST_NAMED = 1 << 30


def inputs_of(resolved: Resolved) -> list[InputRecord]:
    """The inputs of a run that is about to begin.

    Raises ``MlprojError`` for a declared one that is not there or cannot be read.
    """
    declared, folder = resolved.entry_point.inputs, resolved.loaded.folder
    hashed = hash_inputs(declared, folder, cache_folder())
    if hashed.problems:
        raise MlprojError("\n".join(hashed.problems), hint="Nothing was run: every declared input must be there.")
    found = {each.path: each for each in hashed.inputs}
    for shown, place in resolved.files_named.items():
        path = Path(place)
        if shown in found or not path.is_file() or path.stat().st_size > _LARGEST_NAMED:
            continue
        for each in hash_inputs([place], folder, cache_folder()).inputs:
            found[shown] = InputRecord(shown, each.size, each.sha256)
    return list(found.values())


def without_digest(resolved: Resolved, inputs: list[InputRecord]) -> list[str]:
    """What `path` parameters name and no digest is kept of: folders, and files that are very large."""
    known = {each.path for each in inputs}
    return [shown for shown in resolved.files_named if shown not in known]
