"""The likely reason for a difference: a cause that is recorded, a time or folder in an output, an end, or chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlproj.reproduction.causes import causes
from mlproj.reproduction.likeness import FileOfRun, same_but_for_folders, same_but_for_times, without_folder
from mlproj.reproduction.verdict import Verdict
from mlproj.runs.record import OF_CALLER, FileRecord, RunRecord
from mlproj.runs.store import Store, files_of
from mlproj.text import one_line

ASK_FOR_REPEAT = "; `--repeat` tells it from a machine that differs"
_BY_CHANCE = (
    "nothing that is recorded differs: randomness without a seed, or work whose order changes from run to run "
    f"(threads, GPU kernels){ASK_FOR_REPEAT}"
)


def likely_reasons(store: Store, verdict: Verdict, recorded: RunRecord, again: RunRecord) -> list[str]:
    """Why a verdict is not ``identical``, the likeliest first. Raises StoreError."""
    if not verdict.differences:
        return []
    kept = (files_of(store, recorded.id).source, files_of(store, again.id).source)
    known = [*_endings(recorded, again), *(str(cause) for cause in causes(recorded, again, kept))]
    if recorded.source.changed:
        known.insert(0, f"its files changed while the recorded run ran: {_listed(recorded.source.changed)}")
    dated = sorted(_alike(store, recorded, again, same_but_for_times))
    placed = sorted({*_alike(store, recorded, again, same_but_for_folders)}.difference(dated))
    found = [f"timestamps in the output: {_listed(dated)}"] if dated else []
    if placed:
        found.append(f"the folder that it ran in, which is another one each time, is in the output: {_listed(placed)}")
    unexplained = [each for each in verdict.differences if not any(path in each.what for path in (*dated, *placed))]
    if unexplained and not known:
        known = [_unrecorded(recorded, again)]
    found += known
    if recorded.request is not None and (taken := recorded.request.decided_by.get(OF_CALLER)):
        found.append(f"variables of the caller's, whose values no record holds, may be others: {one_line(taken)}")
    if recorded.request is not None and recorded.request.secrets:
        names = ", ".join(one_line(each) for each in recorded.request.secrets)
        found.append(f"a secret, whose value no record holds, may be another one: {names}")
    return found


def _unrecorded(recorded: RunRecord, again: RunRecord) -> str:
    """What there is to say where nothing that is recorded differs."""
    if (recorded.status, recorded.exit_status) != (again.status, again.exit_status):
        return (
            "it ended in another way, and nothing that is recorded differs: something that no record holds (a file "
            "that is neither source nor declared under `inputs`, room on the disk, a service); "
            f"`mlproj logs {again.id[:12]}` may tell"
        )
    first, second = (" ".join(record.command.argv).encode("utf-8", "replace") for record in (recorded, again))
    if first != second and without_folder(first, recorded) == without_folder(second, again):
        return "its command names the folder that it ran in, which is another one each time: a `path` that is absolute"
    return _BY_CHANCE


def _listed(paths: list[str]) -> str:
    return ", ".join(one_line(each) for each in paths[:3]) + (", …" if len(paths) > 3 else "")


def _endings(recorded: RunRecord, again: RunRecord) -> Iterator[str]:
    if again.status != recorded.status and again.error:
        yield f"the new run did not come to its end: {again.error}"
    if recorded.status == "lost":
        yield "the recorded run did not come to its end: its mlproj died without a word"
    elif again.status != recorded.status and recorded.error:
        yield f"the recorded run did not come to its end: {recorded.error}"


def _alike(
    store: Store, recorded: RunRecord, again: RunRecord, are_alike: Callable[[FileOfRun, FileOfRun], bool]
) -> Iterator[str]:
    """The outputs that are not the same, and would be but for what does not count to ``are_alike``."""
    folders = [files_of(store, record.id).artifacts for record in (recorded, again)]
    first, second = (_files(record) for record in (recorded, again))
    for path in first.keys() & second.keys():
        if first[path].sha256 == second[path].sha256:
            continue
        one, other = FileOfRun(folders[0] / path, recorded), FileOfRun(folders[1] / path, again)
        if one.path.is_file() and other.path.is_file() and are_alike(one, other):
            yield path


def _files(record: RunRecord) -> dict[str, FileRecord]:
    return {file.path: file for output in record.outputs for file in output.files}
