from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlproj.runs.intake import open_intake
from mlproj.runs.metric_lines import append_lines
from mlproj.runs.record import RunRecord
from mlproj.runs.store import Store, begin, close_store, finish, new_run_id, open_store
from mlproj.runs.times import now_text
from mlproj.runs.totals import with_totals

RecordRun = Callable[..., RunRecord]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store")
    yield opened
    close_store(opened)


@pytest.fixture
def record_run(store: Store) -> RecordRun:
    """Puts a whole run into the store: ``record_run(name="a", metrics={"rmse": 57.6}, parameters={…})``."""

    def record(metrics: dict[str, float] | None = None, **fields: object) -> RunRecord:
        begun = RunRecord(id=new_run_id(store), started_at=now_text(), host="here")
        live = begin(store, begun)
        append_lines(live.files.metrics, [{"name": name, "value": value} for name, value in (metrics or {}).items()])
        totals = open_intake(store, live.id, live.files.metrics).close()
        final = replace(
            with_totals(begun, totals),
            **{"status": "finished", "exit_status": 0, "duration_s": 1.5, **fields},
        )
        finish(live, final)
        return final

    return record
