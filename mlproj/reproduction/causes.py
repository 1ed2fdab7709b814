"""Why two runs differ: what went into them, in the order in which it is likely to be the cause."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.files import finite
from mlproj.runs.record import RunRecord
from mlproj.sources.digest import read_folder
from mlproj.text import one_line

_MOST_LISTED = 5
_ABSENT = "unset"


@dataclass(frozen=True)
class Cause:
    """Something that went into two runs and was not the same: ``of`` says what, ``told`` how it differs."""

    of: str
    told: str

    def __str__(self) -> str:
        return f"{self.of}: {self.told}"


def causes(one: RunRecord, other: RunRecord, kept: tuple[Path, Path] | None = None) -> list[Cause]:
    """What differs in what went into two runs: source, command, parameters, environment, inputs, machine, in order.

    ``kept`` are the folders that the source of each is kept in, if it is: files that differ are named.
    """
    source = [*_source(one, other)]
    if kept is not None and one.source.kept and other.source.kept and one.source.digest != other.source.digest:
        source += _source_files(*kept)
    return [*source, *(cause for find in _FINDERS for cause in find(one, other))]


def _source(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    first, second = one.source, other.source
    if first.commit != second.commit:
        yield Cause("source", f"commit {_short(first.commit)} → {_short(second.commit)}")
    if (first.patch_sha256 or "") != (second.patch_sha256 or ""):
        told = {(True, False): "was dirty, is clean", (False, True): "was clean, is dirty"}
        pair = (first.patch_sha256 is not None, second.patch_sha256 is not None)
        yield Cause("source", f"the changes since the commit ({told.get(pair, 'other ones')})")
    elif first.commit is None and second.commit is None and first.digest != second.digest:
        yield Cause("source", f"content {_short(first.digest)} → {_short(second.digest)}")
    if first.left_out or second.left_out:
        names = ", ".join(
            one_line(each) for each in list(dict.fromkeys([*first.left_out, *second.left_out]))[:_MOST_LISTED]
        )
        yield Cause("source", f"changes of which no digest is kept: {names}")


def _source_files(first: Path, second: Path) -> Iterator[Cause]:
    try:
        before, after = ({each.name: each for each in read_folder(folder).files} for folder in (first, second))
    except OSError:
        return
    names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
    told = [
        f"{one_line(name)} {'added' if name not in before else 'removed' if name not in after else 'changed'}"
        for name in names[:_MOST_LISTED]
    ]
    more = [f"and {len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
    if told:
        yield Cause("source", ", ".join([*told, *more]))


def _command(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    if one.entry_point != other.entry_point:
        yield Cause("entry point", f"{one_line(one.entry_point)} → {one_line(other.entry_point)}")
    first, second = (record.request.arguments if record.request else [] for record in (one, other))
    if first != second:
        yield Cause("arguments", f"{one_line(shlex.join(first)) or 'none'} → {one_line(shlex.join(second)) or 'none'}")


def _parameters(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    first, second = (record.request.parameters if record.request else record.parameters for record in (one, other))
    yield from (Cause("parameters", told) for told in _changed(first, second))


def _environment(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    first, second = one.environment, other.environment
    for what in ("kind", "platform", "python", "image"):
        before, after = getattr(first, what), getattr(second, what)
        if before != after and (what != "image" or first.kind == second.kind):
            yield Cause("environment", f"{what} {one_line(before or 'none')} → {one_line(after or 'none')}")
    packages = list(_changed(first.packages, second.packages, "not installed"))
    yield from (Cause("packages", told) for told in packages)
    if first.lock_sha256 != second.lock_sha256 and not packages:
        yield Cause("environment", "another lock, of the same packages")


def _variables(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    yield from (Cause("variables", told) for told in _changed(one.variables, other.variables, _ABSENT))


def _inputs(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    first, second = ({each.path: each.sha256 for each in record.inputs} for record in (one, other))
    for path in {**first, **second}:
        if first.get(path) != second.get(path):
            told = "other content" if path in first and path in second else "not an input of both"
            yield Cause("inputs", f"{one_line(path)}: {told}")


def _else(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    first, second = (record.request.decided_by if record.request else {} for record in (one, other))
    for name in {**first, **second} if first and second else ():
        if first.get(name) != second.get(name) and name not in one.variables:
            told = "not there before" if name not in first else "not there" if name not in second else "another one"
            yield Cause(one_line(name), told)


def _machine(one: RunRecord, other: RunRecord) -> Iterator[Cause]:
    first, second = one.machine, other.machine
    for what, name in (("cpu", "CPU"), ("cpu_count", "CPUs"), ("gpu_driver", "GPU driver")):
        before, after = getattr(first, what), getattr(second, what)
        if before != after:
            yield Cause("machine", f"{name} {one_line(before or 'none')} → {one_line(after or 'none')}")
    if first.gpus != second.gpus:
        before, after = (", ".join(each.gpus) or "none" for each in (first, second))
        yield Cause("machine", f"GPUs {one_line(before)} → {one_line(after)}")
    systems = [_system(record.platform or "") for record in (one, other)]
    if systems[0] != systems[1]:
        yield Cause("machine", f"{systems[0]} → {systems[1]}")


def _system(platform: str) -> str:
    """Operating system and architecture, without the kernel's release: programs run on each alike."""
    words = platform.split()
    return one_line(f"{words[0]} {words[-1]}") if words else "unknown"


_FINDERS: tuple[Callable[[RunRecord, RunRecord], Iterator[Cause]], ...] = (
    _command,
    _parameters,
    _environment,
    _inputs,
    _else,
    _variables,
    _machine,
)


def _changed(first: Mapping[str, Any], second: Mapping[str, Any], absent: str = "not given") -> Iterator[str]:
    names = [name for name in {**first, **second} if _differs(first.get(name), second.get(name), name, first, second)]
    for name in names[:_MOST_LISTED]:
        before, after = (_shown(each[name]) if name in each else absent for each in (first, second))
        yield f"{one_line(name)} {before} → {after}"
    if len(names) > _MOST_LISTED:
        yield f"and {len(names) - _MOST_LISTED} more"


def _differs(one: Any, other: Any, name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    if (name in first) != (name in second) or isinstance(one, bool) != isinstance(other, bool):
        return True
    # As records have them: NaN is `nan`, and so the same as another. 0 and -0 are equal to Python, not to a command.
    one, other = finite(one), finite(other)
    return bool(one != other) or (one == 0 and str(one) != str(other) and isinstance(one, float))


def _shown(value: Any) -> str:
    text = one_line("null" if value is None else value)
    return text if len(text) <= 60 else text[:59] + "…"


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
