"""Real MLflow clients of four versions, each in an environment of its own, in entry points of real runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SCRIPTS = Path(__file__).parent / "clients"
VERSIONS = ["1.30", "2.9", "2.22", "3"]


@pytest.fixture
def session(mlproj: Any, project: Any, python_of: Callable[[str], Path]) -> Callable[..., tuple[dict[str, Any], Any]]:
    """Run one of the sessions by a version's client: the run's record, and what the session printed."""

    def run(version: str, script: str, *arguments: str) -> tuple[dict[str, Any], Any]:
        words = json.dumps([str(python_of(version)), str(_SCRIPTS / f"{script}.py"), *arguments])
        folder = project(
            "name: fruit\nenvironment: {system: {}}\n"
            f"entry_points: {{main: {{command: {words}, parameters: {{alpha: {{type: float, default: 0.1}}}}}}}}\n"
        )
        done = mlproj("run", folder, "--json")
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        log = mlproj("logs", record["id"]).stdout
        return record, json.loads(next(line for line in reversed(log.splitlines()) if line.startswith(("{", "["))))

    return run


def shown(mlproj: Any, run_id: str) -> dict[str, Any]:
    return dict(json.loads(mlproj("show", run_id, "--json").stdout))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_script_logs_into_its_run(session: Any, mlproj: Any, version: str) -> None:
    record, found = session(version, "logging_session")
    assert found["version"].startswith(version)
    assert found["joined"]
    assert found["refused"][0] == "INVALID_PARAMETER_VALUE"
    assert "Changing param values is not allowed. Param with key='alpha'" in found["refused"][1]
    assert found["params"] == {"alpha": "0.1", "depth": "3", "names": "['a', 'b']"}
    assert found["history"] == [[step, 1 / (step + 1)] for step in range(5)]
    assert found["status"] == "FINISHED"
    assert found["artifacts"] == [["folder", True, None], ["notes", True, None], ["text.txt", False, 4]]
    assert (found["text"], found["downloaded"]) == ("text", ["some.json"])
    assert found["searched"] == [record["id"]]
    assert found["deleted"] == "deleted"
    # The record: what was declared has kept its type, and what was logged is there.
    assert record["parameters"] == {"alpha": 0.1, "depth": "3", "names": "['a', 'b']"}
    assert (record["status"], record["experiment"], record["tags"]["team"]) == ("finished", "fruit", "blue")
    assert "gone" not in record["tags"]
    assert (record["metrics"]["loss"], record["metrics"]["nan"], record["metrics"]["up"]) == (0.2, "nan", "inf")
    assert record["metrics"].get("async") == (None if version == "1.30" else 19)
    kept = [each["path"] for output in record["outputs"] for each in output["files"]]
    assert kept == ["folder/some.json", "notes/note.txt", "text.txt"]
    # The others are children in the store.
    child, second, direct = (shown(mlproj, found[name]) for name in ("child", "second", "direct"))
    assert {each["parent"] for each in (child, second, direct)} == {record["id"]}
    assert found["child"] in found["nested"]
    assert (child["metrics"], second["parameters"], second["metrics"]) == ({"fold": 1}, {"alpha": "7"}, {"late": 1})
    assert [child["status"], second["status"], direct["status"]] == ["finished", "finished", "killed"]
    assert [each["path"] for each in child["outputs"][0]["files"]] == ["child.txt"]


@pytest.mark.parametrize("version", VERSIONS)
def test_autologging_models_and_what_else_there_is(session: Any, version: str) -> None:
    record, found = session(version, "model_session")
    assert found["autolog"] == [True, "0.1", "cyclic"]
    assert found["within"] == [True, True]
    assert (found["registered"], found["alias"]) == (True, True)
    kept = {each["path"] for output in record["outputs"] for each in output["files"]}
    assert {"mine/MLmodel", "model/MLmodel"} <= kept
    models = {each["id"]: each for each in record["models"]}
    assert models["wine/1"]["version"] == "1"
    assert {"model", "mine"} <= {each["path"] for each in models.values()}
    assert any("registered in this store only" in each for each in record["notices"])
    if version != "1.30":
        assert found["table"] == [1, 2, 3]
        assert ["fruit", "training"] in found["datasets"]
        assert {"figure.png", "image.png", "table.json"} <= kept
        assert "fruit" in {each["name"] for each in record["datasets"]}
    if version in ("2.22", "3"):
        assert found["trace"] == ["squared", 1]
    if version == "3":
        assert found["xgboost"] == 3
        assert found["models"] == ["mine", "model", "model"]
    # After the run, from within another one.
    uris = [f"runs:/{record['id']}/mine", "models:/wine/1", *([found["uri"]] if version == "3" else [])]
    _, loaded = session(version, "load_later", *uris)
    assert all(each == loaded[0] for each in loaded)
