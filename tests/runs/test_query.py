from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlproj.errors import UsageError
from mlproj.runs.query import search, search_ids
from mlproj.runs.record import EnvironmentRecord, RunRecord, SourceRecord
from mlproj.runs.store import Store, open_store
from mlproj.runs.times import time_text

NOW = 1_790_000_000.0


@pytest.fixture
def names(store: Store, record_run):
    """Searches four runs and gives their names, oldest first."""
    record_run(
        {"rmse": 57.6, "val/loss": 0.5},
        name="ridge",
        parameters={"alpha": 0.1, "solver": "cd", "intercept": True, "depth": "10"},
        tags={"team": "blue", "mlflow.user": "ada", "with space": "yes", "count": "9"},
        started_at=time_text(NOW - 7200),
        duration_s=30.0,
        user="ada",
        experiment="first",
        source=SourceRecord(kind="git", commit="c0ffee", dirty=True),
        environment=EnvironmentRecord(key="key1"),
    )
    record_run(
        {"rmse": float("nan")},
        name="lasso",
        parameters={"alpha": 0.5, "solver": "sgd", "intercept": False, "depth": "9", "note": None},
        tags={"team": "Blue", "count": "10"},
        started_at=time_text(NOW - 60),
        duration_s=4000.0,
    )
    record_run({"rmse": 70.0, "r2": -1e300}, name="100%_sure", parameters={"alpha": 1}, started_at=time_text(NOW))
    record_run(name="broken", status="failed", exit_status=3, parameters={"alpha": "0.1"}, started_at=time_text(NOW))

    def search_names(filter_text: str) -> list[str]:
        return [record.name for record in reversed(search(store, filter_text).records)]

    return search_names


@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ("", ["ridge", "lasso", "100%_sure", "broken"]),
        ("metrics.rmse < 60 and params.alpha = 0.1 and status = finished", ["ridge"]),
        ("metrics.rmse < 60 and params.alpha = '0.1' and status = 'FINISHED'", ["ridge"]),
        ("metric.rmse >= 5.76e1", ["ridge", "100%_sure"]),
        ("metrics.`val/loss` = .5", ["ridge"]),
        ("metrics.val/loss = 0.5", ["ridge"]),
        ('metrics."val/loss" == 0.5', ["ridge"]),
        ("metrics.rmse = nan", ["lasso"]),
        ("metrics.rmse in (70, 57.6)", ["ridge", "100%_sure"]),
        ("params.alpha = 0.10", ["ridge", "broken"]),
        ("params.alpha != 0.1", ["lasso", "100%_sure"]),
        ("params.alpha < 0.5", ["ridge", "broken"]),
        ("params.depth > 9", ["ridge"]),
        ("tags.count > 9", ["lasso"]),
        ("params.solver = cd or params.solver = sgd", ["ridge", "lasso"]),
        ("params.solver in ('cd', saga)", ["ridge"]),
        ("params.solver not in (cd)", ["lasso"]),
        ("not params.solver in (cd)", ["lasso", "100%_sure", "broken"]),
        ("params.intercept = 'True'", ["ridge"]),
        ("params.intercept = false", ["lasso"]),
        ("params.note = None", ["lasso"]),
        ("has(params.solver) and not has(tags.`with space`)", ["lasso"]),
        ("tags.team = 'blue'", ["ridge"]),
        ("tags.team ILIKE 'BL%'", ["ridge", "lasso"]),
        ("tags.team LIKE 'Bl%'", ["lasso"]),
        ("tags.mlflow.user = ada", ["ridge"]),
        ("name like '100\\%%'", []),
        ("name like '1__%_sure'", ["100%_sure"]),
        ("attributes.run_name = 'ridge'", ["ridge"]),
        ("status != finished", ["broken"]),
        ("exit_status > 2", ["broken"]),
        ("started_at > 2h ago", ["lasso", "100%_sure", "broken"]),
        ("started_at < 30 minutes ago", ["ridge"]),
        (f"start_time < {int((NOW - 3000) * 1000)}", ["ridge"]),
        (
            "started_at >= 2026-09-21T00:00 and started_at < 2026-09-22",
            ["ridge", "lasso", "100%_sure", "broken"],
        ),
        ("duration > 1h", ["lasso"]),
        ("duration_s <= 30", ["ridge", "100%_sure", "broken"]),
        ("source.commit = c0ffee and source.dirty = true and environment.key = key1", ["ridge"]),
        ("(user = ada or experiment = second) and not (status = failed)", ["ridge"]),
        ("name = 'it''s'", []),
        ("params.alpha = '0.1'' OR 1=1 --'", []),
    ],
)
def test_a_filter_finds(names, filter_text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlproj.runs.filter_sql.time.time", lambda: NOW)
    assert names(filter_text) == expected


@pytest.mark.parametrize(
    ("filter_text", "column", "said"),
    [
        ("metrics.rmse < abc", 16, "a number is expected, not `abc`"),
        ("status = finishd", 10, "Did you mean `finished`?"),
        ("metric.rmse < 60 and stats = 3", 22, "Did you mean `status`?"),
        ("rmse < 60", 1, "metrics.rmse"),
        ("metrcs.rmse < 60", 1, "Did you mean `metrics`?"),
        ("metrics.rmse 60", 14, "a comparison"),
        ("metrics.rmse <", 15, "a value is expected, not the end"),
        ("metrics. < 3", 1, "a name is missing after the dot"),
        ("(status = failed", 17, "closing `)`"),
        ("status = failed)", 16, "`and`, `or` or the end"),
        ("name = 'ridge", 8, "never closed"),
        ("name = my run", 11, "Put quotes around"),
        ("started_at > soon", 14, "no point in time"),
        ("metrics.rmse like 'a'", 1, "a metric is a number"),
        ("status in ()", 12, "a value is expected"),
        ("name ! ridge", 6, "`!` means nothing"),
        ("not " * 60 + "status = failed", 205, "more than 50"),
        ("(" * 1000, 52, "more than 50"),
        (" or ".join(["status = failed"] * 201), 3801, "more than 200 comparisons"),
    ],
)
def test_what_is_wrong_is_shown_where_it_is(store: Store, filter_text: str, column: int, said: str) -> None:
    with pytest.raises(UsageError, match=f"column {column}:") as caught:
        search(store, filter_text)
    _, shown, caret = caught.value.message.split("\n")
    assert said in str(caught.value)
    assert len(caret) <= len(shown) + 1


def test_the_caret_stands_under_the_word_and_escapes_are_not_printed(store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        search(store, "name = '\x1b[31m' and stats = 3")
    _, shown, caret = caught.value.message.split("\n")
    assert "\x1b" not in str(caught.value)
    assert shown[caret.index("^") :].startswith("stats")


def test_a_filter_that_no_run_answers_names_what_no_run_has(store: Store, record_run) -> None:
    record_run({"rmse": 1.0})
    assert search(store, "metrics.rsme < 2").hints == ["No run has `metrics.rsme`. Did you mean `rmse`?"]
    assert search(store, "metrics.rmse < 0").hints == []


def test_orders_put_runs_without_the_value_last(store: Store, record_run) -> None:
    for name, metrics, parameters in [
        ("a", {"rmse": 2.0}, {"x": "b"}),
        ("b", {}, {"x": 10}),
        ("c", {"rmse": 1.0}, {"x": "a"}),
        ("d", {"rmse": 2.0}, {"x": 9}),
    ]:
        record_run(metrics, name=name, parameters=parameters)

    def order(order_by: str) -> str:
        return "".join(record.name for record in search(store, order_by=order_by).records)

    assert order("") == "dcba"
    assert order("metrics.rmse") == "cdab"
    assert order("metrics.rmse desc, name") == "adcb"
    assert order("-metrics.rmse, -name") == "dacb"
    assert order("params.x") == "dbca"
    assert order("started_at") == "abcd"
    assert [record.name for record in search(store, order_by="metrics.rmse", limit=1).records] == ["c"]


@pytest.mark.parametrize("order_by", ["rmse", "metrics.rmse down", ",", "colour desc", "metrics.", "a.b"])
def test_an_order_that_is_none_is_refused(store: Store, order_by: str) -> None:
    with pytest.raises(UsageError):
        search(store, order_by=order_by)


_WORDS = """metrics params tags attributes . rmse alpha status = != < <= > >= like ilike in not and or has ( )
    , 'a' "b" ` `` ' " 0.1 1e999 -inf nan 2h ago started_at duration true finished % _ * [ \x00 \x1b é desc
    source.commit 99999999999999999999999"""
_PIECES = st.sampled_from([*_WORDS.split(), "\ud800", " "])


@pytest.fixture(scope="module")
def fuzzed_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    return open_store(folder)


_TEXTS = st.one_of(st.text(max_size=40), st.lists(_PIECES, max_size=12).map(" ".join), st.lists(_PIECES).map("".join))


@settings(max_examples=400, deadline=None)
@given(_TEXTS, st.sampled_from(["filter_text", "order_by"]))
def test_any_text_is_a_filter_and_an_order_or_a_usage_error(fuzzed_store: Store, text: str, place: str) -> None:
    try:
        assert search_ids(fuzzed_store, **{place: text}) == []
    except UsageError as error:
        str(error).encode()


_KEYS = st.sampled_from(["metrics.rmse", "params.`a b`", "tags.x", "status", "name", "started_at", "exit_status"])
_VALUES = st.one_of(
    st.floats().map(repr),
    st.integers().map(str),
    st.text(max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
)
_COMPARISONS = st.tuples(_KEYS, st.sampled_from(["=", "!=", "<", ">=", "like", "in"]), _VALUES).map(
    lambda parts: f"{parts[0]} in ({parts[2]})" if parts[1] == "in" else " ".join(parts)
)
_FILTERS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join),
        inner.map(lambda text: f"not ({text})"),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_FILTERS)
def test_any_well_formed_filter_runs_or_says_where_its_value_is_wrong(fuzzed_store: Store, text: str) -> None:
    try:
        assert search_ids(fuzzed_store, text) == []
    except UsageError as error:
        assert "column" in error.message


def test_records_are_whole(store: Store, record_run) -> None:
    record: RunRecord = record_run({"rmse": 1.0}, parameters={"names": ["a", "b"]})
    assert search(store).records == [record]
