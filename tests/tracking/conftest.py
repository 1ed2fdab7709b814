"""A gateway that is really listening, for a run that is really in a store, and what clients send it over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from mlproj.runs.intake import Intake, open_intake
from mlproj.runs.record import RunRecord
from mlproj.runs.store import LiveRun, begin, finish, load, new_run_id, open_store
from mlproj.runs.totals import with_totals
from mlproj.tracking.gateway.listener import Gateway, JoinedRun, close_gateway, open_gateway

API = "api/2.0/mlflow"


@dataclass
class Reply:
    """What came back: HTTP status, headers, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[str, str]:
        """MLflow's code and message of a call that failed."""
        assert self.status >= 400, self.body
        return self.json["error_code"], self.json["message"]


@dataclass
class Joined:
    """A run with its gateway open."""

    live: LiveRun
    record: RunRecord
    intake: Intake
    gateway: Gateway
    closed: list[RunRecord] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.live.id

    @property
    def artifacts(self) -> Path:
        """Where the run's artifacts are."""
        return self.live.files.artifacts

    def http(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request to an address below the token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        try:
            connection.request(method, f"/{self.gateway.token}/{path}", body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def ask(self, method: str, path: str, client: str = "", /, **fields: Any) -> Reply:
        """One call of MLflow's protocol, as its Python client of a version would make it."""
        headers = {"user-agent": f"mlflow-python-client/{client}"} if client else {}
        if method == "GET":
            query = urlencode(fields, doseq=True)
            return self.http(method, f"{API}/{path}?{query}", headers=headers)
        return self.http(method, f"{API}/{path}", json.dumps(fields), headers)

    def get(self, path: str, /, **fields: Any) -> Any:
        """A call that reads, and succeeds."""
        reply = self.ask("GET", path, **fields)
        assert reply.status == 200, reply.body
        return reply.json

    def post(self, path: str, /, **fields: Any) -> Any:
        """A call that changes something, and succeeds."""
        reply = self.ask("POST", path, **fields)
        assert reply.status == 200, reply.body
        return reply.json

    def run(self, run_id: str | None = None) -> dict[str, Any]:
        """A run as a client reads it, its pairs as mappings."""
        message = self.get("runs/get", run_id=run_id or self.id)["run"]
        data = message["data"]
        return {
            **message["info"],
            "params": {each["key"]: each["value"] for each in data["params"]},
            "tags": {each["key"]: each["value"] for each in data["tags"]},
            "metrics": {each["key"]: each["value"] for each in data["metrics"]},
            "inputs": message["inputs"],
            "outputs": message["outputs"],
        }

    def close(self) -> RunRecord:
        """End the run, as its runner does, and give its record."""
        if not self.closed:
            close_gateway(self.gateway)
            record = replace(with_totals(self.record, self.intake.close()), status="finished")
            finish(self.live, record)
            self.closed.append(load(self.live.store, self.id))
        return self.closed[0]


@pytest.fixture
def join(own_home: Path) -> Iterator[Callable[..., Joined]]:
    """Begin a run and open its gateway."""
    opened: list[Joined] = []

    def join_run(mask: Any = None, **fields: Any) -> Joined:
        store = open_store(own_home)
        begun = {"project": "wine", "entry_point": "train", "experiment": "default"}
        started = "2026-11-21T10:00:00.000Z"
        record = RunRecord(id=new_run_id(store), started_at=started, **{**begun, **fields})
        live = begin(store, record)
        intake = open_intake(store, live.id, live.files.metrics)
        opened.append(Joined(live, record, intake, open_gateway(JoinedRun(live, record, intake, mask))))
        return opened[-1]

    yield join_run
    for each in opened:
        each.close()


@pytest.fixture
def run(join: Callable[..., Joined]) -> Joined:
    """A run with two declared parameters."""
    return join(parameters={"alpha": 0.1, "flag": True})
