"""What MLflow's clients log to a run, read back through the gateway and from the record."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mlproj.runs.experiments import experiment_id
from mlproj.runs.metric_history import metric_history
from mlproj.runs.query import search_ids
from mlproj.runs.record import RunRecord
from mlproj.runs.store import begin, finish, is_live, load, new_run_id
from mlproj.tracking.gateway.messages import same_value
from tests.tracking.conftest import Joined


def test_a_run_that_nobody_joins_is_as_it_was(run: Joined) -> None:
    record = run.close()
    assert (record.parameters, record.metrics, record.tags) == ({"alpha": 0.1, "flag": True}, {}, {})
    assert "uvicorn" not in record.notices


def test_what_is_logged_is_read_back_at_once_and_is_in_the_record(run: Joined) -> None:
    run.post("runs/log-metric", run_id=run.id, key="loss", value=0.5, timestamp=1790000000123, step=3)
    run.post("runs/log-parameter", run_id=run.id, key="beta", value="b")
    run.post("runs/set-tag", run_id=run.id, key="team", value="blue")
    batch: dict[str, Any] = {
        "metrics": [{"key": "loss", "value": 0.4, "timestamp": "1790000000124", "step": "4"}],
        "params": [{"key": "gamma", "value": ""}],
        "tags": [{"key": "stage", "value": "draft"}, {"key": "empty", "value": ""}],
    }
    run.post("runs/log-batch", run_id=run.id, **batch)
    run.post("runs/delete-tag", run_id=run.id, key="team")
    seen = run.run()
    assert seen["metrics"] == {"loss": 0.4}
    assert seen["params"] == {"alpha": "0.1", "flag": "True", "beta": "b", "gamma": ""}
    assert {name: seen["tags"].get(name) for name in ("stage", "empty", "team")} == {
        "stage": "draft",
        "empty": "",
        "team": None,
    }
    points = run.get("metrics/get-history", run_id=run.id, metric_key="loss")["metrics"]
    assert [(each["step"], each["value"], each["timestamp"]) for each in points] == [
        (3, 0.5, 1790000000123),
        (4, 0.4, 1790000000124),
    ]
    record = run.close()
    assert record.parameters == {"alpha": 0.1, "flag": True, "beta": "b", "gamma": ""}
    assert (record.metrics, record.tags) == ({"loss": 0.4}, {"stage": "draft", "empty": ""})


def test_each_of_many_quick_calls_is_seen_by_the_next(run: Joined) -> None:
    for step in range(100):
        run.post("runs/log-metric", run_id=run.id, key="loss", value=step, timestamp=1, step=step)
        if step % 20 == 19:
            assert run.run()["metrics"] == {"loss": step}
    assert len(run.get("metrics/get-history", run_id=run.id, metric_key="loss")["metrics"]) == 100


def test_a_point_that_is_logged_again_is_there_once(run: Joined) -> None:
    points = [
        {"key": key, "value": value, "timestamp": 5 + step, "step": step}
        for key, value in (("loss", 0.5), ("nan", "NaN"))
        for step in range(3)
    ]
    for metrics in (points, points, points[:1] * 2):
        run.post("runs/log-batch", run_id=run.id, metrics=metrics)
    for _ in range(2):
        run.post("runs/log-metric", run_id=run.id, **points[0])
        run.post("runs/log-metric", run_id=run.id, key="untimed", value=1, step=0)
    for key, count in (("loss", 3), ("nan", 3), ("untimed", 2)):
        assert len(run.get("metrics/get-history", run_id=run.id, metric_key=key)["metrics"]) == count


def test_numbers_that_json_has_no_form_for(run: Joined) -> None:
    for key, value in (("nan", "NaN"), ("up", "Infinity"), ("down", "-Infinity"), ("odd", "1e400")):
        run.post("runs/log-metric", run_id=run.id, key=key, value=value, timestamp=1, step=0)
    assert run.run()["metrics"] == {"nan": "NaN", "up": "Infinity", "down": "-Infinity", "odd": "Infinity"}
    record = run.close()
    assert math.isnan(record.metrics["nan"])
    assert record.metrics["down"] == -math.inf


def test_times_are_kept_to_the_millisecond_whatever_their_size(run: Joined) -> None:
    times = [1, 999, 12345, 99_999_999_999, 1790000000123]
    for step, moment in enumerate(times):
        run.post("runs/log-metric", run_id=run.id, key="m", value=1, timestamp=moment, step=step)
    points = run.get("metrics/get-history", run_id=run.id, metric_key="m")["metrics"]
    assert [each["timestamp"] for each in points] == times


@pytest.mark.parametrize(
    ("typed", "text", "same"),
    [
        (0.001, "1e-3", True),
        (0.1, "0.2", False),
        (5, "5.0", True),
        (True, "true", True),
        (True, "1", False),
        (["a"], "['a']", True),
        (["a"], '["a"]', True),
        ("a", "a", True),
        ("1", "1.0", False),
        (None, "None", True),
        ({"a": 1}, '{"a": 1}', True),
        ({"a": 1}, "{", False),
        (10**400, "inf", False),
    ],
)
def test_a_typed_value_is_known_by_its_text(typed: Any, text: str, same: bool) -> None:
    assert same_value(typed, text) == same


def test_a_declared_parameter_keeps_its_value_and_its_type(run: Joined) -> None:
    run.post("runs/log-parameter", run_id=run.id, key="alpha", value="0.10")
    run.post("runs/log-batch", run_id=run.id, params=[{"key": "flag", "value": "true"}])
    code, message = run.ask("POST", "runs/log-parameter", run_id=run.id, key="alpha", value="0.2").error
    assert code == "INVALID_PARAMETER_VALUE"
    assert message == (
        f"Changing param values is not allowed. Param with key='alpha' was already logged with value='0.1' for run "
        f"ID='{run.id}'. Attempted logging new value '0.2'."
    )
    assert run.close().parameters == {"alpha": 0.1, "flag": True}


def test_a_batch_is_logged_whole_or_not_at_all(run: Joined) -> None:
    good = {"key": "ok", "value": 1.0, "timestamp": 1, "step": 0}
    for bad in (
        {"params": [{"key": "alpha", "value": "9"}]},
        {"params": [{"key": "twice", "value": "1"}, {"key": "twice", "value": "2"}]},
        {"metrics": [good, {"key": "bad", "value": "seven", "timestamp": 1}]},
        {"metrics": [good, {"key": "../up", "value": 1.0, "timestamp": 1}]},
        {"tags": [{"key": "a\nb", "value": "x"}]},
        {"metrics": [good] * 1001},
        {"params": [{"key": f"p{index}", "value": "1"} for index in range(101)]},
        {"metrics": [good] * 950, "tags": [{"key": f"t{index}", "value": ""} for index in range(60)]},
        {"metrics": "none"},
    ):
        fields = {"metrics": [good], **bad}
        reply = run.ask("POST", "runs/log-batch", run_id=run.id, **fields)
        assert reply.error[0] == "INVALID_PARAMETER_VALUE", bad
    assert run.close().metrics == {}


def test_limits_are_those_that_the_client_knows(run: Joined) -> None:
    def logged(client: str, **fields: Any) -> int:
        return run.ask("POST", "runs/log-parameter", client, run_id=run.id, **fields).status

    assert logged("1.30.0", key="a", value="x" * 500) == 200
    assert logged("1.30.0", key="b", value="x" * 501) == 400
    assert logged("2.9.2", key="b", value="x" * 6000) == 200
    assert logged("2.9.2", key="c", value="x" * 6001) == 400
    # Newer ones cut a value off, where it need not be.
    assert logged("3.17.2", key="c", value="x" * 7000) == 200
    assert logged("2.9.2", key="with:colon", value="1") == 400
    assert logged("3.17.2", key="with:colon", value="1") == 200
    assert logged("3.17.2", key="k" * 251, value="1") == 400
    assert len(run.close().parameters["c"]) == 7000


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("runs/log-metric", {"key": "x", "value": 1}, "INVALID_PARAMETER_VALUE"),
        ("runs/log-metric", {"run_id": "0" * 32, "key": "x", "value": 1}, "RESOURCE_DOES_NOT_EXIST"),
        ("runs/log-metric", {"run_id": "../../etc", "key": "x", "value": 1}, "RESOURCE_DOES_NOT_EXIST"),
        ("runs/log-metric", {"run_id": ["x"], "key": "x", "value": 1}, "INVALID_PARAMETER_VALUE"),
        ("runs/delete-tag", {"run_id": "OWN", "key": "none"}, "RESOURCE_DOES_NOT_EXIST"),
        ("runs/update", {"run_id": "OWN", "status": "WON"}, "INVALID_PARAMETER_VALUE"),
        ("runs/delete", {"run_id": "OWN"}, "INVALID_STATE"),
        ("runs/restore", {"run_id": "OWN"}, "INVALID_PARAMETER_VALUE"),
        ("runs/search", {"filter": "metrics.x <"}, "INVALID_PARAMETER_VALUE"),
        ("runs/search", {"max_results": 0}, "INVALID_PARAMETER_VALUE"),
        ("runs/search", {"page_token": "%%%"}, "INVALID_PARAMETER_VALUE"),
        ("runs/create", {"experiment_id": "77"}, "RESOURCE_DOES_NOT_EXIST"),
        ("runs/log-model", {"run_id": "OWN", "model_json": "{"}, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_what_cannot_be_is_mlflows_own_error(run: Joined, path: str, fields: dict[str, Any], code: str) -> None:
    fields = {name: run.id if value == "OWN" else value for name, value in fields.items()}
    reply = run.ask("POST", path, **fields)
    assert reply.error[0] == code
    assert reply.status < 500


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"run_id": NaN}'])
def test_a_body_that_is_no_message(run: Joined, body: bytes) -> None:
    assert run.http("POST", "api/2.0/mlflow/runs/log-metric", body).status == 400


def test_what_is_not_answered_is_told_once(run: Joined) -> None:
    for _ in range(2):
        assert run.ask("POST", "gateway/endpoints/create").error[0] == "ENDPOINT_NOT_FOUND"
    assert run.http("GET", "version").error[0] == "ENDPOINT_NOT_FOUND"
    run.close()
    assert run.gateway.notices == [
        "an MLflow client called POST /api/2.0/mlflow/gateway/endpoints/create, which mlproj does not answer"
    ]


def test_ending_its_run_is_the_runners_affair(run: Joined) -> None:
    run.post("runs/update", run_id=run.id, status="RUNNING", run_name="first try")
    assert run.run()["run_name"] == "first try"
    told = run.post("runs/update", run_id=run.id, status="FAILED", end_time=1790000000000)["run_info"]
    assert (told["status"], told["end_time"]) == ("FAILED", 1790000000000)
    assert run.run()["status"] == "FAILED"
    assert load(run.live.store, run.id).status == "running"


def test_names_that_clients_give(run: Joined, join: Callable[..., Joined]) -> None:
    run.post("runs/update", run_id=run.id, run_name="first")
    run.post("runs/set-tag", run_id=run.id, key="mlflow.runName", value="sec\nond")
    child = str(run.post("runs/create", experiment_id="0", run_name="a")["run"]["info"]["run_id"])
    run.post("runs/log-batch", run_id=child, tags=[{"key": "mlflow.runName", "value": "b"}])
    assert run.run(child)["run_name"] == "b"
    record = run.close()
    assert (record.name, record.tags) == ("sec\\nond", {})
    assert load(run.live.store, child).name == "b"
    named = join(name="given")
    named.post("runs/update", run_id=named.id, run_name="another")
    assert named.close().name == "given"


class TestOtherRuns:
    def child(self, run: Joined, **fields: Any) -> str:
        created = run.post("runs/create", experiment_id="0", start_time=1790000000000, **fields)["run"]["info"]
        return str(created["run_id"])

    def test_a_second_run_is_a_child_with_a_record_of_its_own(self, run: Joined) -> None:
        child = self.child(run, run_name="fold 1", tags=[{"key": "mlflow.source.name", "value": "t.py"}])
        assert is_live(run.live.store, child)
        run.post("runs/log-metric", run_id=child, key="loss", value=1, timestamp=1, step=0)
        run.post("runs/log-parameter", run_id=child, key="alpha", value="0.9")
        run.http("PUT", f"api/2.0/mlflow-artifacts/artifacts/0/{child}/artifacts/a.txt", b"hello")
        run.post("runs/update", run_id=child, status="FINISHED", end_time=1790000001000)
        record = load(run.live.store, child)
        assert (record.status, record.parent, record.name, record.project) == ("finished", run.id, "fold 1", "wine")
        assert (record.parameters, record.metrics) == ({"alpha": "0.9"}, {"loss": 1.0})
        assert [(each.path, each.size) for each in record.outputs[0].files] == [("a.txt", 5)]
        assert not is_live(run.live.store, child)
        assert run.run(child)["tags"]["mlflow.parentRunId"] == run.id

    def test_a_grandchild(self, run: Joined) -> None:
        child = self.child(run)
        grandchild = self.child(run, tags=[{"key": "mlflow.parentRunId", "value": child}])
        assert load(run.live.store, grandchild).parent == child

    def test_one_that_nobody_ends_is_lost_when_its_parent_ends(self, run: Joined) -> None:
        child = self.child(run)
        run.post("runs/log-metric", run_id=child, key="loss", value=1, timestamp=1, step=0)
        run.close()
        record = load(run.live.store, child)
        assert (record.status, record.metrics) == ("lost", {"loss": 1.0})
        assert "no client had said" in str(record.error)

    def test_one_that_has_ended_can_be_logged_to(self, run: Joined) -> None:
        child = self.child(run)
        run.post("runs/update", run_id=child, status="FAILED")
        run.post("runs/update", run_id=child, status="RUNNING")
        assert run.run(child)["status"] == "RUNNING"
        run.post("runs/log-metric", run_id=child, key="late", value=1, timestamp=1, step=0)
        run.post("runs/update", run_id=child, status="FINISHED")
        record = load(run.live.store, child)
        assert (record.status, record.metrics) == ("failed", {"late": 1.0})

    def test_a_run_of_before_is_as_it_was_but_for_what_is_logged(self, run: Joined) -> None:
        store = run.live.store
        begun = RunRecord(id=new_run_id(store), started_at="2026-01-01T00:00:00.000Z", host="there")
        live = begin(store, begun)
        finish(live, RunRecord(**{**begun.__dict__, "status": "finished", "exit_status": 0, "duration_s": 1.5}))
        run.post("runs/set-tag", run_id=begun.id, key="champion", value="yes")
        run.close()
        record = load(store, begun.id)
        assert (record.status, record.exit_status, record.duration_s, record.host) == ("finished", 0, 1.5, "there")
        assert record.tags == {"champion": "yes"}
        assert search_ids(store, "tags.champion = yes") == [begun.id]

    def test_a_run_of_before_is_never_called_running(self, run: Joined) -> None:
        child = self.child(run)
        run.post("runs/update", run_id=child, status="FINISHED")
        before = load(run.live.store, child)
        run.post("runs/set-tag", run_id=child, key="seen", value="yes")
        run.http("PUT", f"api/2.0/mlflow-artifacts/artifacts/0/{child}/artifacts/late.txt", b"late")
        # Whoever is killed now leaves it as it is.
        now = load(run.live.store, child)
        assert (now.status, now.ended_at, now.duration_s, now.supervisor) == (
            "finished", before.ended_at, before.duration_s, before.supervisor,
        )  # fmt: skip
        assert (now.tags["seen"], now.outputs[0].files[0].path) == ("yes", "late.txt")
        assert not is_live(run.live.store, child)

    def test_many_runs_of_before(self, run: Joined) -> None:
        children = [self.child(run) for _ in range(80)]
        for child in children:
            run.post("runs/update", run_id=child, status="FINISHED")
        for child in children:
            run.post("runs/set-tag", run_id=child, key="seen", value="yes")
        run.close()
        assert len(search_ids(run.live.store, "tags.seen = yes and status = finished")) == 80

    def test_a_child_ends_when_its_client_says(self, run: Joined) -> None:
        child = self.child(run)
        run.post("runs/update", run_id=child, status="FINISHED", end_time=1790000060000)
        record = load(run.live.store, child)
        assert (record.duration_s, run.run(child)["end_time"]) == (60.0, 1790000060000)
        assert (
            run.ask("POST", "runs/create", experiment_id="0", start_time=10**18).error[0] == "INVALID_PARAMETER_VALUE"
        )

    def test_a_run_that_lives_elsewhere_gets_what_is_appended(self, run: Joined, join: Callable[..., Joined]) -> None:
        other = join()
        run.post("runs/set-tag", run_id=other.id, key="seen", value="yes")
        assert other.close().tags == {"seen": "yes"}

    def test_into_the_trash_and_out_of_it(self, run: Joined) -> None:
        child = self.child(run)
        run.post("runs/delete", run_id=child)
        assert run.run(child)["lifecycle_stage"] == "deleted"
        reply = run.ask("POST", "runs/set-tag", run_id=child, key="a", value="b")
        assert reply.error == (
            "RESOURCE_DOES_NOT_EXIST",
            f"The run {child} must be in the 'active' state. Current state is deleted.",
        )
        run.post("runs/restore", run_id=child)
        assert run.run(child)["lifecycle_stage"] == "active"

    def test_searching_them(self, run: Joined) -> None:
        children = [self.child(run) for _ in range(3)]
        for index, child in enumerate(children):
            run.post("runs/log-metric", run_id=child, key="rmse", value=index, timestamp=1, step=0)
        found = run.post(
            "runs/search",
            experiment_ids=["0"],
            filter="metrics.rmse >= 1 and attributes.status = 'RUNNING'",
            order_by=["metrics.rmse DESC"],
        )["runs"]
        assert [each["info"]["run_id"] for each in found] == children[:0:-1]
        nested = f"tags.mlflow.parentRunId = '{run.id}' or parent = '{run.id}'"
        assert len(run.post("runs/search", experiment_ids=["0"], filter=nested)["runs"]) == 3
        first = run.post("runs/search", experiment_ids=["0"], max_results=3)
        rest = run.post("runs/search", experiment_ids=["0"], max_results=3, page_token=first["next_page_token"])
        assert (len(first["runs"]), len(rest["runs"]), "next_page_token" in rest) == (3, 1, False)
        assert run.post("runs/search", experiment_ids=["77"]) == {"runs": []}


class TestExperiments:
    def test_the_default_one(self, run: Joined) -> None:
        assert run.get("experiments/get", experiment_id="0")["experiment"]["name"] == "Default"
        assert run.get("experiments/get-by-name", experiment_name="Default")["experiment"]["experiment_id"] == "0"

    def test_the_one_that_a_script_sets_is_its_runs(self, run: Joined) -> None:
        assert run.ask("GET", "experiments/get-by-name", experiment_name="fruit").error[0] == "RESOURCE_DOES_NOT_EXIST"
        identifier = run.post("experiments/create", name="fruit")["experiment_id"]
        assert identifier == experiment_id("fruit")
        assert run.run()["experiment_id"] == identifier
        run.post("runs/update", run_id=run.id, status="RUNNING")
        # Looking at another one later moves nothing.
        run.get("experiments/get", experiment_id="0")
        assert run.run()["experiment_id"] == identifier
        found = run.post("runs/search", experiment_ids=[identifier])["runs"]
        assert [each["info"]["run_id"] for each in found] == [run.id]
        run.close()
        assert run.gateway.experiment == "fruit"

    def test_their_life(self, run: Joined) -> None:
        made = run.post("experiments/create", name="a b", tags=[{"key": "team", "value": "x"}])["experiment_id"]
        assert run.ask("POST", "experiments/create", name="a b").error[0] == "RESOURCE_ALREADY_EXISTS"
        run.post("experiments/update", experiment_id=made, new_name="c")
        run.post("experiments/set-experiment-tag", experiment_id=made, key="k", value="v")
        run.post("experiments/delete-experiment-tag", experiment_id=made, key="team")
        seen = run.get("experiments/get-by-name", experiment_name="c")["experiment"]
        assert (seen["experiment_id"], seen["tags"]) == (made, [{"key": "k", "value": "v"}])
        other = run.post("experiments/create", name="other")["experiment_id"]
        run.post("experiments/delete", experiment_id=made)
        assert run.get("experiments/get", experiment_id=made)["experiment"]["lifecycle_stage"] == "deleted"
        names = [each["name"] for each in run.post("experiments/search", view_type="ACTIVE_ONLY")["experiments"]]
        assert names == ["Default", "other"]
        run.post("experiments/restore", experiment_id=made)
        found = run.post("experiments/search", filter="tags.k = 'v' and name LIKE 'c%'", max_results=5)["experiments"]
        assert [each["experiment_id"] for each in found] == [made]
        assert run.ask("POST", "experiments/search", filter="size > 1").error[0] == "INVALID_PARAMETER_VALUE"
        run.get("experiments/get", experiment_id=other)
        assert run.ask("POST", "experiments/delete", experiment_id=other).status == 400

    def test_one_with_runs_is_not_renamed(self, run: Joined) -> None:
        made = run.post("experiments/create", name="fruit")["experiment_id"]
        run.post("runs/create", experiment_id=made)
        assert run.ask("POST", "experiments/update", experiment_id=made, new_name="x").error[0] == "NOT_IMPLEMENTED"

    @pytest.mark.parametrize("name", ["a\nb", "", "x" * 251])
    def test_names_that_cannot_be(self, run: Joined, name: str) -> None:
        assert run.ask("POST", "experiments/create", name=name).error[0] == "INVALID_PARAMETER_VALUE"


def test_histories_of_several_runs(run: Joined) -> None:
    points = [{"key": "loss", "value": step / 2, "timestamp": step + 1, "step": step} for step in range(100)]
    run.post("runs/log-batch", run_id=run.id, metrics=points)
    first = run.get("metrics/get-history", run_id=run.id, metric_key="loss", max_results=60)
    rest = run.get(
        "metrics/get-history", run_id=run.id, metric_key="loss", max_results=60, page_token=first["next_page_token"]
    )
    assert [each["step"] for each in first["metrics"] + rest["metrics"]] == list(range(100))
    bulk = run.get("metrics/get-history-bulk", run_id=[run.id], metric_key="loss", max_results=10)["metrics"]
    assert [(each["step"], each["run_id"]) for each in bulk] == [(step, run.id) for step in range(10)]
    thinned = run.get(
        "metrics/get-history-bulk-interval",
        run_ids=[run.id],
        metric_key="loss",
        max_results=10,
        start_step=0,
        end_step=99,
    )["metrics"]
    assert [each["step"] for each in thinned] == [*range(0, 100, 10), 99]
    bad = run.ask("GET", "metrics/get-history-bulk-interval", run_ids=[run.id], metric_key="loss", max_results=0)
    assert bad.error[0] == "INVALID_PARAMETER_VALUE"


def test_datasets_are_in_the_record(run: Joined) -> None:
    dataset = {"name": "wine", "digest": "abc", "source_type": "local", "source": '{"uri": "w.csv"}', "profile": "{}"}
    tags = [{"key": "mlflow.data.context", "value": "training"}, {"key": "fold", "value": "1"}]
    run.post("runs/log-inputs", run_id=run.id, datasets=[{"dataset": dataset, "tags": tags}])
    assert run.run()["inputs"]["dataset_inputs"] == [{"dataset": dataset, "tags": tags}]
    kept = run.close().datasets
    assert [(each.name, each.digest, each.context, each.tags) for each in kept] == [
        ("wine", "abc", "training", {"fold": "1"})
    ]


def test_sixty_four_threads_at_once(run: Joined) -> None:
    def log(thread: int) -> None:
        for step in range(20):
            run.post(
                "runs/log-metric", run_id=run.id, key=f"m{thread % 4}", value=step, timestamp=1 + step, step=thread
            )

    threads = [threading.Thread(target=log, args=(index,)) for index in range(64)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    run.close()
    assert sum(len(metric_history(run.live.store, run.id, f"m{index}")) for index in range(4)) == 64 * 20


def test_secrets_reach_no_file(join: Callable[..., Joined]) -> None:
    run = join(mask=lambda text: text.replace("hunter2", "***"))
    for _ in range(2):
        run.post("runs/log-parameter", run_id=run.id, key="password", value="it is hunter2")
    run.post("runs/set-tag", run_id=run.id, key="t", value="hunter2")
    tags = [{"key": "t", "value": "hunter2"}]
    child = str(
        run.post("runs/create", experiment_id="0", run_name="hunter2", user_id="hunter2", tags=tags)["run"]["info"][
            "run_id"
        ]
    )
    run.post("runs/log-parameter", run_id=child, key="password", value="hunter2")
    run.post("experiments/create", name="hunter2", tags=tags)
    run.post("logged-models", experiment_id="0", name="hunter2", params=tags, tags=tags)
    run.post("registered-models/create", name="hunter2", description="hunter2", tags=tags)
    run.post("model-versions/create", name="***", source="x", description="hunter2", tags=tags)
    trace = {"trace_info": {"trace_id": "tr-1", "request_preview": "hunter2", "tags": {"t": "hunter2"}}}
    run.http("POST", "api/3.0/mlflow/traces", json.dumps({"trace": trace}))
    dataset = {"name": "hunter2", "digest": "1", "source_type": "x", "source": "hunter2"}
    run.post("runs/log-inputs", run_id=run.id, datasets=[{"dataset": dataset}])
    run.close()
    for path in run.live.store.folder.rglob("*"):
        assert "hunter2" not in str(path)
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


@pytest.mark.parametrize("secret", ["1790", "points", "name", "value", "tags", "0.5"])
def test_a_secret_in_numbers_and_keys_costs_no_metric(join: Callable[..., Joined], secret: str) -> None:
    run = join(mask=lambda text: text.replace(secret, "***"))
    run.post("runs/log-metric", run_id=run.id, key="loss", value=0.5, timestamp=1790000000123, step=1790)
    run.post("runs/set-tag", run_id=run.id, key="a", value="b")
    record = run.close()
    assert (record.metrics, record.tags) == ({"loss": 0.5}, {"a": "b"})


def test_what_is_acknowledged_is_kept(run: Joined) -> None:
    wide = [{"key": f"p{index}", "value": "界" * 6000} for index in range(100)]
    run.post("runs/log-batch", run_id=run.id, params=wide)
    run.post("runs/log-batch", run_id=run.id, tags=[{**each, "value": "界" * 20_000} for each in wide])
    good = {"key": "loss", "value": 1.0, "timestamp": 1, "step": 0}
    for bad in ({"step": 1 << 63}, {"step": -(1 << 63)}, {"timestamp": 1 << 63}):
        reply = run.ask("POST", "runs/log-batch", run_id=run.id, metrics=[good, {**good, **bad}])
        assert reply.error[0] == "INVALID_PARAMETER_VALUE"
    record = run.close()
    assert len([name for name in record.parameters if name.startswith("p")]) == 100
    assert (len(record.tags), record.metrics, record.notices) == (100, {}, [])


def test_more_metrics_than_a_run_has_are_refused(run: Joined) -> None:
    for first in range(0, 10_000, 1000):
        metrics = [{"key": f"m{first + index}", "value": 1, "timestamp": 1, "step": 0} for index in range(1000)]
        run.post("runs/log-batch", run_id=run.id, metrics=metrics)
    reply = run.ask("POST", "runs/log-metric", run_id=run.id, key="another", value=1, timestamp=1, step=0)
    assert reply.error == ("INVALID_PARAMETER_VALUE", "This cannot be logged: more than 10000 different metrics")
    assert len(run.close().metrics) == 10_000


def test_filters_as_mlflow_documents_them(run: Joined) -> None:
    created = run.post("runs/create", experiment_id="0", run_name="kid", user_id="ann")["run"]["info"]["run_id"]
    run.post("runs/log-parameter", run_id=created, key="depth", value="3")

    def found(text: str) -> list[str]:
        return [each["info"]["run_id"] for each in run.post("runs/search", experiment_ids=["0"], filter=text)["runs"]]

    assert found("tags.mlflow.runName = 'kid'") == [created]
    assert found("tags.`mlflow.user` = 'ann' and params.depth = '3'") == [created]
    assert found(f"tags.mlflow.parentRunId = '{run.id}'") == [created]
    assert found("params.depth IS NOT NULL") == [created]
    assert found("params.depth IS NULL and status = 'RUNNING'") == [run.id]
    assert found("attributes.run_name = 'params.depth IS NULL'") == []


def test_looking_at_an_experiment_to_search_in_it_moves_nothing(run: Joined) -> None:
    made = run.post("experiments/create", name="baseline")["experiment_id"]
    run.post("runs/search", experiment_ids=[made])
    assert run.run()["experiment_id"] == "0"
    run.get("experiments/get-by-name", experiment_name="baseline")
    run.close()
    assert run.gateway.experiment is None
