"""``artifacts/list`` and the artifact proxy, ``mlflow-artifacts/…``: sending, fetching, listing and removing files.

A file is received whole beside the run's artifacts and then moved to its place: a client that dies in the middle of it
leaves nothing there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.runs.identifiers import is_run_id
from mlproj.tracking.gateway import folders
from mlproj.tracking.gateway.call import Answer, Call, CallTable
from mlproj.tracking.gateway.errors import MlflowError, invalid, missing
from mlproj.tracking.gateway.models import model_of
from mlproj.tracking.gateway.session import Session, files, note_artifacts, scratch_name, uploads, writable

CHUNK = 1 << 20
TRACES = "traces"
_MOST_PARTS = 10_000


@dataclass(frozen=True)
class Place:
    """Where an artifact of a run is, or will be: below ``root``, which is the run's own."""

    run_id: str
    root: Path
    parts: Sequence[str]


def place_of(session: Session, path: str) -> Place:
    """The place that a path of the proxy means: ``EXPERIMENT/RUN/artifacts/…``, and the like for models and traces.

    The experiment is of no account: runs are folders of their own. Raises ``MlflowError``.
    """
    parts = folders.parts_of(path)
    if len(parts) >= 3 and parts[2] == "artifacts" and is_run_id(parts[1]):
        return Place(parts[1], files(session, parts[1]).artifacts, parts[3:])
    if len(parts) >= 4 and parts[1] == "models" and parts[3] == "artifacts":
        model = model_of(session, parts[2])
        return Place(model.run_id, files(session, model.run_id).artifacts, [*folders.parts_of(model.path), *parts[4:]])
    if len(parts) >= 4 and parts[1] == "traces" and parts[3] == "artifacts":
        return Place(session.own, files(session, session.own).artifacts, [TRACES, parts[2], *parts[4:]])
    raise missing(f"No such artifact: '{path}'")


def list_of_run(session: Session, call: Call) -> Answer:
    """What is in a folder of a run's artifacts, by paths below them all."""
    path = call.text("path", default="")
    parts = folders.parts_of(path)
    found = entry_messages(folders.listing(files(session, call.run_id).artifacts, parts), "/".join(parts))
    return {"root_uri": f"mlflow-artifacts:/0/{call.run_id}/artifacts", "files": found}


def list_of_proxy(session: Session, call: Call) -> Answer:
    """What is in a folder, by names in it."""
    place = place_of(session, call.text("path", default=""))
    return {"files": entry_messages(folders.listing(place.root, place.parts), "")}


def entry_messages(entries: list[folders.Entry], folder: str) -> list[dict[str, Any]]:
    """Files and folders as the protocol has them, below the path ``folder``."""
    found: list[dict[str, Any]] = []
    for each in entries:
        path = f"{folder}/{each.name}" if folder else each.name
        found.append({"path": path, "is_dir": True} if each.size is None else
                     {"path": path, "is_dir": False, "file_size": each.size})  # fmt: skip
    return found


async def receive(session: Session, path: str, body: AsyncIterator[bytes]) -> None:
    """Take in a file as it comes, in memory that does not grow with it. Raises ``MlflowError``, OSError."""
    place = place_of(session, path)
    scratch = uploads(session, place.run_id) / scratch_name()
    try:
        await _written(scratch, body)
        folders.place(place.root, place.parts, scratch)
    finally:
        scratch.unlink(missing_ok=True)
    note_artifacts(session, place.run_id)


async def _written(path: Path, body: AsyncIterator[bytes]) -> None:
    with path.open("xb") as stream:
        async for chunk in body:
            stream.write(chunk)


def fetch(session: Session, path: str) -> tuple[int, Iterator[bytes]]:
    """The size of a file and its bytes. Raises ``MlflowError`` when there is none."""
    place = place_of(session, path)
    descriptor, size = folders.read(place.root, place.parts)
    return size, _chunks(descriptor, size)


def _chunks(descriptor: int, size: int) -> Iterator[bytes]:
    # No more than was promised, should somebody be writing on.
    with os.fdopen(descriptor, "rb") as stream:
        while size > 0 and (chunk := stream.read(min(CHUNK, size))):
            size -= len(chunk)
            yield chunk


def remove(session: Session, path: str) -> None:
    """Remove a file or folder of a run's artifacts. Raises ``MlflowError``."""
    place = place_of(session, path)
    writable(session, place.run_id)
    folders.remove(place.root, place.parts)
    note_artifacts(session, place.run_id)


def begin_parts(session: Session, path: str, call: Call, base_url: str) -> Answer:
    """Begin to send a large file in parts; each is put to an address of its own."""
    count = call.integer("num_parts")
    if not 1 <= count <= _MOST_PARTS:
        raise invalid(f"num_parts has to be 1 to {_MOST_PARTS}. Got {count}.")
    place = place_of(session, path)
    name = scratch_name()
    (uploads(session, place.run_id) / name).mkdir()
    upload_id = f"{place.run_id}-{name}"
    addresses = [f"{base_url}/parts/{upload_id}/{number}" for number in range(1, count + 1)]
    return {
        "upload_id": upload_id,
        "credentials": [
            {"url": url, "part_number": number, "headers": {}} for number, url in enumerate(addresses, start=1)
        ],
    }


async def receive_part(session: Session, upload_id: str, number: int, body: AsyncIterator[bytes]) -> str:
    """Take in one part; gives its tag. A part that is sent again replaces the first."""
    folder = _parts_folder(session, upload_id)
    if not 1 <= number <= _MOST_PARTS:
        raise invalid(f"Parts are numbered from 1 to {_MOST_PARTS}. Got {number}.")
    scratch = folder / scratch_name()
    try:
        await _written(scratch, body)
        scratch.replace(folder / str(number))
    finally:
        scratch.unlink(missing_ok=True)
    return f"{upload_id}-{number}"


def complete_parts(session: Session, path: str, call: Call) -> None:
    """Put the parts together, in order, at their place."""
    place = place_of(session, path)
    folder = _parts_folder(session, call.text("upload_id"))
    numbers = sorted(each.integer("part_number") for each in call.items("parts"))
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise invalid("The parts have to be numbered from 1 on.")
    if not all((folder / str(number)).is_file() for number in numbers):
        raise invalid("A part has not been sent.")
    whole = folder / str(numbers[0])
    with whole.open("r+b") as target:
        target.seek(0, os.SEEK_END)
        for number in numbers[1:]:
            with (folder / str(number)).open("rb") as part:
                shutil.copyfileobj(part, target, CHUNK)
            (folder / str(number)).unlink()
    folders.place(place.root, place.parts, whole)
    shutil.rmtree(folder, ignore_errors=True)
    note_artifacts(session, place.run_id)


def abort_parts(session: Session, call: Call) -> None:
    """Forget the parts."""
    with suppress(MlflowError):
        shutil.rmtree(_parts_folder(session, call.text("upload_id")), ignore_errors=True)


def _parts_folder(session: Session, upload_id: str) -> Path:
    run_id, _, name = upload_id.partition("-")
    if not is_run_id(run_id) or not name.isalnum():
        raise missing(f"No such upload: {upload_id!r}")
    folder = uploads(session, run_id) / name
    if not folder.is_dir():
        raise missing(f"No such upload: {upload_id!r}")
    return folder


CALLS: CallTable = {("GET", "artifacts/list"): list_of_run}
