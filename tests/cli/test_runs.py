"""`mlproj runs`: which runs, in which order, with which columns, in which form."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest


def ids(answer: Any) -> list[str]:
    return [record["id"] for record in answer.json]


def test_an_empty_store(cli: Any) -> None:
    assert cli("runs").out == "no runs yet: `mlproj run` makes the first\n"
    assert cli("runs", "--json").json == []


def test_the_table(trained: list[str], cli: Any) -> None:
    lines = cli("runs").out.splitlines()
    fixed = ["id", "name", "project", "entry_point", "status", "started_at", "duration_s"]
    assert lines[0].split() == [*fixed, "alpha", "solver", "features", "rmse"]
    assert all(full.startswith(line.split()[0]) for full, line in zip(trained[::-1], lines[1:], strict=True))
    assert "better" in lines[2]
    assert "failed" in lines[1]
    assert "s ago" in lines[1]


def test_newest_first_and_a_limit(trained: list[str], cli: Any) -> None:
    assert ids(cli("runs", "--json")) == trained[::-1]
    assert ids(cli("runs", "--json", "--limit", "1")) == trained[:1:-1]
    assert ids(cli("runs", "--json", "--limit", "0")) == trained[::-1]
    assert cli("runs", "--limit", "-1").status == 2


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("metrics.rmse < 0.2", [0]),
        ("metrics.rmse < 60 and params.alpha = 0.1 and status = finished", [0]),
        ("params.alpha = '0.3' or status = 'FAILED'", [2, 1]),
        ("not status = finished", [2]),
        ("tags.stage = candidate", [1]),
        ("has(tags.stage)", [1]),
        ("name LIKE 'bet%'", [1]),
        ("name ilike 'BET%'", [1]),
        ("entry_point in ('train', 'other')", [1, 0]),
        ("experiment = second", [2]),
        ("attributes.exit_status != 0", [2]),
        ("started_at > 2h ago", [2, 1, 0]),
        ("started_at > 2999-01-01", []),
        ("duration_s < 1h", [2, 1, 0]),
        ("", [2, 1, 0]),
    ],
)
def test_filters(trained: list[str], cli: Any, expression: str, found: list[int]) -> None:
    assert ids(cli("runs", "--json", "--filter", expression)) == [trained[each] for each in found]


def test_an_order(trained: list[str], cli: Any) -> None:
    by_rmse = [trained[0], trained[1], trained[2]]
    assert ids(cli("runs", "--json", "--order-by", "metrics.rmse")) == by_rmse
    downwards = [trained[1], trained[0], trained[2]]  # a run without the metric comes last either way
    assert ids(cli("runs", "--json", "--order-by", "metrics.rmse desc")) == downwards
    assert ids(cli("runs", "--json", "--order-by", "-metrics.rmse")) == downwards


@pytest.mark.parametrize(
    ("expression", "column", "said", "caret"),
    [
        ("metrics.rmse <", 15, "a value is expected, not the end", "                ^"),
        ("metrics.rmse < abc", 16, "a number is expected, not `abc`", "                 ^^^"),
        ("statsu = finished", 1, "a run has no attribute `statsu`", "  ^^^^^^"),
        ("status = finnished", 10, "`finnished` is no status", "           ^^^^^^^^^"),
        ("status = finished metrics.rmse < 1", 19, "`and`, `or` or the end is expected", " " * 20 + "^" * 12),
        ("(status = finished", 19, "a closing `)` is missing", " " * 20 + "^"),
        ("name = 'open", 8, "this quote is never closed", " " * 9 + "^"),
        ("metrcs.rmse < 1", 1, "Did you mean `metrics`?", "  " + "^" * 11),
    ],
)
def test_a_filter_that_cannot_be_read(cli: Any, expression: str, column: int, said: str, caret: str) -> None:
    done = cli("runs", "--filter", expression)
    assert (done.status, done.out) == (2, "")
    lines = done.err.splitlines()
    assert lines[0].startswith(f"error: column {column}: ")
    assert said in done.err
    assert lines[1] == f"  {expression}"
    assert lines[2] == caret


def test_a_metric_that_no_run_has(trained: list[str], cli: Any) -> None:
    done = cli("runs", "--filter", "metrics.rsme < 1")
    assert (done.status, done.out) == (0, "no runs that match\n")
    assert "No run has `metrics.rsme`. Did you mean `rmse`?" in done.err


def test_columns(trained: list[str], cli: Any) -> None:
    done = cli("runs", "--columns", "id,params.alpha,metrics.rmse,curve.rmse,tags.stage")
    heading, failed, better, _ = (line.split() for line in done.out.splitlines())
    assert heading == ["id", "alpha", "rmse", "curve.rmse", "tags.stage"]
    assert len(failed) == 1  # it has none of them
    assert better[1:] == ["0.3", "0.3", "█▅▁", "candidate"]  # three values, going down


def test_columns_that_are_none(cli: Any) -> None:
    done = cli("runs", "--columns", "id,statsu")
    assert done.status == 2
    assert "no column `statsu`" in done.err
    assert "Did you mean `status`?" in done.err


@pytest.mark.parametrize("columns", ["", " , ", "metrics.", "id,,params."])
def test_columns_without_a_name(cli: Any, columns: str) -> None:
    done = cli("runs", "--columns", columns)
    assert (done.status, "no column" in done.err) == (2, True)


def test_csv(trained: list[str], cli: Any) -> None:
    done = cli("runs", "--csv", "--columns", "id,status,params.alpha,params.features,metrics.rmse,name")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["id"] for row in rows] == trained[::-1]
    assert rows[1]["params.alpha"] == "0.3"
    assert rows[1]["params.features"] == '["a","b"]'  # the form that -P takes
    assert (rows[0]["params.alpha"], rows[0]["status"]) == ("", "failed")


def test_json_holds_whole_records(trained: list[str], own_home: Path, cli: Any) -> None:
    shown = cli("runs", "--json").json[0]
    assert shown == json.loads((own_home / "runs" / trained[2] / "run.json").read_text())


# --- one run


@pytest.mark.parametrize("name", ["@last~1", "better", "@max:rmse"])
def test_show_by_every_name(trained: list[str], cli: Any, name: str) -> None:
    done = cli("show", name)
    assert done.status == 0
    assert done.out.splitlines()[0] == f"run {trained[1]}  better  finished"


def test_show_by_a_prefix_and_best(trained: list[str], cli: Any) -> None:
    assert cli("show", trained[0], "--json").json["id"] == trained[0]
    assert cli("show", trained[0][:31], "--json").json["id"] == trained[0]
    assert cli("show", "@best:rmse", "--json").json["id"] == trained[0]  # an error is best low
    assert cli("show", "--json").json["id"] == trained[2]


def test_show_tells_everything(trained: list[str], cli: Any) -> None:
    text = cli("show", "better").out
    for part in (
        "wine, train",
        "python train.py --alpha 0.3 --solver cd --features a --features b",
        'features  ["a","b"]',
        "3 points",
        "stage  candidate",
        "model  model/  1 file, 9 B",
        "exit status  0",
        "kind",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("zzz", "there is no run `zzz`"),
        ("beter", "Did you mean `better`?"),
        ("@lats", "`@lats` names no run"),
        ("@best:rsme", "no run has a metric `rsme`. Did you mean `rmse`?"),
        ("@last~9", "there is no run"),
        ("0", "is the name of more than one run"),
        ("", "there is no run"),
    ],
)
def test_a_run_that_is_not_there(trained: list[str], cli: Any, name: str, said: str) -> None:
    for command in ("show", "logs", "tag", "stop", "delete"):
        done = cli(command, name)
        assert (done.status, done.out) == (2, "")
        assert said in done.err


# --- two runs


def test_diff_of_two_runs(trained: list[str], cli: Any) -> None:
    done = cli("diff", trained[0], "better")
    assert done.status == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert ["alpha", "0.1", "0.3", "+0.2"] in rows
    assert ["rmse", "0.1", "0.3", "+0.2"] in rows
    assert ["stage", "-", "candidate"] in rows
    assert ["features", "[]", '["a","b"]'] in rows
    assert not any(row[:1] == ["solver"] for row in rows)
    assert ["solver", "cd", "cd"] in [
        line.split() for line in cli("diff", trained[0], "better", "--all").out.splitlines()
    ]


def test_diff_for_programs(trained: list[str], cli: Any) -> None:
    compared = cli("diff", trained[0], trained[1], "--json").json
    assert compared["ids"] == trained[:2]
    row = next(each for each in compared["parameters"] if each["name"] == "alpha")
    assert (row["values"], row["same"]) == ([0.1, 0.3], False)


def test_diff_of_one_run_compares_it_with_the_newest_other_one(trained: list[str], cli: Any) -> None:
    assert cli("diff", trained[0], "--json").json["ids"] == [trained[0], trained[2]]
    assert cli("diff", trained[2], "--json").json["ids"] == [trained[2], trained[1]]


def test_diff_of_three_runs_and_of_one_with_itself(trained: list[str], cli: Any) -> None:
    assert cli("diff", *trained, "--json").json["ids"] == trained
    assert cli("diff", trained[0], trained[0]).out == "no difference\n"


def test_diff_of_the_only_run(wine: Path, cli: Any) -> None:
    cli("run", "-e", "train", "-q")
    done = cli("diff", "@last")
    assert (done.status, "there is no run" in done.err) == (2, True)


# --- tags


def test_tags_are_set_printed_and_removed(trained: list[str], cli: Any) -> None:
    assert cli("tag", "better").out == "stage=candidate\n"
    done = cli("tag", "better", "stage=production", "who=me")
    assert (done.status, done.out) == (0, "stage=production\nwho=me\n")
    assert ids(cli("runs", "--json", "--filter", "tags.who = me")) == [trained[1]]
    assert cli("tag", "better", "--remove", "stage", "--json").json == {"who": "me"}
    assert cli("tag", "better", "who").status == 2
    assert cli("show", "better", "--json").json["tags"] == {"who": "me"}


# --- the trash


def test_delete_restore_and_gc(trained: list[str], own_home: Path, cli: Any) -> None:
    done = cli("delete", trained[0], "better")
    assert done.out == f"{trained[0][:12]} is in the trash\n{trained[1][:12]} is in the trash\n"
    assert ids(cli("runs", "--json")) == [trained[2]]
    assert ids(cli("runs", "--json", "--trash")) == [trained[1], trained[0]]
    assert "It is in the trash; `mlproj restore` takes it out again." in cli("show", "better").err
    assert cli("restore", "better").out == f"{trained[1][:12]} is back\n"
    assert cli("gc", "--older-than", "1d", "--json").json == {"runs": 0, "bytes": 0}
    freed = cli("gc", "--json").json
    assert freed["runs"] == 1
    assert freed["bytes"] > 0
    assert not (own_home / "trash" / trained[0]).exists()
    assert ids(cli("runs", "--json")) == [trained[2], trained[1]]
    assert cli("restore", trained[0]).status == 2
    assert cli("store", "check").out == "the store is sound\n"


def test_one_run_named_twice_is_deleted_once(trained: list[str], cli: Any) -> None:
    assert cli("delete", "better", trained[1]).status == 0
    assert ids(cli("runs", "--json", "--trash")) == [trained[1]]
    assert cli("restore", "better", trained[1]).status == 0
    assert ids(cli("runs", "--json")) == trained[::-1]
    assert cli("store", "check").status == 0


def test_nothing_is_deleted_when_one_of_them_is_not_there(trained: list[str], cli: Any) -> None:
    assert cli("delete", "better", "gone").status == 2
    assert ids(cli("runs", "--json")) == trained[::-1]


@pytest.mark.parametrize("text", ["soon", "-1d", "0"])
def test_an_age_is_a_span_of_time(cli: Any, text: str) -> None:
    done = cli("gc", f"--older-than={text}")
    assert done.status == 2
    assert "--older-than takes a span of time such as `90s`" in done.err


def test_an_age_in_seconds(cli: Any) -> None:
    assert cli("gc", "--older-than", "30").status == 0
    assert cli("envs", "prune", "--older-than", "30").status == 0
