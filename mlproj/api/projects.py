"""A project's folder for as long as it is looked at: where it lies, or the tree that it is fetched into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlproj.api.checked import manifest_folder
from mlproj.sources import Fetching, Snapshot, is_folder_as_it_is, release_tree, take_snapshot


def release(snapshot: Snapshot) -> None:
    """Clear the tree away that a project was fetched into; one that is run where it lies stays as it is."""
    if snapshot.tree is not None:
        release_tree(snapshot.tree)


def abandon(snapshot: Snapshot) -> None:
    """Clear the tree away whether or not it was to be kept: nothing has run in it."""
    if snapshot.tree is not None:
        release_tree(replace(snapshot.tree, kept=False))


@contextmanager
def project_at(project: str, revision: str | None = None) -> Iterator[Path]:
    """The folder of a project that is named by a folder, a git URL or an archive, for the length of a ``with`` block.

    Raises ``SourceError`` when there is none, or it cannot be fetched.
    """
    fetching = Fetching(revision)
    if is_folder_as_it_is(project, fetching):
        yield manifest_folder(project)
        return
    snapshot = take_snapshot(project, (), fetching)
    try:
        yield snapshot.folder
    finally:
        release(snapshot)
