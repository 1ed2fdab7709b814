"""Having a recorded run again and judging whether it was the same: what ``mlproj reproduce`` and ``verify`` do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlproj.api.recreation import NotReproducibleError, Options, recreate_run
from mlproj.api.request import Listener
from mlproj.api.run import execute
from mlproj.errors import MlprojError
from mlproj.execution.supervise import Standby, stand_down
from mlproj.reproduction.reasons import likely_reasons
from mlproj.reproduction.verdict import Verdict, judge, to_json
from mlproj.runs.changes import change_record
from mlproj.runs.record import ReproductionRecord, RunRecord
from mlproj.runs.store import Store

_MOST_KEPT = 20


@dataclass(frozen=True)
class Reproduction:
    """One attempt: the new run, the verdict on the two, the likely reasons for what differs, and what to know of it."""

    run: RunRecord
    verdict: Verdict
    reasons: tuple[str, ...]
    caveats: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The attempt as ``--json`` shows it."""
        told = to_json(self.verdict)
        return {**told, "run": self.run.id, "reasons": list(self.reasons), "caveats": list(self.caveats)}


def reproduce(
    store: Store, record: RunRecord, options: Options, listener: Listener, stand_by: Callable[[], Standby]
) -> Reproduction:
    """Run a recorded run again as a new run, and compare the two.

    Raises ``NotReproducibleError`` when something that it was made of is missing here; nothing has run then.
    """
    standby = stand_by()
    try:
        recreation = recreate_run(store, record, options, listener)
    except BaseException:
        stand_down(standby)
        raise
    for caveat in recreation.caveats:
        listener.notice(caveat)
    try:
        again = execute(recreation.request, listener, standby)
    except NotReproducibleError:
        raise
    except MlprojError as error:
        raise NotReproducibleError(record.id, [error.message], hint=error.hint) from None
    verdict = judge(store, record, again, recreation.rules)
    reasons = likely_reasons(store, verdict, record, again) if verdict.name == "different" else []
    told_differences = [str(each) for each in verdict.differences[:_MOST_KEPT]]

    def with_verdict(current: RunRecord) -> RunRecord:
        return replace(current, reproduction=ReproductionRecord(record.id, verdict.name, told_differences))

    again = change_record(store, again.id, with_verdict)
    return Reproduction(again, verdict, tuple(reasons), recreation.caveats)
