from __future__ import annotations

from mlproj.runs.record import ModelRecord, RunRecord
from mlproj.runs.totals import Summary, Totals, with_totals


def test_the_record_gets_what_was_logged_and_keeps_what_was_declared() -> None:
    record = RunRecord(
        id="0" * 32, parameters={"alpha": 0.1}, tags={"team": "blue", "draft": "yes"}, notices=["before"]
    )
    loss = Summary(0.5, 1, 0, 0.5, 0.5, 1)
    model = ModelRecord("m-1", "model", "model")
    totals = Totals({"loss": loss}, {"alpha": 9, "depth": 3}, {"team": "red"}, ["draft"], [], [model], ["noticed"], 1)
    merged = with_totals(record, totals)
    assert merged.metrics == {"loss": 0.5}
    assert merged.parameters == {"depth": 3, "alpha": 0.1}
    assert merged.tags == {"team": "red"}
    assert merged.notices[:2] == ["before", "noticed"]
    assert "alpha" in merged.notices[2]
    assert merged.models == [model]
