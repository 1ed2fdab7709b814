"""Outputs whose very names hold a secret: they are not kept, since a record would have to name them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mlproj.execution.masking import mask_text
from mlproj.runs.artifacts import Collected
from mlproj.text import one_line


def without_secret_names(kept: Collected, artifacts: Path, secrets: Sequence[str]) -> Collected:
    """What was kept without the files whose path holds the value of a secret, which are removed. Raises OSError."""
    outputs, notes = [], list(kept.notes)
    for output in kept.outputs:
        files = []
        for file in output.files:
            shown = mask_text(file.path, secrets)
            if shown == file.path:
                files.append(file)
                continue
            notes.append(f"{one_line(shown)} is not kept: its name holds the value of a secret")
            _remove(artifacts / file.path, artifacts)
        outputs.append(replace(output, files=files) if len(files) < len(output.files) else output)
    return replace(kept, outputs=outputs, notes=notes)


def _remove(file: Path, artifacts: Path) -> None:
    """Remove a file, and the folders above it that are empty then: their names may be what holds the secret."""
    file.unlink(missing_ok=True)
    with suppress(OSError):
        for folder in file.parents:
            if folder == artifacts:
                return
            folder.rmdir()
