"""Where in the store the files of a run are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NEW_PREFIX = ".new-"
# Of what is unpacked for an import: nobody goes on with it, and who makes one looks whether its lock is still there.
CRATE_PREFIX = f"{NEW_PREFIX}crate-"


@dataclass(frozen=True)
class RunFiles:
    """The folder of one run, and what is in it."""

    folder: Path

    @property
    def record(self) -> Path:
        """The whole record, ``run.json``."""
        return self.folder / "run.json"

    @property
    def log(self) -> Path:
        """What the command wrote to stdout and stderr, secrets masked."""
        return self.folder / "output.log"

    @property
    def metrics(self) -> Path:
        """The metrics as JSON lines, which ``$MLPROJ_METRICS`` names."""
        return self.folder / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """What its processes took over time, as JSON lines."""
        return self.folder / "resources.jsonl"

    @property
    def artifacts(self) -> Path:
        """The kept outputs."""
        return self.folder / "artifacts"

    @property
    def uploads(self) -> Path:
        """Artifacts of which not all has come yet."""
        return self.folder / "uploads"

    @property
    def models(self) -> Path:
        """What MLflow clients said of the models they logged."""
        return self.folder / "models"

    @property
    def tracking(self) -> Path:
        """What a tracking server has of the run, a file for each server."""
        return self.folder / "tracking"

    @property
    def patch(self) -> Path:
        """The changes since the commit."""
        return self.folder / "source.patch"

    @property
    def source(self) -> Path:
        """The project's files: of a folder in no repository, and of a run that they came with from elsewhere."""
        return self.folder / "source"

    @property
    def inputs(self) -> Path:
        """Of a run that was recorded elsewhere: declared inputs that are no part of the source, by their paths."""
        return self.folder / "inputs"

    @property
    def alive_lock(self) -> Path:
        """Locked for as long as the run's runner lives."""
        return self.folder / "alive.lock"

    @property
    def change_lock(self) -> Path:
        """Locked while ``run.json`` is read, changed and written back."""
        return self.folder / "change.lock"

    @property
    def reserve(self) -> Path:
        """Space kept back for the final record, should the disk be full by then."""
        return self.folder / "reserve"


def live_files(store_folder: Path, run_id: str) -> RunFiles:
    """The files of a run that is not in the trash."""
    return RunFiles(store_folder / "runs" / run_id)


def new_files(store_folder: Path, run_id: str) -> RunFiles:
    """The files of a run that is being made and that nobody else sees yet."""
    return RunFiles(store_folder / "runs" / f"{NEW_PREFIX}{run_id}")


def trashed_files(store_folder: Path, run_id: str) -> RunFiles:
    """The files of a run in the trash."""
    return RunFiles(store_folder / "trash" / run_id)
