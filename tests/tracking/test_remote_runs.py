"""Runs that are on a real MLflow server too: live, after trouble, and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.runs.store import open_store
from mlproj.tracking.remote.state import unsent
from tests.docker_engine import PYTHON_IMAGE
from tests.mlflow_server import ADMIN, MlflowServer, Relay

# What a script does that knows of no server: it leaves metrics, parameters, tags and files by mlproj's own means.
PLAIN = """
import json, os, sys, time
from pathlib import Path

def log(**line):
    with open(os.environ["MLPROJ_METRICS"], "a") as stream:
        stream.write(json.dumps(line) + "\\n")

def wait(name):
    print("at", name, flush=True)
    while not Path(name).exists():
        time.sleep(0.02)
"""
LOGS = """
for step in range(50):
    log(name="loss", value=1 / (step + 1), step=step)
log(param="depth", value=3)
log(tag="team", value="blue")
Path("model").mkdir(exist_ok=True)
Path("model/weights.txt").write_text("weights")
"""
# A client that gives up soon, so that the tests of servers in trouble do.
HASTY = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture
def script(project: Any) -> Callable[..., Path]:
    """A project whose entry point does this, with this Python or another."""

    def write(body: str, python: Path | str = sys.executable, more: str = "", prelude: str = PLAIN) -> Path:
        command = json.dumps([str(python), "-u", "script.py"])
        folder: Path = project(
            f"name: wine\nenvironment: {{system: {{}}}}\n{more}"
            f"entry_points:\n  main:\n    command: {command}\n    parameters: {{alpha: {{type: float, default: 0.1}}}}\n"
            "    outputs: {model: {path: model/, optional: true}}\n"
        )
        (folder / "script.py").write_text(prelude + body)
        return folder

    return write


@pytest.fixture
def start(own_home: Path) -> Any:
    """Start the command line in a process of its own, which is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str | Path, env: Any = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mlproj", *map(str, words)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, env={**os.environ, **(env or {})}, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def shown(mlproj: Any, name: str = "@last") -> dict[str, Any]:
    return dict(json.loads(mlproj("show", name, "--json").stdout))


def there(server: MlflowServer, record: dict[str, Any]) -> Any:
    """The run's counterpart on the server."""
    return server.client().get_run(record["tracking"]["run_id"])


def history(server: MlflowServer, record: dict[str, Any], name: str) -> list[tuple[int, float]]:
    points = server.client().get_metric_history(record["tracking"]["run_id"], name)
    return [(each.step, each.value) for each in points]


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


LOSS = [(step, 1 / (step + 1)) for step in range(50)]


def test_a_run_is_in_the_store_and_on_the_server(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    folder = script(LOGS)
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    done = mlproj("run", folder, "--tracking-uri", mlflow_server.uri, "--name", "first", "--experiment", "red")
    assert done.returncode == 0, done.stderr
    record = shown(mlproj)
    assert record["tracking"]["uri"] == mlflow_server.uri
    assert record["tracking"]["sent"] is True
    assert f"also {mlflow_server.uri}/#/experiments/" in done.stderr
    seen = there(mlflow_server, record)
    assert (seen.info.status, seen.info.run_name) == ("FINISHED", "first")
    assert mlflow_server.client().get_experiment(seen.info.experiment_id).name == "red"
    assert seen.data.params == {"alpha": "0.1", "depth": "3"}
    assert history(mlflow_server, record, "loss") == LOSS
    tags = seen.data.tags
    assert (tags["team"], tags["mlproj.run_id"]) == ("blue", record["id"])
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == (str(folder), "PROJECT")
    assert (tags["mlflow.project.entryPoint"], tags["mlflow.project.backend"]) == ("main", "local")
    assert tags["mlflow.user"] == record["user"]
    client = mlflow_server.client()
    assert [each.path for each in client.list_artifacts(seen.info.run_id, "model")] == ["model/weights.txt"]


CLIENT = """
import os, mlflow, pandas
print(os.environ["MLFLOW_TRACKING_URI"])
with mlflow.start_run() as run:
    for step in range(30):
        mlflow.log_metric("accuracy", step / 30, step=step)
    mlflow.log_param("trees", 7)
    mlflow.set_tag("stage", "trial")
    mlflow.log_text("text", "notes/one.txt")
    mlflow.log_input(mlflow.data.from_pandas(pandas.DataFrame({"a": [1, 2]}), name="grapes"), context="training")
    with mlflow.start_run(nested=True, run_name="fold"):
        mlflow.log_metric("score", 0.5)
"""


@pytest.mark.parametrize("version", ["2.22", "3"])
def test_a_client_in_the_run_speaks_to_the_server_itself(
    script: Any, mlproj: Any, mlflow_server: MlflowServer, python_of: Any, version: str
) -> None:
    folder = script(CLIENT + LOGS, python_of(version))
    done = mlproj("run", folder, "--tracking-uri", mlflow_server.uri)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(mlflow_server.uri)
    record = shown(mlproj)
    assert record["metrics"] == {"accuracy": 29 / 30, "loss": 1 / 50}
    assert record["parameters"] == {"alpha": 0.1, "trees": "7", "depth": 3}
    assert record["tags"] == {"stage": "trial", "team": "blue"}
    assert [(each["name"], each["context"]) for each in record["datasets"]] == [("grapes", "training")]
    kept = {each["path"] for output in record["outputs"] for each in output["files"]}
    assert {"notes/one.txt", "model/weights.txt"} <= kept
    (child,) = json.loads(mlproj("runs", "--filter", f"parent = {record['id']}", "--json").stdout)
    assert (child["name"], child["metrics"], child["status"]) == ("fold", {"score": 0.5}, "finished")
    # Nothing comes back as something new.
    assert history(mlflow_server, record, "loss") == LOSS
    assert [step for step, _ in history(mlflow_server, record, "accuracy")] == list(range(30))
    again = mlproj("sync", "@last")
    assert again.returncode == 0, again.stderr
    assert shown(mlproj)["metrics"] == record["metrics"]
    assert len(history(mlflow_server, record, "loss")) == 50


def test_an_older_server(script: Any, mlproj: Any, older_server: MlflowServer, python_of: Any) -> None:
    folder = script(CLIENT + LOGS, python_of("2.22"))
    done = mlproj("run", folder, "--tracking-uri", older_server.uri)
    assert done.returncode == 0, done.stderr
    record = shown(mlproj)
    assert record["tracking"]["sent"], done.stderr
    kept = {each["path"] for output in record["outputs"] for each in output["files"]}
    assert {"notes/one.txt", "model/weights.txt"} <= kept
    assert history(older_server, record, "loss") == LOSS
    elsewhere = {"MLPROJ_HOME": str(folder.parent / "elsewhere")}
    assert mlproj("import-mlflow", older_server.uri, env=elsewhere).stdout.startswith("2 new runs")


def test_what_is_logged_is_there_while_the_run_goes_on(
    script: Any, start: Any, mlproj: Any, mlflow_server: MlflowServer
) -> None:
    folder = script(LOGS + "wait('go')")
    runner = start("run", folder, "--tracking-uri", mlflow_server.uri)
    assert runner.stdout.readline() == "at go\n"
    record = shown(mlproj)
    until(lambda: history(mlflow_server, record, "loss") == LOSS)
    until(lambda: there(mlflow_server, record).data.params.get("depth") == "3")
    assert there(mlflow_server, record).info.status == "RUNNING"
    assert mlproj("sync", "@last").returncode == 125
    (folder / "go").touch()
    assert runner.wait(60) == 0


def test_how_it_ended_is_told(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    failed = mlproj("run", script("sys.exit(3)"), "--tracking-uri", mlflow_server.uri)
    assert failed.returncode == 3
    assert there(mlflow_server, shown(mlproj)).info.status == "FAILED"
    unbuilt = script("", more="environments: {none: {virtualenv: {dependencies: ['no-such-package-at-all']}}}\n")
    manifest = (unbuilt / "mlproj.yaml").read_text().replace("environment: {system: {}}", "environment: none")
    (unbuilt / "mlproj.yaml").write_text(manifest)
    assert mlproj("run", unbuilt, "--tracking-uri", mlflow_server.uri).returncode == 125
    assert there(mlflow_server, shown(mlproj)).info.status == "FAILED"


@pytest.mark.parametrize("answer", [401, 429, 500, None])
def test_a_server_in_trouble_does_not_keep_a_run(
    script: Any, mlproj: Any, mlflow_server: MlflowServer, relay_to: Any, answer: int | None, own_home: Path
) -> None:
    relay: Relay = relay_to(mlflow_server)
    relay.answer = answer
    if answer is None:
        relay.held.set()  # it takes what it is asked, and never answers
    done = mlproj("run", script(LOGS), "--tracking-uri", relay.uri, env=HASTY)
    assert done.returncode == 0
    assert "the run goes on" in done.stderr
    assert "`mlproj sync" in done.stderr
    if answer == 401:
        assert "MLFLOW_TRACKING_USERNAME" in done.stderr
    record = shown(mlproj)
    assert (record["status"], record["metrics"]["loss"], record["tracking"]["run_id"]) == ("finished", 1 / 50, None)
    assert "(it has not been told yet" in mlproj("show").stdout
    still = mlproj("sync", "--all", env=HASTY)
    assert still.returncode == 125
    relay.answer = None
    relay.held.clear()
    assert mlproj("sync", "--all").returncode == 0
    record = shown(mlproj)
    assert history(mlflow_server, record, "loss") == LOSS
    assert there(mlflow_server, record).info.status == "FINISHED"
    assert mlproj("sync", "--all").stdout == "nothing is left to send\n"
    assert unsent(open_store(own_home)) == []


def test_nobody_listens_at_the_uri(script: Any, mlproj: Any) -> None:
    done = mlproj("run", script(LOGS), "--tracking-uri", "http://127.0.0.1:1", env=HASTY)
    assert done.returncode == 0
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_goes_away_while_the_run_goes_on(
    script: Any, start: Any, mlproj: Any, mlflow_server: MlflowServer, relay_to: Any
) -> None:
    relay: Relay = relay_to(mlflow_server)
    more = "for step in range(50, 80): log(name='loss', value=1 / (step + 1), step=step)\n"
    folder = script(LOGS + "wait('go')\n" + more)
    runner = start("run", folder, "--tracking-uri", relay.uri, env=HASTY)
    assert runner.stdout.readline() == "at go\n"
    record = shown(mlproj)
    until(lambda: history(mlflow_server, record, "loss") == LOSS)
    relay.answer = 500
    (folder / "go").touch()
    _, told = runner.communicate(timeout=60)
    assert runner.returncode == 0
    assert "`mlproj sync" in told
    assert shown(mlproj)["metrics"]["loss"] == 1 / 80
    relay.answer = None
    assert mlproj("sync", "@last").returncode == 0
    assert history(mlflow_server, record, "loss") == [(step, 1 / (step + 1)) for step in range(80)]
    assert there(mlflow_server, record).info.status == "FINISHED"


def test_sync_is_cut_off_at_every_request(script: Any, mlproj: Any, mlflow_server: MlflowServer, relay_to: Any) -> None:
    relay: Relay = relay_to(mlflow_server)
    relay.answer = 500
    assert mlproj("run", script(LOGS), "--tracking-uri", relay.uri, env=HASTY).returncode == 0
    relay.answer, tried = None, 0
    while True:
        relay.fails_after = tried
        done = mlproj("sync", "@last", env=HASTY)
        if done.returncode == 0:
            break
        tried += 2
        assert tried < 60, done.stderr
    assert tried > 2
    relay.fails_after, relay.answer = None, None
    record = shown(mlproj)
    assert history(mlflow_server, record, "loss") == LOSS
    found = mlflow_server.client().search_runs(["0"], f"tags.`mlproj.run_id` = '{record['id']}'")
    assert len(found) == 1


def test_sync_is_killed(script: Any, start: Any, mlproj: Any, mlflow_server: MlflowServer, relay_to: Any) -> None:
    relay: Relay = relay_to(mlflow_server)
    relay.answer = 500
    assert mlproj("run", script(LOGS), "--tracking-uri", relay.uri, env=HASTY).returncode == 0
    relay.answer = None
    for request in ("POST /api/2.0/mlflow/runs/create", "POST /api/2.0/mlflow/runs/log-batch"):
        relay.asked.clear()
        process = start("sync", "@last")
        until(lambda request=request: request in relay.asked)
        process.kill()
        process.wait()
    assert mlproj("sync", "@last").returncode == 0
    record = shown(mlproj)
    assert history(mlflow_server, record, "loss") == LOSS
    assert len(mlflow_server.client().search_runs(["0"], f"tags.`mlproj.run_id` = '{record['id']}'")) == 1


def test_mlproj_is_killed(script: Any, start: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    runner = start("run", script(LOGS + "wait('go')"), "--tracking-uri", mlflow_server.uri)
    assert runner.stdout.readline() == "at go\n"
    record = shown(mlproj)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert mlproj("show", record["id"], "--json").stdout.count('"lost"') == 1
    done = mlproj("sync", "--all")
    assert done.returncode == 0, done.stderr
    assert there(mlflow_server, record).info.status == "KILLED"
    assert history(mlflow_server, record, "loss") == LOSS


def test_what_the_server_will_not_have_is_said(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    body = "log(name='a:b#c', value=1)\nlog(name='fine', value=2)\nlog(param='long', value='x' * 7000)\n"
    done = mlproj("run", script(body), "--tracking-uri", mlflow_server.uri)
    assert done.returncode == 0
    record = shown(mlproj)
    assert record["tracking"]["sent"]
    seen = there(mlflow_server, record)
    assert seen.data.metrics == {"fine": 2.0}
    assert any("not on both sides: the metric a:b#c" in each for each in record["notices"])
    # MLflow's client cuts long texts.
    assert set(seen.data.params["long"]) == {"x"}


def test_tags_that_change_on_either_side(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    assert mlproj("run", script(LOGS), "--tracking-uri", mlflow_server.uri).returncode == 0
    record = shown(mlproj)
    client, run_id = mlflow_server.client(), record["tracking"]["run_id"]
    client.set_tag(run_id, "reviewed", "yes")
    assert mlproj("tag", "@last", "owner=me").returncode == 0
    assert mlproj("tag", "@last", "--remove", "team").returncode == 0
    assert mlproj("sync", "@last").returncode == 0
    assert shown(mlproj)["tags"] == {"owner": "me", "reviewed": "yes"}
    tags = there(mlflow_server, record).data.tags
    assert (tags["owner"], tags["reviewed"], "team" in tags) == ("me", "yes", False)


class TestWhoYouAre:
    def test_a_password_in_mlflows_variables(self, script: Any, mlproj: Any, guarded_server: MlflowServer) -> None:
        variables = {"MLFLOW_TRACKING_USERNAME": ADMIN[0], "MLFLOW_TRACKING_PASSWORD": ADMIN[1]}
        done = mlproj("run", script(LOGS), "--tracking-uri", guarded_server.uri, env=variables)
        assert done.returncode == 0
        assert shown(mlproj)["tracking"]["sent"], done.stderr
        assert ADMIN[1] not in done.stderr

    def test_a_password_in_the_uri_is_nowhere(
        self, script: Any, mlproj: Any, guarded_server: MlflowServer, own_home: Path
    ) -> None:
        uri = guarded_server.uri.replace("http://", f"http://{ADMIN[0]}:{ADMIN[1]}@")
        folder = script(LOGS + "print('I was told', os.environ['MLFLOW_TRACKING_URI'])\n")
        done = mlproj("run", folder, "--tracking-uri", uri)
        assert done.returncode == 0
        record = shown(mlproj)
        assert record["tracking"] == {**record["tracking"], "uri": guarded_server.uri, "sent": True}, done.stderr
        holding = [path for path in own_home.rglob("*") if path.is_file() and ADMIN[1].encode() in path.read_bytes()]
        assert holding == []
        assert ADMIN[1] not in done.stderr
        # The server is known without them, and they are needed again.
        assert mlproj("tag", "@last", "later=1").returncode == 0
        assert mlproj("sync", "@last", env=HASTY).returncode == 125
        assert mlproj("sync", "@last", "--tracking-uri", uri).returncode == 0

    def test_without_a_password(self, script: Any, mlproj: Any, guarded_server: MlflowServer) -> None:
        done = mlproj("run", script(LOGS), "--tracking-uri", guarded_server.uri, env=HASTY)
        assert done.returncode == 0
        assert "MLFLOW_TRACKING_USERNAME" in done.stderr
        assert shown(mlproj)["metrics"]["loss"] == 1 / 50


class TestWhichServer:
    def test_mlflows_variable(self, script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
        done = mlproj("run", script(LOGS), env={"MLFLOW_TRACKING_URI": mlflow_server.uri})
        assert done.returncode == 0
        assert there(mlflow_server, shown(mlproj)).info.status == "FINISHED"

    def test_the_manifest(self, script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
        folder = script(LOGS, more=f"tracking: {{uri: '{mlflow_server.uri}', experiment: vintage}}\n")
        assert mlproj("run", folder).returncode == 0
        record = shown(mlproj)
        assert record["experiment"] == "vintage"
        assert there(mlflow_server, record).info.status == "FINISHED"

    def test_none(self, script: Any, mlproj: Any) -> None:
        folder = script("print(os.environ['MLFLOW_TRACKING_URI'])", more="tracking: {uri: 'http://127.0.0.1:1'}\n")
        done = mlproj("run", folder, "--tracking-uri", "", env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:2"})
        assert done.returncode == 0
        assert shown(mlproj)["tracking"] is None
        assert done.stdout.startswith("http://127.0.0.1:")
        assert not done.stdout.startswith(("http://127.0.0.1:1\n", "http://127.0.0.1:2\n"))

    def test_a_folder_beside_the_manifest(self, script: Any, mlproj: Any) -> None:
        folder = script(LOGS, more="tracking: {uri: ./mlruns}\n")
        done = mlproj("run", folder)
        assert done.returncode == 0, done.stderr
        record = shown(mlproj)
        assert record["tracking"]["uri"] == (folder / "mlruns").as_uri()
        (points,) = (folder / "mlruns").glob("*/*/metrics/loss")
        assert len(points.read_text().splitlines()) == 50

    def test_a_fetched_project_has_no_say(self, script: Any, mlproj: Any) -> None:
        folder = script(LOGS, more="tracking: {uri: 'http://127.0.0.1:1'}\n")
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        for words in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-qm", "Begin"]):
            subprocess.run(["git", "-C", folder, *words], check=True)
        done = mlproj("run", folder, "--rev", "main")
        assert done.returncode == 0
        assert "`--tracking-uri http://127.0.0.1:1`" in done.stderr
        assert shown(mlproj)["tracking"] is None

    def test_a_manifest_holds_no_credentials(self, script: Any, mlproj: Any) -> None:
        done = mlproj("check", script(LOGS, more="tracking: {uri: 'http://me:secret@mlflow.example'}\n"))
        assert done.returncode == 2
        assert "mlproj.yaml:3:17" in done.stderr + done.stdout
        assert "a URI without credentials" in done.stderr + done.stdout

    def test_an_unknown_key(self, script: Any, mlproj: Any) -> None:
        done = mlproj("check", script(LOGS, more="tracking: {url: 'http://mlflow.example'}\n"))
        assert done.returncode == 2
        assert "expected one of uri, experiment. Did you mean `uri`?" in done.stderr + done.stdout

    def test_without_mlflows_client(self, script: Any) -> None:
        hidden = "import sys; sys.modules['mlflow'] = None; sys.argv[0] = 'mlproj'; "
        hidden += "from mlproj.cli.app import main; sys.exit(main())"
        folder = script(LOGS + "print(os.environ['MLFLOW_TRACKING_URI'], 'MLFLOW_RUN_ID' in os.environ)\n")
        words = [sys.executable, "-c", hidden, "run", str(folder)]
        refused = subprocess.run([*words, "--tracking-uri", "http://127.0.0.1:1"], capture_output=True, text=True)
        assert refused.returncode == 2
        assert "pip install 'mlproj[mlflow]'" in refused.stderr
        variables = {**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
        told = subprocess.run(words, capture_output=True, text=True, env=variables)
        assert (told.returncode, told.stdout) == (0, "http://127.0.0.1:1 False\n")
        assert "is told of the run only by the clients in it" in told.stderr


def test_a_run_within_a_run_is_its_child_there_too(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    words = [sys.executable, "-m", "mlproj", "run", "."]
    folder = script(
        "import subprocess\nif not Path('begun').exists():\n    Path('begun').touch()\n"
        f"    subprocess.run({words!r}, check=True)\n"
    )
    assert mlproj("run", folder, "--tracking-uri", mlflow_server.uri).returncode == 0
    outer = shown(mlproj)
    (child,) = json.loads(mlproj("runs", "--filter", f"parent = {outer['id']}", "--json").stdout)
    assert there(mlflow_server, child).data.tags["mlflow.parentRunId"] == outer["tracking"]["run_id"]


def test_without_a_network_it_is_sent_later(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    # A name of its own, so that it is no server of this machine.
    uri = mlflow_server.uri.replace("127.0.0.1", "127-0-0-1.example")
    done = mlproj("run", script(LOGS), "--offline", "--tracking-uri", uri)
    assert done.returncode == 0
    assert f"{uri} is not told of the run" in done.stderr
    record = shown(mlproj)
    assert record["tracking"] == {"uri": uri, "experiment_id": None, "run_id": None, "sent": False}
    assert mlproj("sync", "@last", env=HASTY).returncode == 125
    assert mlproj("export-mlflow", mlflow_server.uri, "@last").returncode == 0


def test_in_a_container_by_its_own_address(project: Any, mlproj: Any, mlflow_server: MlflowServer, engine: Any) -> None:
    folder = project(
        f"environment: {{docker: {{image: '{PYTHON_IMAGE}'}}}}\nentry_points: {{main: {{command: [python3, s.py]}}}}\n",
        {"s.py": PLAIN + LOGS + "print(os.environ['MLFLOW_TRACKING_URI'])\n"},
    )
    assert engine is not None
    done = mlproj("run", folder, "--tracking-uri", mlflow_server.uri)
    assert done.returncode == 0, done.stderr
    # What is on loopback here is not there.
    assert done.stdout.startswith("http://host.docker.internal:")
    record = shown(mlproj)
    assert record["tracking"]["sent"], done.stderr
    assert history(mlflow_server, record, "loss") == LOSS


def test_a_password_that_is_printed_is_masked_in_the_log(script: Any, mlproj: Any) -> None:
    body = "print(os.environ['MLFLOW_TRACKING_PASSWORD'])\n"
    variables = {**HASTY, "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "not-to-be-kept"}
    assert mlproj("run", script(body), "--tracking-uri", "http://127.0.0.1:1", env=variables).returncode == 0
    assert "not-to-be-kept" not in mlproj("logs", "@last").stdout


ODD = """
log(**{"tag": "\\ud800half", "value": "\\udfff"})
log(param="half", value="\\ud800")
for name in ("new\\nline.txt", "\\x1b[31mred.txt", "plain.txt", "100% #?.txt"):
    Path(os.environ["MLPROJ_ARTIFACTS"], name).write_text(name)
log(name="loss", value=1)
"""


def test_odd_names_keep_nothing_else_from_being_sent(script: Any, mlproj: Any, mlflow_server: MlflowServer) -> None:
    done = mlproj("run", script(ODD), "--tracking-uri", mlflow_server.uri)
    assert done.returncode == 0
    record = shown(mlproj)
    assert record["tracking"]["sent"], done.stderr
    assert record["tags"] == {"\ufffdhalf": "\ufffd"}
    seen = there(mlflow_server, record)
    assert (seen.info.status, seen.data.metrics, seen.data.params["half"]) == ("FINISHED", {"loss": 1.0}, "\ufffd")
    assert "plain.txt" in {each.path for each in mlflow_server.client().list_artifacts(seen.info.run_id)}
    assert sum("MLflow's client would give it another name" in each for each in record["notices"]) == 3
    again = mlproj("sync", "@last")
    assert again.returncode == 0, again.stderr
    assert sorted(file["path"] for each in shown(mlproj)["outputs"] for file in each["files"]) == sorted(
        file["path"] for each in record["outputs"] for file in each["files"]
    )


def test_a_server_that_is_no_more_is_given_up(script: Any, mlproj: Any) -> None:
    assert mlproj("run", script(LOGS), "--tracking-uri", "http://127.0.0.1:1").returncode == 0
    assert mlproj("sync", "--all").returncode == 125
    assert mlproj("sync", "--all", "--forget").stdout == "1 run will not be sent\n"
    assert mlproj("sync", "--all").stdout == "nothing is left to send\n"
    # By its name it is tried all the same.
    assert mlproj("sync", "@last").returncode == 125


@pytest.mark.parametrize(
    "uri", ["http://", "http://[::1", "http://127.0.0.1:99999", "http://x\ny", " ", "nope", "http://a b/"]
)
def test_what_is_no_tracking_uri(script: Any, mlproj: Any, uri: str) -> None:
    done = mlproj("run", script(LOGS), "--tracking-uri", uri)
    assert done.returncode == 2
    assert "the tracking URI" in done.stderr
    assert mlproj("runs").stdout.startswith("no runs yet")
    assert mlproj("import-mlflow", uri).returncode == 2


def test_a_server_that_hangs_is_not_waited_for_long(
    script: Any, mlproj: Any, mlflow_server: MlflowServer, relay_to: Any
) -> None:
    relay: Relay = relay_to(mlflow_server)
    relay.held.set()
    began = time.monotonic()
    done = mlproj("run", script(LOGS), "--tracking-uri", relay.uri)
    took = time.monotonic() - began
    assert done.returncode == 0
    assert took < 40
    # Nor is the time of a server the run's.
    assert shown(mlproj)["duration_s"] < took / 2
