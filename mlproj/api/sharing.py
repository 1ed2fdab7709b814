"""Sharing runs: exported into crates and imported from them, pushed to remotes and pulled from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.api.recorded_files import recorded_inputs, recorded_project
from mlproj.errors import MlprojError
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, files_of
from mlproj.sharing.arriving import Arrived
from mlproj.sharing.contents import Choice, Contents, contents_of
from mlproj.sharing.crate_writing import write_crate
from mlproj.sources import Fetching
from mlproj.text import one_line, plural

if TYPE_CHECKING:
    from mlproj.sharing.pulling import RemoteRun
    from mlproj.sharing.pushing import Pushed
    from mlproj.sharing.remote_search import FoundThere
    from mlproj.sharing.remotes import Remote

Told = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A crate that was written: where, how many files it holds, and what was left out of it."""

    id: str
    path: Path
    files: int
    notices: tuple[str, ...]


@contextmanager
def shared_contents(store: Store, record: RunRecord, choice: Choice, fetching: Fetching) -> Iterator[Contents]:
    """What of a run is shared, for the length of a ``with`` block: its source may be in a tree of its own until then.

    Raises StoreError for damaged files, UsageError for a run that goes on.
    """
    files = files_of(store, record.id)
    choice = replace(choice, secrets=_secrets_here(record))
    with recorded_project(store, record, files, fetching) as recorded:
        inputs, notices = recorded_inputs(record, files, recorded) if choice.inputs else (None, [])
        contents = contents_of(record, files, recorded.project, inputs, choice)
        problem = recorded.problem
        if problem is not None and recorded.project is None:
            problem = f"without its source: {problem}"
        told = (*([problem] if problem else []), *notices, *contents.notices, *_not_looked_for(record))
        yield replace(contents, notices=told)


def _secrets_here(record: RunRecord) -> tuple[str, ...]:
    """The values of the run's secrets in the forms that they turn up in, as far as this process has them."""
    from mlproj.execution.masking import forms_of

    names = record.request.secrets.values() if record.request is not None else ()
    forms = {form for name in names for form in forms_of(os.environ.get(name, ""))}
    return tuple(sorted(form.decode("utf-8", "surrogateescape") for form in forms))


def _not_looked_for(record: RunRecord) -> list[str]:
    """What to say where the values of some of the run's secrets are not known here."""
    secrets = record.request.secrets if record.request is not None else {}
    unknown = {name: variable for name, variable in secrets.items() if not os.environ.get(variable)}
    if not unknown:
        return []
    names, variables = ", ".join(map(one_line, unknown)), ", ".join(f"${one_line(each)}" for each in unknown.values())
    noun = "secret" if len(unknown) == 1 else "secrets"
    return [
        f"its files were not searched for the values of its {noun} {names}, which no variable here has: {variables}"
    ]


def export_run(
    store: Store, record: RunRecord, target: Path, choice: Choice, fetching: Fetching, *, replace: bool = False
) -> Exported:
    """Write a run as a Workflow Run RO-Crate, a zip archive where ``target`` is named so, else a folder.

    Raises UsageError for a target that is there, unless it is to be replaced, and StoreError.
    """
    with shared_contents(store, record, choice, fetching) as contents:
        write_crate(contents, target, replace=replace)
        return Exported(record.id, target, len(contents.files) + 2, contents.notices)


def import_crate(store: Store, path: Path, unpack_limit: int | None = None) -> list[Arrived]:
    """Bring the runs of a crate, a zip archive or a folder, into the store; every digest is checked before.

    Raises UsageError for what is no crate, is damaged, could do harm, or is not the same as a run here; StoreError.
    """
    from mlproj.sharing.importing import import_crate as bring_in

    return bring_in(store, path, unpack_limit)


@dataclass(frozen=True)
class Outcome:
    """What became of one run on its way to or from a remote: a result, or the problem that it met, and what to do."""

    id: str
    result: Pushed | Arrived | None = None
    problem: MlprojError | None = None


def push_runs(
    store: Store, remote: Remote, records: Sequence[RunRecord], told: Told, *, anew: bool
) -> Iterator[Outcome]:
    """Send runs to a remote, one after the other; one that cannot be sent does not keep the next from it.

    A remote that fails is not asked again: the outcomes end with that run's. Raises RemoteError when the remote cannot
    be reached at all.
    """
    from mlproj.sharing.opening import RemoteError, open_storage
    from mlproj.sharing.pushing import Push

    push = Push(open_storage(remote), told, anew=anew)
    for number, record in enumerate(records):
        told(f"{record.id[:12]}: looking through its files")
        try:
            # What is only to be had over a network is left to whoever pulls the run.
            contents = partial(shared_contents, store, record, Choice(), Fetching(offline=True))
            yield Outcome(record.id, push.send(record, contents))
        except RemoteError as error:
            rest = len(records) - number - 1
            untried = f"; {plural(rest, 'run')} after it {'was' if rest == 1 else 'were'} not tried" if rest else ""
            yield Outcome(record.id, problem=RemoteError(f"{error.message}{untried}", hint=error.hint))
            return
        except MlprojError as error:
            yield Outcome(record.id, problem=error)


def pull_runs(store: Store, remote: Remote, names: Sequence[str], told: Told, waiting: Told) -> Iterator[Outcome]:
    """Bring runs of a remote into the store, all of them where none is named.

    One that another process fetches already is waited for, which ``waiting`` is told.

    Raises RunNotFoundError for a name that no run there answers to, RemoteError when the remote cannot be reached.
    """
    from mlproj.sharing.opening import open_storage
    from mlproj.sharing.pulling import find_remote_runs, pull_run

    storage = open_storage(remote)
    for run in find_remote_runs(storage, names):
        told(f"{run.id[:12]}: looking at it")
        try:
            yield Outcome(run.id, pull_run(storage, store, run, told, waiting))
        except MlprojError as error:
            yield Outcome(run.id, problem=error)


def runs_on(remote: Remote) -> list[RemoteRun]:
    """The runs on a remote, newest first. Raises RemoteError."""
    from mlproj.sharing.opening import open_storage
    from mlproj.sharing.pulling import remote_runs

    return remote_runs(open_storage(remote))


def search_on(remote: Remote, filter_text: str = "", order_by: str = "", limit: int | None = None) -> FoundThere:
    """The runs on a remote that a filter means, newest first unless ``order_by`` says otherwise.

    Raises UsageError with the column of what is wrong, RemoteError.
    """
    from mlproj.sharing.opening import open_storage
    from mlproj.sharing.remote_search import check_search, search_remote

    check_search(filter_text, order_by)
    return search_remote(open_storage(remote), filter_text, order_by, limit)
