"""``/api``: what it gives is what its description says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from mlproj.runs.changes import change_record
from mlproj.runs.store import open_store
from mlproj.web.calls import CALLS
from tests.web.conftest import Made, client_of


@pytest.fixture
def described(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/api/openapi.json").json()
    return answer


def test_the_description_is_valid_openapi(described: dict[str, Any]) -> None:
    validate(described)
    assert len(described["paths"]) == len({call.path for call in CALLS})


@pytest.mark.parametrize("call", [call for call in CALLS if call.method == "GET"], ids=lambda call: call.path)
def test_each_call_gives_what_its_description_says(
    client: TestClient, made: Made, described: dict[str, Any], call: Any
) -> None:
    query: dict[str, Any] = {
        "run": [made.id("plain"), made.id("fast")],
        "metric": "loss",
        "text": "epoch",
        "filter": "",
    }
    taken = {each["name"] for each in described["paths"][call.path]["get"]["parameters"] if each["in"] == "query"}
    answer = client.get(
        call.path.replace("{run}", made.id("plain")), params={name: query[name] for name in query if name in taken}
    )
    assert answer.status_code == 200, answer.text
    schema = described["paths"][call.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": described["components"]})


def test_runs_by_filter_and_order(client: TestClient) -> None:
    given = client.get("/api/runs", params={"filter": "has(params.lr)", "order_by": "-metrics.loss", "limit": 2}).json()
    assert given["total"] == 3
    assert [run["name"] for run in given["runs"]] == ["plain", "changed"]
    assert given["runs"][0]["params"]["lr"] == 0.1


def test_a_curve_whole_and_in_part(client: TestClient, made: Made) -> None:
    def curve(**query: Any) -> dict[str, Any]:
        found: dict[str, Any] = client.get(
            "/api/curves", params={"run": made.id("plain"), "metric": "loss", **query}
        ).json()["curves"][0]
        return found

    assert curve()["steps"] == list(range(30))
    assert curve(since=10, until=12)["steps"] == [10, 11, 12]
    assert curve(points=4)["total"] == 30
    assert curve(metric="none")["steps"] == []


@pytest.mark.parametrize(
    "address",
    [
        *("/api/runs?filter=x+%3D", "/api/runs?limit=0", "/api/runs?offset=-1", "/api/runs?limit=x", "/api/curves"),
        *(
            "/api/curves?run=x&metric=loss&axis=no",
            "/api/compare",
            "/api/runs/RUN/log?from=x",
            "/api/runs/RUN/log/find",
        ),
        *("/api/runs?limit=99999999999999999999999", "/api/runs?order_by=nonsense"),
    ],
)
def test_what_cannot_be_asked_is_a_clear_error(client: TestClient, made: Made, address: str) -> None:
    answer = client.get(address.replace("RUN", made.id("plain")))
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    client = client_of(tmp_path / "none")
    assert client.get("/api/runs").json() == {"total": 0, "runs": []}
    assert client.get("/api/runs/@last").status_code == 404


def test_changes_by_a_program(copy_of: Made) -> None:
    client, run_id = client_of(copy_of.home), copy_of.id("plain")
    given = client.post(f"/api/runs/{run_id}/tag", json={"tag": "stage", "value": "draft"}).json()
    assert given["tags"] == {"stage": "draft"}
    assert client.post(f"/api/runs/{run_id}/delete", json={}).json()["deleted_at"]
    assert client.post(f"/api/runs/{run_id}/restore", json={}).json()["deleted_at"] is None
    assert client.post(f"/api/runs/{run_id}/stop", json={}).json()["error"].endswith("is not running: it is finished")
    assert client.post(f"/api/runs/{run_id}/tag", json={"tag": 7}).status_code == 400
    assert client.post(f"/api/runs/{run_id}/tag", json=[]).status_code == 400
    refused = client.post(f"/api/runs/{run_id}/tag", content=b"{", headers={"content-type": "application/json"})
    assert refused.json() == {"error": "The body is not JSON.", "hint": None}


def test_what_is_no_text_is_refused_and_what_is_there_does_no_harm(copy_of: Made) -> None:
    run_id, client = copy_of.id("plain"), client_of(copy_of.home)
    refused = client.post(
        f"/api/runs/{run_id}/tag",
        content=b'{"tag": "\\ud800", "value": "x"}',
        headers={"content-type": "application/json"},
    )
    assert refused.status_code == 400
    change_record(open_store(copy_of.home), run_id, lambda record: replace(record, tags={"\udcff": "\ud800"}))
    assert client.get(f"/api/runs/{run_id}").json()["tags"] == {"\udcff": "\ud800"}
    assert client.get(f"/runs/{run_id}").status_code == 200
