"""``mlproj run --hermetic``: nothing of the caller's environment, network or disk but what is declared."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments.images.engine import Engine
from mlproj.execution.sandbox import why_not
from tests.docker_engine import PYTHON_IMAGE

LOOK = """\
import json, os, socket
seen = {"variables": dict(os.environ), "wrote": [], "refused": []}
for path in ("inside.txt", os.environ["HOME"] + "/x", f"/tmp/{os.getppid()}.x", os.environ["OUTSIDE"] + "/x"):
    try:
        open(path, "w").write("1")
        seen["wrote"].append(path)
    except OSError:
        seen["refused"].append(path)
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=5).close()
    seen["network"] = True
except OSError:
    seen["network"] = False
print(json.dumps(seen))
"""
MANIFEST = """\
entry_points:
  main:
    command: [PYTHON, look.py]
    environment_variables: {OUTSIDE: "ELSEWHERE", PORT: "PORT_NUMBER"}
    outputs: {inside: inside.txt}
    reproducibility: {hermetic: HERMETIC, variables: [KEPT]}
"""


@pytest.fixture
def needs_bubblewrap() -> None:
    if (reason := why_not()) is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI is to have it: {reason}")
        pytest.skip(reason)


@pytest.fixture
def look(project: Any, tmp_path: Path) -> Any:
    def write(hermetic: bool) -> Path:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
        text = MANIFEST.replace("ELSEWHERE", sys.prefix).replace("HERMETIC", str(hermetic).lower())
        return project(text.replace("PYTHON", sys.executable), {"look.py": LOOK})

    return write


@pytest.fixture
def door() -> Any:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def seen(mlproj: Any, folder: Path, port: int, *words: str) -> dict[str, Any]:
    manifest = folder / "mlproj.yaml"
    manifest.write_text(manifest.read_text().replace("PORT_NUMBER", str(port)))
    done = mlproj("run", folder, *words, env={"KEPT": "yes", "STRAY": "no", "LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_commands_world_is_what_is_declared(
    mlproj: Any, look: Any, door: int, tmp_path: Path, needs_bubblewrap: None
) -> None:
    folder = look(hermetic=True)
    found = seen(mlproj, folder, door)
    variables = found["variables"]
    assert variables["KEPT"] == "yes"
    assert "STRAY" not in variables
    assert (variables["LANG"], variables["TZ"], variables["PYTHONHASHSEED"]) == ("C.UTF-8", "UTC", "0")
    *wrote, scratch = found["wrote"]
    assert wrote == ["inside.txt", f"{variables['HOME']}/x"]
    assert not Path(scratch).exists()
    assert found["refused"] == [f"{sys.prefix}/x"]
    assert not found["network"]
    assert (folder / "inside.txt").exists()
    assert not Path(variables["HOME"]).exists()
    assert json.loads(mlproj("show", "@last", "--json").stdout)["request"]["hermetic"]


def test_without_it_the_caller_is_there(mlproj: Any, look: Any, door: int) -> None:
    found = seen(mlproj, look(hermetic=True), door, "--no-hermetic")
    assert found["variables"]["STRAY"] == "no"
    assert found["network"]


def test_without_bubblewrap_it_says_what_is_not_cut_off(mlproj: Any, look: Any, door: int, tmp_path: Path) -> None:
    folder = look(hermetic=False)
    manifest = folder / "mlproj.yaml"
    manifest.write_text(manifest.read_text().replace("PORT_NUMBER", str(door)))
    tools = tmp_path / "tools"
    tools.mkdir()
    done = mlproj("run", folder, "--hermetic", env={"PATH": str(tools), "STRAY": "no"})
    assert done.returncode == 0, done.stderr
    assert "the network is there and the disk can be written: bubblewrap is not installed" in done.stderr
    assert "STRAY" not in json.loads(done.stdout)["variables"]


def test_exit_statuses_and_signals_come_through(mlproj: Any, project: Any, needs_bubblewrap: None) -> None:
    ends = "import os, signal, sys; sys.exit(7) if sys.argv[1] == 'exit' else os.kill(os.getpid(), signal.SIGTERM)"
    folder = project(
        f"entry_points: {{main: {{command: [{sys.executable}, s.py, '{{how}}'], parameters: {{how: {{}}}}}}}}\n",
        {"s.py": ends},
    )
    assert mlproj("run", folder, "--hermetic", "-P", "how=exit").returncode == 7
    assert mlproj("run", folder, "--hermetic", "-P", "how=signal").returncode == 143
    done = mlproj("run", project("entry_points: {main: {command: [no-such-program]}}"), "--hermetic")
    assert done.returncode == 125
    assert "no-such-program" in done.stderr


def test_mlflows_clients_join_all_the_same(mlproj: Any, project: Any, needs_bubblewrap: None) -> None:
    logs = (
        "import mlflow\nmlflow.log_metric('loss', 0.25)\nmlflow.log_param('alpha', 1)\n"
        "open('big.txt', 'w').write('x' * 3_000_000)\nmlflow.log_artifact('big.txt')\n"
    )
    folder = project(f"entry_points: {{main: {{command: [{sys.executable}, s.py]}}}}\n", {"s.py": logs})
    done = mlproj("run", folder, "--hermetic", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["metrics"] == {"loss": 0.25}
    assert record["parameters"] == {"alpha": "1"}
    assert record["outputs"][0]["size"] == 3_000_000


def test_it_is_reproduced_hermetically(mlproj: Any, look: Any, door: int, needs_bubblewrap: None) -> None:
    seen(mlproj, look(hermetic=True), door)
    done = mlproj("reproduce", "@last", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(mlproj("show", "@last", "--json").stdout)["request"]["hermetic"]


def test_the_loaders_variables_act_inside_alone(
    mlproj: Any, project: Any, tmp_path: Path, needs_bubblewrap: None
) -> None:
    # A library that is not there has the loader complain, in whatever program it is to be loaded into.
    folder = project(
        f"entry_points: {{main: {{command: [{sys.executable}, -c, 'print(1)'],\n"
        "  environment_variables: {LD_PRELOAD: /no/such/library.so}}}\n"
    )
    done = mlproj("run", folder, "--hermetic")
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "library.so" in line]
    # The one who opens the door for MLflow's clients, and the command: not bubblewrap.
    assert len(complaints) == 2, complaints


CUT_OFF = """\
import json, os, socket, urllib.request
seen = {"variables": dict(os.environ), "reached": []}
for place in os.environ["PLACES"].split():
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        seen["reached"].append(place)
    except OSError:
        pass
address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
point = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "rmse", "value": 0.5, "timestamp": 1}
urllib.request.urlopen(urllib.request.Request(address, json.dumps(point).encode(), {"Content-Type": "application/json"}))
print(json.dumps(seen))
"""


def test_a_hermetic_container_reaches_no_network_and_still_joins_its_run(
    mlproj: Any, project: Any, engine: Engine
) -> None:
    other = engine.client.create_container(
        PYTHON_IMAGE, ["python3", "-m", "http.server", "8000"], labels={"mlproj-test": "hermetic"}
    )
    try:
        engine.client.start(other)
        beside = engine.client.inspect_container(other)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        text = f"""
            environment: {{docker: {{image: '{PYTHON_IMAGE}', network: bridge}}}}
            entry_points:
              main:
                command: [python3, look.py]
                environment_variables: {{PLACES: "{beside}:8000"}}
            """
        folder = project(text, {"look.py": CUT_OFF})
        open_ = mlproj("run", folder)
        assert open_.returncode == 0, open_.stderr
        assert json.loads(open_.stdout)["reached"] == [f"{beside}:8000"]
        done = mlproj("run", folder, "--hermetic")
    finally:
        engine.client.remove_container(other, force=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reached"] == []
    assert "hermetic:" not in done.stderr
    assert json.loads(mlproj("show", "@last", "--json").stdout)["metrics"] == {"rmse": 0.5}
    assert not [each for each in engine.client.containers(all=True) if "mlproj-cut-off" in str(each["NetworkSettings"])]
