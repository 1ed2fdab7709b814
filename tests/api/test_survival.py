"""What must survive: kill -9 at every stage, eight at once, a full disk, a read-only store, a damaged database."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.environments.wheels import write_wheel

MANIFEST = """
name: survivor
environment: {{virtualenv: {{dependencies: [small], find_links: [{wheels}]}}}}
entry_points:
  main:
    command: [python, -u, script.py]
    outputs: {{out: {{path: out/, optional: true}}}}
    grace_period: 1s
"""
SCRIPT = "import pathlib, small\nprint('ready')\npathlib.Path('out').mkdir(exist_ok=True)\n"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small wheel, and no index to ask for others."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    write_wheel(folder, "small", "1.0")
    configuration = tmp_path / "uv.toml"
    configuration.write_text("no-index = true\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(configuration))
    return folder


def start(folder: Path, *options: str, **popen: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlproj", "run", str(folder), *options],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **popen},
    )


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def traced(stage: str, folder: Path, home: Path) -> int:
    """Run mlproj and kill it with SIGKILL on entering the function that a stage is named by."""
    module, _, function = stage.rpartition(".")
    program = f"""
import os, signal, sys, importlib
module = importlib.import_module({module!r})
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
setattr(module, {function!r}, die)
from mlproj.cli.app import main
sys.exit(main(["run", {str(folder)!r}]))
"""
    environment = {**os.environ, "SURVIVOR": str(home)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True).returncode


STAGES = [
    "mlproj.api.run.resolve_request",
    "mlproj.api.beginning.begin",
    "mlproj.environments.virtualenv.prepare",
    "mlproj.api.run.save",
    "mlproj.api.run.supervise",
    "mlproj.api.run.open_intake",
    "mlproj.api.outputs.collect",
    "mlproj.api.run.with_totals",
    "mlproj.api.run.finish",
    "mlproj.runs.store.write_record",
    "mlproj.runs.store.index_record",
]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_stage_the_next_command_finds_it_lost(
    project, wheels: Path, own_home: Path, mlproj, stage: str
) -> None:
    folder = project(MANIFEST.format(wheels=wheels), {"script.py": SCRIPT})
    assert traced(stage, folder, own_home) == -signal.SIGKILL
    psutil.wait_procs(processes_with("SURVIVOR", str(own_home)), timeout=20)
    assert processes_with("SURVIVOR", str(own_home)) == []
    listed = json.loads(mlproj("runs", "--json").stdout)
    assert [run["status"] for run in listed] in ([], ["lost"])
    again = mlproj("run", folder)
    assert again.returncode == 0, again.stderr
    assert mlproj("store", "check").returncode == 0
    statuses = [run["status"] for run in json.loads(mlproj("runs", "--json").stdout)]
    assert statuses[0] == "finished"
    assert "running" not in statuses


def test_eight_at_once_build_once_and_all_finish(project, wheels: Path, own_home: Path, mlproj) -> None:
    folder = project(MANIFEST.format(wheels=wheels), {"script.py": SCRIPT + "print(small.__file__)"})
    running = [start(folder) for _ in range(8)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 8, outputs
    assert sum("installing 1 package" in output for output in outputs) == 1
    assert len(set(re.findall(r"environments/([0-9a-f]+)/", "".join(outputs)))) == 1
    runs = json.loads(mlproj("runs", "--json").stdout)
    assert [run["status"] for run in runs] == ["finished"] * 8
    assert len({run["id"] for run in runs}) == 8


SYSTEM = "entry_points: {{main: {{command: [{python}, -u, script.py]}}}}\n"


def test_a_store_that_fills_up_does_not_stop_the_training(project, small_disk: Path, tmp_path: Path, mlproj) -> None:
    script = "for step in range(400): print('x' * 10_000)\nopen('trained', 'w').write('yes')\n"
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": script})
    home = {"MLPROJ_HOME": str(small_disk), "MLPROJ_CACHE": str(tmp_path / "cache")}
    finished = mlproj("run", folder, env=home)
    assert finished.returncode == 0
    assert (folder / "trained").read_text() == "yes"
    assert finished.stdout.count("\n") == 400
    assert "No space left on device; the run goes on" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert json.loads(mlproj("show", "@last", "--json", env=home).stdout)["status"] == "finished"


def test_metrics_that_no_longer_fit_do_not_stop_the_training(project, small_disk: Path, tmp_path: Path, mlproj) -> None:
    manifest = f"entry_points: {{main: {{command: [{sys.executable}, -u, script.py], metrics: {{loss: 'loss=(?P<value>.+)'}}}}}}"
    script = "for step in range(400): print('x' * 10_000); print(f'loss={step}')\nopen('trained', 'w').write('yes')\n"
    folder = project(manifest, {"script.py": script})
    finished = mlproj("run", folder, env={"MLPROJ_HOME": str(small_disk), "MLPROJ_CACHE": str(tmp_path / "cache")})
    assert finished.returncode == 0, finished.stderr
    assert (folder / "trained").read_text() == "yes"
    assert "metrics of the output could not be kept: No space left on device" in finished.stderr


def test_a_full_disk_is_a_clear_error(project, small_disk: Path, tmp_path: Path, mlproj) -> None:
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": ""})
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass
    finished = mlproj("run", folder, env={"MLPROJ_HOME": str(small_disk), "MLPROJ_CACHE": str(tmp_path / "cache")})
    assert finished.returncode == 125
    assert "No space left on device" in finished.stderr or "full" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_read_only_store_is_a_clear_error(project, small_disk: Path, tmp_path: Path, mlproj) -> None:
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": ""})
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    finished = mlproj("run", folder, env={"MLPROJ_HOME": str(small_disk), "MLPROJ_CACHE": str(tmp_path / "cache")})
    assert finished.returncode == 125
    assert "error:" in finished.stderr
    assert "ead-only" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_damaged_database_is_told_and_rebuilt(project, own_home: Path, mlproj) -> None:
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": "print(1)"})
    ids = {json.loads(mlproj("run", folder, "--json").stdout)["id"] for _ in range(3)}
    (own_home / "mlproj.db").write_bytes(b"rubbish" * 1000)
    for suffix in ("-wal", "-shm"):
        (own_home / f"mlproj.db{suffix}").unlink(missing_ok=True)
    listed = mlproj("runs")
    assert listed.returncode == 125
    assert "mlproj store rebuild" in listed.stderr
    assert mlproj("store", "rebuild").returncode == 0
    assert {run["id"] for run in json.loads(mlproj("runs", "--json").stdout)} == ids


SECRET = "hunter22-s3cr3t-ünï"


def texts_with(folder: Path, secret: str) -> list[Path]:
    """Every file below a folder that holds a text, as grep -r finds them."""
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


SECRETIVE = """
entry_points:
  main:
    command: [{python}, -u, script.py, "--key={{key}}", "{{url}}"]
    parameters: {{key: {{type: secret, env: API_KEY}}, url: {{type: uri, default: "https://me:{secret}@example.org/"}}}}
    secret_variables: [OTHER_KEY]
    outputs: {{missing: nothing.txt}}
"""
CRASHING = """
import sys, mlproj.api.run, mlproj.cli.app
def boom(request, *_): raise RuntimeError(repr(request) + sys.argv[1])
mlproj.api.run.resolve_request = boom
mlproj.cli.app.main(["run", sys.argv[2], "-P", sys.argv[1]])
"""
LEAKY = """
import json, os, sys
print(sys.argv, os.environ["API_KEY"], file=sys.stderr)
print(json.dumps(os.environ["OTHER_KEY"]))
with open(os.environ["MLPROJ_METRICS"], "a") as stream:
    stream.write(json.dumps({"param": "leaked", "value": "x" + os.environ["API_KEY"]}) + "\\n")
    stream.write(json.dumps({"tag": "leaked", "value": os.environ["OTHER_KEY"]}, ensure_ascii=False) + "\\n")
"""


def test_no_secret_is_in_the_store_or_in_what_mlproj_says(project, own_home: Path, mlproj) -> None:
    url_secret, other = "url-s3cr3t", "other-s3cr3t"
    manifest = SECRETIVE.format(python=sys.executable, secret=url_secret)
    folder = project(manifest, {"script.py": LEAKY, "notes.txt": f"untracked, with {SECRET} in it\n"})
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    secrets = {"API_KEY": SECRET, "OTHER_KEY": other}
    said = ""
    for options in (
        [],
        ["--json"],
        ["--dry-run"],
        ["--dry-run", "--json"],
        ["-P", f"key={SECRET}"],
        ["-P", "key=@no-file"],
    ):
        finished = mlproj("run", folder, "--quiet", *options, env=secrets)
        if options != []:
            own = [line for line in finished.stderr.splitlines() if "script.py" not in line]
            said += (
                finished.stdout.replace(json.dumps(other), "").replace(other, "")
                if "--json" not in options
                else finished.stdout
            )
            said += "\n".join(own).replace(json.dumps(other), "")
    for command in (["show"], ["show", "--json"], ["runs", "--json"], ["logs"], ["diff", "@last", "@last~1", "--json"]):
        said += mlproj(*command).stdout
    crashed = subprocess.run(
        [sys.executable, "-c", CRASHING, f"key={SECRET}", folder],
        env={**os.environ, **secrets}, capture_output=True, text=True,
    )  # fmt: skip
    said += crashed.stdout + crashed.stderr
    assert "this is a bug in mlproj" in crashed.stderr
    assert list((own_home / "cache" / "crashes").iterdir())
    for secret in (SECRET, json.dumps(SECRET)[1:-1], url_secret, other):
        assert texts_with(own_home, secret) == [], secret
        assert secret not in said, secret


def test_the_patch_is_kept_where_it_holds_no_secret(project, own_home: Path, mlproj) -> None:
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": "print(1)"})
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    record = json.loads(mlproj("run", folder, "--json").stdout)
    kept = own_home / "runs" / record["id"] / record["source"]["patch"]
    assert b"print(1)" in kept.read_bytes()


def test_a_run_within_a_run_knows_its_parent(project, own_home: Path, mlproj) -> None:
    folder = project(
        f"entry_points:\n  outer: {{command: [{sys.executable}, -m, mlproj, run, ., -e, inner]}}\n  inner: {{command: [{sys.executable}, -c, pass]}}\n"
    )
    assert mlproj("run", folder, "-e", "outer").returncode == 0
    inner, outer = json.loads(mlproj("runs", "--json").stdout)
    assert (inner["entry_point"], inner["parent"]) == ("inner", outer["id"])


def test_a_missing_output_fails_the_run(project, mlproj) -> None:
    manifest = f"entry_points: {{main: {{command: [{sys.executable}, -c, pass], outputs: {{model: model.bin}}}}}}"
    finished = mlproj("run", project(manifest))
    assert finished.returncode == 1
    assert "model.bin" in finished.stderr
    assert "✗ failed" in finished.stderr


def test_a_missing_input_is_told_before_anything_runs(project, mlproj) -> None:
    manifest = f"entry_points: {{main: {{command: [{sys.executable}, -c, print(1)], inputs: [data.csv]}}}}"
    finished = mlproj("run", project(manifest))
    assert finished.returncode == 125
    assert "data.csv" in finished.stderr
    assert finished.stdout == ""


@pytest.mark.parametrize("name", ["--help", "-rf", "a b", "$(touch pwned)", ";touch pwned"])
def test_no_name_is_an_option_or_a_command(project, tmp_path: Path, name: str, mlproj) -> None:
    folder = project(
        f"entry_points: {{main: {{command: [{sys.executable}, -c, 'import sys; print(sys.argv[1:])', '{{args}}'],"
        " parameters: {data: {type: path}, text: {type: str}}, outputs: {out: {path: 'out*', optional: true}}}}"
    )
    (tmp_path / name).write_text("x")
    (folder / f"out{name}").write_text("x")
    finished = mlproj("run", folder, "-P", f"data={name}", "-P", f"text={name}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert str(tmp_path / name) in finished.stdout
    assert not any((place / "pwned").exists() for place in (tmp_path, folder))


def test_outputs_that_lead_out_of_the_project_are_not_followed(project, tmp_path: Path, own_home: Path, mlproj) -> None:
    (tmp_path / "private.txt").write_text("private")
    script = "import os\nos.makedirs('out')\nos.symlink('../../private.txt', 'out/leak')\nos.symlink('/etc', 'out/etc')\nopen('out/ok', 'w')"
    folder = project(
        f"entry_points: {{main: {{command: [{sys.executable}, script.py], outputs: {{out: out/}}}}}}",
        {"script.py": script},
    )
    record = json.loads(mlproj("run", folder, "--json").stdout)
    assert [each["path"] for each in record["outputs"][0]["files"]] == ["out/ok"]
    assert not any(path.read_bytes() == b"private" for path in own_home.rglob("*") if path.is_file())


def test_a_manifest_cannot_write_to_the_terminal(project, mlproj) -> None:
    manifest = f'name: "\\e]0;owned\\a\\e[31mred"\nentry_points: {{main: {{description: "\\e[2J", command: [{sys.executable}, -c, pass]}}}}'
    folder = project(manifest)
    said = [
        mlproj("run", folder),
        mlproj("run", folder, "--help"),
        mlproj("check", folder),
        mlproj("show"),
        mlproj("runs"),
    ]
    assert all("\x1b" not in each.stdout + each.stderr for each in said)


def test_the_clock_going_back_keeps_the_order(project, own_home: Path, mlproj) -> None:
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": ""})
    first = json.loads(mlproj("run", folder, "--json").stdout)["id"]
    program = (
        "import time, sys; now = time.time; time.time = lambda: now() - 86400; ns = time.time_ns;"
        "time.time_ns = lambda: ns() - 86400 * 10**9; from mlproj.cli.app import main; sys.exit(main(['run', sys.argv[1], '--json']))"
    )
    back = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True)
    assert json.loads(back.stdout)["id"] > first
    shutil.rmtree(folder)


def test_bytes_that_are_no_utf_8_come_through(project, own_home: Path, mlproj) -> None:
    script = "import os, sys; os.write(1, os.fsencode(sys.argv[1])); os.write(1, open(os.environ['MLPROJ_PARAMS'], 'rb').read())"
    manifest = "entry_points: {main: {command: [PYTHON, -c, \"SCRIPT\", '{text}'], parameters: {text: {type: str}}}}"
    folder = project(manifest.replace("PYTHON", sys.executable).replace("SCRIPT", script))
    argv = [
        sys.executable,
        "-m",
        "mlproj",
        "run",
        folder,
        "-P",
        b"text=\xff\xfe",
        "--tag",
        b"t=\xfd",
        "--name",
        b"\xfc",
    ]
    ran = subprocess.run(argv, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(b"\xff\xfe{")
    assert json.loads(ran.stdout[2:]) == {"text": "\udcff\udcfe"}
    assert mlproj("show", "@last").returncode == 0
    assert json.loads(mlproj("runs", "--json").stdout)[0]["parameters"] == {"text": "\udcff\udcfe"}
    assert mlproj("runs").returncode == mlproj("runs", "--csv").returncode == 0


@pytest.mark.parametrize("content", ["{}", '{"model": "elastic net"}', "", "not json"])
def test_a_metrics_output_without_a_metric_is_told(project, mlproj, content: str) -> None:
    manifest = "entry_points: {main: {command: [cp, source.json, m.json], outputs: {m: {path: m.json, kind: metrics}}}}"
    finished = mlproj("run", project(manifest, {"source.json": content}))
    assert finished.returncode == 0
    assert "note:" in finished.stderr and "m.json" in finished.stderr


def test_a_pattern_that_would_take_for_ever_does_not_hold_the_run(project, mlproj) -> None:
    manifest = (
        "entry_points: {main: {command: [echo, 'loss aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'],"
        " metrics: {loss: 'loss (?P<value>(a+)+)$'}}}"
    )
    finished = mlproj("run", project(manifest))
    assert finished.returncode == 0
    assert "the pattern of metric loss took 0.5 s on one line and was not used again" in finished.stderr


@pytest.mark.parametrize("repository", [True, False])
def test_a_store_within_the_project_is_no_part_of_its_source(project, mlproj, repository: bool) -> None:
    folder = project(SYSTEM.format(python=sys.executable), {"script.py": "print(1)"})
    if repository:
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    home = {"MLPROJ_HOME": str(folder / "store")}
    first, second = (json.loads(mlproj("run", folder, "--json", env=home).stdout)["source"] for _ in range(2))
    assert first["digest"] == second["digest"]
