"""Stored runs as the Python API and the command line hand them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.api.stores import open_settled_store
from mlproj.errors import UsageError
from mlproj.locations import store_folder
from mlproj.runs.record import OutputRecord, RunRecord, to_json
from mlproj.runs.store import files_of
from mlproj.text import one_line


@dataclass(frozen=True)
class Run:
    """A stored run: its record, and the files it left."""

    record: RunRecord
    store: Path

    @property
    def id(self) -> str:
        """32 hexadecimal characters."""
        return self.record.id

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``killed`` or ``lost``."""
        return self.record.status

    @property
    def exit_status(self) -> int | None:
        """The command's exit status, ``None`` while it runs."""
        return self.record.exit_status

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters: name to typed value."""
        return self.record.parameters

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics: name to last value."""
        return self.record.metrics

    @property
    def folder(self) -> Path:
        """The run's own folder in the store."""
        return files_of(open_settled_store(self.store, lambda _: None), self.id).folder

    def artifact(self, name: str) -> Path:
        """The file or folder that an output (by its name), or a path below the artifacts, was kept as.

        Raises ``UsageError`` when the run has none.
        """
        folder = self.folder / "artifacts"
        return folder / artifact_path(self.record, name)

    def log(self) -> str:
        """What the command wrote, secrets masked; empty when it did not write anything."""
        path = self.folder / "output.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def to_json(self) -> dict[str, Any]:
        """The whole record, as ``run.json`` holds it."""
        return to_json(self.record)


def artifact_path(record: RunRecord, name: str) -> str:
    """The path below a run's artifacts folder of an output's name, of a kept file, or of a folder with kept files.

    Raises ``UsageError``, listing what there is.
    """
    wanted = name.rstrip("/")
    for output in record.outputs:
        if output.name == wanted and output.files:
            return _place(output)
    for output in record.outputs:
        for each in output.files:
            if each.path == wanted or each.path.startswith(wanted + "/"):
                return wanted
    known = ", ".join(f"`{one_line(each.name or each.path)}`" for each in record.outputs) or "none"
    raise UsageError(f"run {record.id[:12]} has no artifact `{one_line(name)}`; there are {known}")


def _place(output: OutputRecord) -> str:
    """Where an output is: the file or folder declared, or the folder in which a pattern found its files."""
    fixed: list[str] = []
    for part in output.path.strip("/").split("/"):
        if any(wildcard in part for wildcard in "*?["):
            return "/".join(fixed)
        fixed.append(part)
    return "/".join(fixed)


def stored_runs(filter_text: str = "", order_by: str = "", limit: int | None = None) -> list[Run]:
    """The runs that a filter means, newest first unless ``order_by`` says otherwise.

    Raises ``UsageError`` for a filter that cannot be read, ``StoreError``.
    """
    from mlproj.runs.query import search

    folder = store_folder()
    found = search(open_settled_store(folder, lambda _: None), filter_text, order_by, limit)
    return [Run(record, folder) for record in found.records]


def stored_run(name: str) -> Run:
    """The one run that ``name`` means: a prefix of its id, its name, ``@last``, ``@best:metric``.

    Raises ``RunNotFoundError``, ``StoreError``.
    """
    from mlproj.runs.find import find

    folder = store_folder()
    return Run(find(open_settled_store(folder, lambda _: None), name), folder)
