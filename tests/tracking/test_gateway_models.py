"""Logged models, registered models and traces, by the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlproj.runs.store import load
from tests.tracking.conftest import Joined


def model(run: Joined, name: str = "model", **fields: Any) -> dict[str, Any]:
    made = run.post("logged-models", experiment_id="0", name=name, source_run_id=run.id, **fields)["model"]
    return dict(made["info"])


class TestLoggedModels:
    def test_its_files_are_the_runs_artifacts(self, run: Joined) -> None:
        info = model(run, model_type="tree", params=[{"key": "depth", "value": "3"}], tags=[{"key": "a", "value": "b"}])
        assert (info["status"], info["source_run_id"]) == ("LOGGED_MODEL_PENDING", run.id)
        where = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
        run.http("PUT", f"api/2.0/mlflow-artifacts/artifacts/{where}/MLmodel", b"flavors")
        assert (run.artifacts / "model" / "MLmodel").read_bytes() == b"flavors"
        path = f"logged-models/{info['model_id']}"
        assert run.get(f"{path}/artifacts/directories")["files"] == [
            {"path": "MLmodel", "is_dir": False, "file_size": 7}
        ]
        done = run.ask("PATCH", path, status="LOGGED_MODEL_READY").json["model"]
        assert done["info"]["status"] == "LOGGED_MODEL_READY"
        assert done["data"]["params"] == [{"key": "depth", "value": "3"}]
        assert run.run()["outputs"]["model_outputs"] == [{"model_id": info["model_id"], "step": 0}]
        kept = run.close().models
        assert [(each.id, each.name, each.path) for each in kept] == [(info["model_id"], "model", "model")]

    def test_two_of_one_name_have_a_folder_each(self, run: Joined) -> None:
        run.http("PUT", f"api/2.0/mlflow-artifacts/artifacts/0/{run.id}/artifacts/other", b"")
        paths = [model(run, name)["model_id"] for name in ("model", "model", "other")]
        assert len(set(paths)) == 3
        assert [each.path for each in run.close().models] == ["model", "model~2", "other~2"]

    def test_changing_and_finding_them(self, run: Joined) -> None:
        first, second = model(run, "one"), model(run, "two")
        run.ask("PATCH", f"logged-models/{first['model_id']}/tags", tags=[{"key": "stage", "value": "good"}])
        run.post(f"logged-models/{second['model_id']}/params", params=[{"key": "depth", "value": "7"}])
        run.post(
            "runs/log-metric", run_id=run.id, key="acc", value=0.5, timestamp=1, step=2, model_id=first["model_id"]
        )
        batch = [{"key": "acc", "value": 0.9, "timestamp": 1, "step": 2, "model_id": second["model_id"]}]
        run.post("runs/log-batch", run_id=run.id, metrics=batch)

        def found(text: str = "", **fields: Any) -> list[str]:
            answer = run.post("logged-models/search", experiment_ids=["0"], filter=text, **fields)
            return [each["info"]["name"] for each in answer["models"]]

        assert found("tags.stage = 'good'") == ["one"]
        assert found("params.depth = '7' and metrics.acc > 0.5") == ["two"]
        assert found("name = 'one' or name ILIKE 'TW%'") == ["two", "one"]
        assert found(order_by=[{"field_name": "metrics.acc", "ascending": True}]) == ["one", "two"]
        assert found(order_by=[{"field_name": "metrics.acc", "ascending": False}]) == ["two", "one"]
        assert run.post("logged-models/search", experiment_ids=["0"], max_results=1)["next_page_token"] == "1"
        assert run.ask("POST", "logged-models/search", experiment_ids=["0"], filter="size = 1").status == 400
        assert run.ask("DELETE", f"logged-models/{first['model_id']}/tags/stage").status == 200
        assert run.ask("DELETE", f"logged-models/{first['model_id']}/tags/stage").status == 404
        assert run.ask("DELETE", f"logged-models/{first['model_id']}").status == 200
        assert found() == ["two"]

    @pytest.mark.parametrize("name", ["a/b", "..", "a:b", 'a"b', "a%b"])
    def test_names_that_cannot_be(self, run: Joined, name: str) -> None:
        assert run.ask("POST", "logged-models", experiment_id="0", name=name).error[0] == "INVALID_PARAMETER_VALUE"

    @pytest.mark.parametrize("model_id", ["m-", "m-..", "m-" + "0" * 40, "x", "m-%2e%2e%2f" + "0" * 32])
    def test_ids_that_are_none(self, run: Joined, model_id: str) -> None:
        assert run.ask("GET", f"logged-models/{model_id}").status == 404

    def test_clients_before_3_tell_of_theirs(self, run: Joined) -> None:
        for name in ("model", "second"):
            told = json.dumps(
                {"artifact_path": name, "flavors": {"sklearn": {}, "python_function": {}}, "run_id": run.id}
            )
            run.post("runs/log-model", run_id=run.id, model_json=told)
        history = json.loads(run.run()["tags"]["mlflow.log-model.history"])
        assert [each["artifact_path"] for each in history] == ["model", "second"]
        kept = run.close().models
        assert [(each.path, each.flavors) for each in kept] == [
            (name, ["python_function", "sklearn"]) for name in ("model", "second")
        ]

    def test_metrics_of_models(self, run: Joined) -> None:
        made = model(run)["model_id"]
        child = str(run.post("runs/create", experiment_id="0")["run"]["info"]["run_id"])
        for step in range(3):
            batch = [{"key": "loss", "value": "NaN", "timestamp": 5 + step, "step": step, "model_id": made}]
            run.post("runs/log-batch", run_id=child, metrics=batch)
        (metric,) = run.get(f"logged-models/{made}")["model"]["data"]["metrics"]
        assert (metric["value"], metric["step"], metric["run_id"]) == ("NaN", 2, child)


class TestRegistry:
    def test_versions_aliases_and_stages(self, run: Joined) -> None:
        run.post("registered-models/create", name="wine", tags=[{"key": "a", "value": "b"}], description="red")
        assert run.ask("POST", "registered-models/create", name="wine").error[0] == "RESOURCE_ALREADY_EXISTS"
        source = f"mlflow-artifacts:/0/{run.id}/artifacts/model"
        for number in ("1", "2"):
            made = run.post("model-versions/create", name="wine", source=source, run_id=run.id)["model_version"]
            assert (made["version"], made["status"]) == (number, "READY")
        run.post("registered-models/alias", name="wine", alias="champion", version="2")
        assert run.get("registered-models/alias", name="wine", alias="champion")["model_version"]["version"] == "2"
        assert run.get("model-versions/get", name="wine", version="2")["model_version"]["aliases"] == ["champion"]
        run.post("model-versions/transition-stage", name="wine", version="1", stage="staging")
        run.post(
            "model-versions/transition-stage", name="wine", version="2", stage="Staging", archive_existing_versions=True
        )
        latest = run.post("registered-models/get-latest-versions", name="wine", stages=["Staging"])["model_versions"]
        assert [each["version"] for each in latest] == ["2"]
        assert run.get("model-versions/get-download-uri", name="wine", version="1")["artifact_uri"] == source
        run.post("model-versions/set-tag", name="wine", version="1", key="ok", value="yes")
        found = run.get("model-versions/search", filter="name='wine' and tags.ok = 'yes'")["model_versions"]
        assert [each["version"] for each in found] == ["1"]
        assert run.ask("DELETE", "model-versions/delete", name="wine", version="2").status == 200
        assert run.ask("GET", "registered-models/alias", name="wine", alias="champion").status == 400
        # The number of a version that is gone is not given again.
        assert run.post("model-versions/create", name="wine", source=source)["model_version"]["version"] == "3"
        run.post("registered-models/rename", name="wine", new_name="port")
        assert run.get("registered-models/search")["registered_models"][0]["name"] == "port"
        record = run.close()
        assert [each.id for each in record.models] == ["wine/1", "wine/2", "wine/3"]
        assert any("registered in this store only" in each for each in run.gateway.notices)

    def test_it_is_the_stores_and_outlives_the_run(self, run: Joined, join: Callable[..., Joined]) -> None:
        made = model(run)
        run.post("registered-models/create", name="wine")
        run.post("model-versions/create", name="wine", source=f"models:/{made['model_id']}", run_id=run.id)
        run.close()
        other = join()
        where = other.get("model-versions/get-download-uri", name="wine", version="1")["artifact_uri"]
        assert where == f"mlflow-artifacts:/0/models/{made['model_id']}/artifacts"

    @pytest.mark.parametrize("name", ["a/b", "a:b", "a\nb", "x" * 201])
    def test_names_that_cannot_be(self, run: Joined, name: str) -> None:
        run.post("registered-models/create", name="界" * 100)
        assert run.ask("POST", "registered-models/create", name=name).status == 400
        assert run.ask("POST", "registered-models/rename", name="界" * 100, new_name=name).status == 400

    @pytest.mark.parametrize(
        ("method", "path", "fields"),
        [
            ("GET", "registered-models/get", {"name": "../x"}),
            ("GET", "model-versions/get", {"name": "none", "version": "1"}),
            ("POST", "model-versions/create", {"name": "none", "source": "x"}),
            ("DELETE", "registered-models/delete", {"name": "none"}),
        ],
    )
    def test_what_is_not_there(self, run: Joined, method: str, path: str, fields: dict[str, str]) -> None:
        assert run.ask(method, path, **fields).error[0] == "RESOURCE_DOES_NOT_EXIST"


class TestTraces:
    def test_one_of_a_client_since_3(self, run: Joined) -> None:
        info = {
            "trace_id": "tr-1",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
            "request_time": "2026-11-21T10:00:00Z",
            "state": "OK",
            "tags": {"mlflow.traceName": "f"},
        }
        body = json.dumps({"trace": {"trace_info": info}})
        sent = run.http("POST", "api/3.0/mlflow/traces", body).json["trace"]["trace_info"]
        where = sent["tags"]["mlflow.artifactLocation"].removeprefix("mlflow-artifacts:/")
        assert run.http("PUT", f"api/2.0/mlflow-artifacts/artifacts/{where}/traces.json", b"{}").status == 200
        assert run.get("traces/tr-1")["trace"]["trace_info"]["state"] == "OK"
        found = run.http(
            "POST", "api/3.0/mlflow/traces/search", json.dumps({"filter": "tags.`mlflow.traceName` = 'f'"})
        )
        assert [each["trace_id"] for each in found.json["traces"]] == ["tr-1"]
        run.ask("PATCH", "traces/tr-1/tags", key="good", value="yes")
        assert run.get("traces/tr-1/info")["trace_info"]["tags"]["good"] == "yes"
        kept = run.close()
        assert (run.artifacts / "traces" / "tr-1" / "traces.json").read_bytes() == b"{}"
        assert load(run.live.store, run.id) == kept

    def test_one_of_a_client_before(self, run: Joined) -> None:
        begun = run.post("traces", experiment_id="0", timestamp_ms=1000, tags=[{"key": "a", "value": "b"}])[
            "trace_info"
        ]
        path = f"traces/{begun['request_id']}"
        ended = run.ask("PATCH", path, timestamp_ms=1500, status="OK", tags=[{"key": "c", "value": "d"}]).json[
            "trace_info"
        ]
        assert (ended["status"], ended["execution_time_ms"]) == ("OK", 500)
        assert {"key": "c", "value": "d"} in run.get(f"{path}/info")["trace_info"]["tags"]
        assert run.post("traces/delete-traces", experiment_id="0", request_ids=[begun["request_id"], "none"]) == {
            "traces_deleted": 1
        }

    def test_ids_that_lead_elsewhere(self, run: Joined) -> None:
        for trace_id in ("..", "../../x", "a/b", ""):
            body = json.dumps({"trace": {"trace_info": {"trace_id": trace_id}}})
            assert run.http("POST", "api/3.0/mlflow/traces", body).status == 400
