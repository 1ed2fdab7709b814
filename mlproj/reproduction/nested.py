"""The runs that were begun within two runs, each with the one that it is to be the same as."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlproj.reproduction.differences import Difference
from mlproj.runs.query import children_of
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store
from mlproj.text import one_line


@dataclass
class NestedRuns:
    """Pairs of nested runs with what they are called, a difference in their number, and what cannot be compared."""

    pairs: list[tuple[str, RunRecord, RunRecord]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)


def nested_runs(store: Store, recorded: RunRecord, again: RunRecord) -> NestedRuns:
    """Pair the runs within two runs, those within these too: by their names, and the rest in the order of their begin.

    Raises StoreError.
    """
    found = NestedRuns()
    waiting, seen = [("nested run ", recorded, again)], set[str]()
    while waiting:
        label, one, other = waiting.pop(0)
        seen.add(one.id)
        both = [children_of(store, each.id) for each in (one, other)]
        counts = [len(children) for children in both]
        if counts[0] != counts[1] and recorded.imported is not None:
            found.not_compared.append(f"{label.removesuffix(' ')}s (not all of them came with the imported run)")
            continue
        if counts[0] != counts[1]:
            what = f"{label.removesuffix(' ')}s"
            found.differences.append(Difference(what, f"{counts[0]} → {counts[1]}", counts[0], counts[1]))
        for number, (first, second) in enumerate(_paired(both[0], both[1]), start=1):
            named = f"{label}{one_line(first.name) or number}"
            if first.id not in seen:
                found.pairs.append((named, first, second))
                waiting.append((f"{named} / ", first, second))
    return found


def _paired(recorded: Sequence[RunRecord], again: Sequence[RunRecord]) -> Iterator[tuple[RunRecord, RunRecord]]:
    of_name = defaultdict[str, list[RunRecord]](list)
    for each in again:
        of_name[each.name].append(each)
    partners = {each.id: of_name[each.name].pop(0) for each in recorded if of_name[each.name]}
    taken = {each.id for each in partners.values()}
    rest = iter([each for each in again if each.id not in taken])
    for each in recorded:
        if (partner := partners.get(each.id) or next(rest, None)) is not None:
            yield each, partner
