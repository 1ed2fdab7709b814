"""The gateway from the command line: what an entry point is told, and what is left when something is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj.runs.experiments import Experiment, keep_experiment
from mlproj.runs.store import load, open_store
from tests.docker_engine import PYTHON_IMAGE

# What a client does, without one: these tests are of processes and addresses.
CLIENT = """
import http.client, json, os, sys, time, urllib.parse
address = urllib.parse.urlsplit(os.environ["MLFLOW_TRACKING_URI"])
RUN = os.environ["MLFLOW_RUN_ID"]
connection = http.client.HTTPConnection(address.hostname, address.port)
def post(path, **fields):
    connection.request("POST", f"{address.path}/api/2.0/mlflow/{path}", json.dumps(fields))
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return json.loads(body)
def log(name, value, run_id=RUN):
    post("runs/log-metric", run_id=run_id, key=name, value=value, timestamp=int(time.time() * 1000), step=0)
"""


@pytest.fixture
def script(project: Any) -> Callable[..., Path]:
    """A project whose entry point is a client that does this."""

    def write(body: str, environment: str = "system: {}") -> Path:
        manifest = f"environment: {{{environment}}}\nentry_points: {{main: {{command: [python, -u, t.py]}}}}\n"
        return Path(project(manifest, {"t.py": CLIENT + body}))

    return write


def last(own_home: Path) -> Any:
    store = open_store(own_home)
    return load(store, max(each.name for each in (own_home / "runs").iterdir()))


def test_what_an_entry_point_is_told(mlproj: Any, project: Any, own_home: Path) -> None:
    names = ["MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "no_proxy"]
    command = json.dumps(["python", "-c", f"import os; print([os.environ.get(name) for name in {names}])"])
    folder = project(f"environment: {{system: {{}}}}\nentry_points: {{main: {{command: {command}}}}}\n")
    env = {"HTTP_PROXY": "http://proxy.example:3128", "no_proxy": "example.org", "NO_PROXY": "internal.corp"}
    done = mlproj("run", folder, env=env)
    address, run_id, experiment, name, past = eval(done.stdout)
    assert address.startswith("http://127.0.0.1:")
    assert (run_id, experiment, name) == (last(own_home).id, "0", None)
    assert past == "example.org,internal.corp,127.0.0.1"
    assert last(own_home).notices == []


def test_a_run_within_a_run_has_a_gateway_of_its_own(mlproj: Any, script: Any, own_home: Path) -> None:
    folder = script("log('inner' if sys.argv[1:] else 'outer', 1)\n")
    (folder / "mlproj.yaml").write_text(
        "environment: {system: {}}\nentry_points:\n"
        f"  main: {{shell: bash, command: 'python -u t.py && {sys.executable} -m mlproj run . -e inner'}}\n"
        "  inner: {command: [python, -u, t.py, inner]}\n"
    )
    done = mlproj("run", folder)
    assert done.returncode == 0, done.stderr
    inner = last(own_home)
    assert inner.metrics == {"inner": 1.0}
    assert load(open_store(own_home), inner.parent).metrics == {"outer": 1.0}


def test_an_experiment_that_was_asked_for_stays(mlproj: Any, script: Any, own_home: Path) -> None:
    create = "post('experiments/create', name='chosen ' + RUN)\n"
    folder = script(create + "post('runs/update', run_id=RUN, status='RUNNING')\n")
    assert mlproj("run", folder).returncode == 0
    assert last(own_home).experiment == f"chosen {last(own_home).id}"
    assert mlproj("run", folder, "--experiment", "default").returncode == 0
    assert last(own_home).experiment == "default"


def test_who_logs_to_a_run_of_before_and_is_killed_leaves_it_as_it_was(
    mlproj: Any, script: Any, own_home: Path
) -> None:
    folder = script("log('x', 1)\n")
    assert mlproj("run", folder).returncode == 0
    before = last(own_home)
    body = f"log('late', 2, {before.id!r})\nprint('logged', flush=True)\ntime.sleep(60)\n"
    (folder / "t.py").write_text(CLIENT + body)
    runner = start(folder)
    assert runner.stdout is not None
    runner.stdout.readline()
    refused = mlproj("stop", before.id)
    assert refused.returncode != 0 or "finished" in refused.stdout + refused.stderr
    assert runner.poll() is None
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    mlproj("runs")
    after = load(open_store(own_home), before.id)
    assert after.metrics == {"x": 1.0, "late": 2.0}
    assert (after.status, after.ended_at, after.exit_status) == ("finished", before.ended_at, 0)


def test_the_experiment_of_the_environment(mlproj: Any, script: Any, own_home: Path) -> None:
    folder = script("log('x', 1)\n")
    assert mlproj("run", folder, env={"MLFLOW_EXPERIMENT_NAME": "fruit"}).returncode == 0
    assert last(own_home).experiment == "fruit"
    assert mlproj("run", folder, "--experiment", "nuts", env={"MLFLOW_EXPERIMENT_NAME": "fruit"}).returncode == 0
    assert last(own_home).experiment == "nuts"


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlproj", "run", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_was_acknowledged_outlives_mlproj(mlproj: Any, script: Any, own_home: Path) -> None:
    folder = script(
        "child = post('runs/create', experiment_id='0')['run']['info']['run_id']\n"
        "for step in range(50): log(f'm{step}', step)\n"
        "log('inside', 1, child)\n"
        "print('logged', flush=True)\n"
        "time.sleep(60)\n"
    )
    runner = start(folder)
    assert runner.stdout is not None
    assert runner.stdout.readline() == "logged\n"
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert "lost" in mlproj("runs").stderr
    store = open_store(own_home)
    records = [load(store, each.name) for each in sorted((own_home / "runs").iterdir())]
    assert [each.status for each in records] == ["lost", "lost"]
    assert records[0].metrics == {f"m{step}": float(step) for step in range(50)}
    assert (records[1].parent, records[1].metrics) == (records[0].id, {"inside": 1.0})


def test_a_client_that_is_killed_leaves_the_run_to_go_on(mlproj: Any, script: Any, own_home: Path) -> None:
    folder = script(
        "import subprocess\n"
        "if sys.argv[1:]:\n"
        "    connection.putrequest('PUT', f'{address.path}/api/2.0/mlflow-artifacts/artifacts/0/{RUN}/artifacts/big')\n"
        "    connection.putheader('content-length', '1000000')\n"
        "    connection.endheaders()\n"
        "    connection.send(b'x' * 500000)\n"
        "    os.kill(os.getpid(), 9)\n"
        "print(subprocess.run([sys.executable, __file__, 'die']).returncode)\n"
        "log('after', 1)\n"
    )
    done = mlproj("run", folder)
    assert (done.returncode, done.stdout) == (0, "-9\n"), done.stderr
    record = last(own_home)
    assert (record.metrics, record.outputs) == ({"after": 1.0}, [])


def test_an_interrupted_run_keeps_what_was_logged(script: Any, own_home: Path) -> None:
    runner = start(script("log('x', 1)\nprint('logged', flush=True)\ntime.sleep(60)\n"))
    assert runner.stdout is not None
    runner.stdout.readline()
    runner.send_signal(signal.SIGINT)
    assert runner.wait(30) == 130
    assert (last(own_home).status, last(own_home).metrics) == ("killed", {"x": 1.0})


def test_secrets_are_masked_in_what_is_logged(mlproj: Any, project: Any, own_home: Path) -> None:
    body = "post('runs/set-tag', run_id=RUN, key='t', value=os.environ['API_KEY'])\n"
    folder = project(
        "environment: {system: {}}\nentry_points:\n  main:\n    command: [python, t.py]\n"
        "    parameters: {api_key: {type: secret, env: API_KEY}}\n",
        {"t.py": CLIENT + body},
    )
    assert mlproj("run", folder, env={"API_KEY": "hunter2-hunter2"}).returncode == 0
    assert "hunter2" not in json.dumps(last(own_home).tags)
    for path in own_home.rglob("*"):
        assert not path.is_file() or b"hunter2-hunter2" not in path.read_bytes(), path


@pytest.mark.usefixtures("engine")
class TestContainers:
    def test_a_client_in_a_container_joins(self, mlproj: Any, script: Any, own_home: Path) -> None:
        folder = script(
            "log('x', 1)\n"
            "connection.request('PUT', f'{address.path}/api/2.0/mlflow-artifacts/artifacts/0/{RUN}/artifacts/a', b'hello')\n"
            "print(address.hostname, connection.getresponse().status)\n",
            f'docker: {{image: "{PYTHON_IMAGE}"}}',
        )
        done = mlproj("run", folder)
        assert (done.returncode, done.stdout) == (0, "host.docker.internal 200\n"), done.stderr
        record = last(own_home)
        assert (record.metrics, record.outputs[0].files[0].path) == ({"x": 1.0}, "a")
        assert (own_home / "runs" / record.id / "artifacts" / "a").stat().st_uid == os.getuid()

    def test_on_the_network_of_this_machine(self, mlproj: Any, script: Any) -> None:
        folder = script("log('x', 1)\nprint(address.hostname)\n", f'docker: {{image: "{PYTHON_IMAGE}", network: host}}')
        done = mlproj("run", folder)
        assert (done.returncode, done.stdout) == (0, "127.0.0.1\n"), done.stderr

    def test_without_a_network_it_is_told_nothing(self, mlproj: Any, project: Any) -> None:
        code = "import os; print([name for name in os.environ if name.startswith('MLFLOW')])"
        folder = project(
            f'environment: {{docker: {{image: "{PYTHON_IMAGE}", network: none}}}}\n'
            f"entry_points: {{main: {{command: {json.dumps(['python', '-c', code])}}}}}\n"
        )
        done = mlproj("run", folder)
        assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_an_experiment_that_was_renamed_keeps_its_id(project: Any, mlproj: Any, own_home: Path) -> None:
    store = open_store(own_home)
    keep_experiment(store, Experiment("123456789", "renamed"))
    folder = project("entry_points: {main: {command: [python3, show.py]}}\n")
    (folder / "show.py").write_text("import os; print(os.environ['MLFLOW_EXPERIMENT_ID'])")
    assert mlproj("run", folder, "--experiment", "renamed").stdout == "123456789\n"
