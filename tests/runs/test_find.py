from __future__ import annotations

import pytest

from mlproj.errors import RunNotFoundError, UsageError
from mlproj.runs.find import better_end, find
from mlproj.runs.store import Store
from mlproj.runs.trash import delete


def test_a_run_is_found_by_prefix_name_and_age(store: Store, record_run) -> None:
    first, second, third = record_run(name="ridge"), record_run(name="lasso"), record_run(name="net")
    assert find(store, first.id) == first
    assert find(store, second.id[:-1]) == second
    assert find(store, second.id.upper()) == second
    assert find(store, "net") == third
    assert find(store, "@last") == third
    assert find(store, "@last~2") == first


def test_several_are_listed(store: Store, record_run) -> None:
    runs = [record_run(name="same") for _ in range(2)]
    for name in ("same", runs[0].id[:4]):
        with pytest.raises(RunNotFoundError) as caught:
            find(store, name)
        assert all(run.id[:16] in caught.value.message for run in runs)


def test_none_names_the_nearest(store: Store, record_run) -> None:
    record_run(name="elastic-net")
    with pytest.raises(RunNotFoundError, match="no run `elastic-nte`") as caught:
        find(store, "elastic-nte")
    assert caught.value.hint == "Did you mean `elastic-net`?"
    with pytest.raises(RunNotFoundError):
        find(store, "ffff")
    with pytest.raises(RunNotFoundError):
        find(store, "@last~9")


def test_the_best_run_of_a_metric(store: Store, record_run) -> None:
    low = record_run({"val_loss": 0.1, "accuracy": 0.5, "x": 1})
    high = record_run({"val_loss": 0.9, "accuracy": 0.7, "x": 2})
    record_run({"val_loss": float("nan"), "accuracy": 0.1, "x": 0}, status="failed")
    record_run({"val_loss": float("nan")})
    assert find(store, "@best:val_loss") == low
    assert find(store, "@best:accuracy") == high
    assert find(store, "@max:x") == high
    assert find(store, "@min:x") == low
    with pytest.raises(UsageError, match="low or high") as caught:
        find(store, "@best:x")
    assert "@min:x or @max:x" in (caught.value.hint or "")
    with pytest.raises(RunNotFoundError, match="Did you mean `accuracy`"):
        find(store, "@best:acuracy")


@pytest.mark.parametrize("name", ["@", "@first", "@last~x", "@best:", "@best", "@last~"])
def test_other_at_forms_are_usage_errors(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="names no run"):
        find(store, name)


@pytest.mark.parametrize("name", ["", "\x1b[31m", "%", "' or 1=1 --", "\udcff", "g" * 5000])
def test_odd_names_find_nothing_and_print_nothing_odd(store: Store, record_run, name: str) -> None:
    record_run()
    with pytest.raises(RunNotFoundError) as caught:
        find(store, name)
    assert "\x1b" not in str(caught.value)


def test_a_run_in_the_trash_is_only_found_there(store: Store, record_run) -> None:
    run = record_run(name="old")
    delete(store, run.id)
    with pytest.raises(RunNotFoundError) as caught:
        find(store, "old")
    assert "mlproj restore" in (caught.value.hint or "")
    assert find(store, "old", trashed=True).id == run.id


@pytest.mark.parametrize(
    ("metric", "end"),
    [
        ("rmse", "min"),
        ("valLoss", "min"),
        ("test.wer", "min"),
        ("top1_accuracy", "max"),
        ("f1", "max"),
        ("R2", "max"),
        ("brier_score", "min"),
        ("davies_bouldin_score", "min"),
        ("silhouette_score", "max"),
        ("neg_mean_squared_error", "max"),
        ("val_neg_log_loss", "max"),
        ("neg_loss", "max"),
        ("neg_rmse", "max"),
        ("neg_foo", "max"),
        ("cv_rmse", "min"),
        ("negative_log_likelihood", "min"),
        ("neg_log_likelihood", "min"),
    ],
)
def test_the_better_end_is_told_by_the_name(metric: str, end: str) -> None:
    assert better_end(metric) == end


@pytest.mark.parametrize(
    "metric",
    ["accuracy_std", "accuracy_drop", "accuracyGap", "loss_reduction", "error_free_rate", "quality"]
    + ["neg_recall", "f1_negative", "one_minus_accuracy"],
)
def test_a_name_that_is_about_something_else_does_not_tell(metric: str) -> None:
    with pytest.raises(UsageError, match="does not tell"):
        better_end(metric)
