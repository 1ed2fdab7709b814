"""Commands really run in containers of a real engine: streams, signals, files, and nothing left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlproj.execution.container import label_of_store
from tests.docker_engine import PYTHON_IMAGE, missing
from tests.execution.test_supervise import Session, record
from tests.execution.test_terminal import Terminal

pytestmark = pytest.mark.usefixtures("engine")

MANIFEST = """
environment: {{docker: {{image: "{image}"{docker}}}}}
entry_points:
  main: {{command: [python3, -u, script.py, "{{args}}"], grace_period: {grace}{more}}}
"""
READY = "import sys, os, signal, time, json\nprint('ready', flush=True)\n"


def write(project: Any, script: str, docker: str = "", grace: str = "10s", more: str = "") -> Path:
    manifest = MANIFEST.format(image=PYTHON_IMAGE, docker=docker and f", {docker}", grace=grace, more=more)
    return project(manifest, {"script.py": READY + script})


@pytest.fixture
def start(project) -> Iterator[Callable[..., Session]]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(
        script: str, *options: str, docker: str = "", grace: str = "10s", more: str = "", **popen: Any
    ) -> Session:
        folder = write(project, script, docker, grace, more)
        process = subprocess.Popen(
            [sys.executable, "-m", "mlproj", "run", str(folder), *options],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "bufsize": 0,
                **popen,
            },
        )
        running.append(process)
        return Session(process)

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def containers(engine: Any, own_home: Path) -> list[str]:
    """What containers of runs of this store there are."""
    return [
        each["Id"]
        for each in engine.client.containers(all=True, filters={"label": f"mlproj.store={label_of_store(own_home)}"})
    ]


class _Forwarder(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """An address by which the engine is reached as if it were on another machine."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.connections: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.server_address[1]}"

    def go_away(self) -> None:
        """Do what an engine's death does to those that it was talking to."""
        self.shutdown()
        self.server_close()
        for each in self.connections:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Forwarding(socketserver.BaseRequestHandler):
    server: _Forwarder

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as there:
            there.connect("/var/run/docker.sock")
            self.server.connections += [self.request, there]
            threading.Thread(target=_copy, args=(self.request, there), daemon=True).start()
            _copy(there, self.request)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def forwarder() -> Iterator[_Forwarder]:
    """The engine behind TCP."""
    with _Forwarder() as server:
        yield server
        server.shutdown()


def test_it_runs_in_the_project_and_what_it_writes_is_the_callers(project: Any, mlproj: Any, own_home: Path) -> None:
    script = """
print(os.getcwd(), sys.argv[1:])
open('out.txt', 'w').write('x')
open(os.path.expanduser('~/cache'), 'w').write('HOME can be written to')
print(json.load(open(os.environ['MLPROJ_PARAMS'])))
open(os.environ['MLPROJ_METRICS'], 'a').write('{"name": "loss", "value": 0.25}\\n')
open(os.path.join(os.environ['MLPROJ_ARTIFACTS'], 'kept'), 'w').write('y')
"""
    folder = write(project, script, more=", parameters: {alpha: {type: float}}, outputs: {out: out.txt}")
    done = mlproj("run", folder, "-P", "alpha=0.5", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "/project ['--alpha', '0.5']" in done.stderr
    assert "{'alpha': 0.5}" in done.stderr
    assert (told["status"], told["metrics"], told["outputs"][0]["name"]) == ("finished", {"loss": 0.25}, "out")
    assert told["environment"]["kind"] == "docker"
    assert (folder / "out.txt").stat().st_uid == os.getuid()
    assert (own_home / "runs" / told["id"] / "artifacts" / "kept").read_text() == "y"
    assert sorted(each.name for each in (own_home / "runs" / told["id"]).glob("container*")) == []


@pytest.mark.parametrize(
    ("script", "exit_status", "status"),
    [
        ("sys.exit(3)", 3, "failed"),
        ("sys.exit(255)", 255, "failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "killed"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 139, "killed"),
        ("os.abort()", 134, "killed"),
    ],
)
def test_the_exit_status_is_the_commands_own(
    start: Any, own_home: Path, script: str, exit_status: int, status: str
) -> None:
    assert start(script).finish()[0] == exit_status
    assert (record(own_home)["exit_status"], record(own_home)["status"]) == (exit_status, status)


def test_stdout_and_stderr_stay_apart_and_stdin_passes_through(start: Any) -> None:
    session = start(
        "data = sys.stdin.buffer.read()\nsys.stdout.buffer.write(data)\nprint(len(data), file=sys.stderr)",
        "-q",
        stdin=subprocess.PIPE,
    )
    sent = bytes(range(256)) * 4096
    out, err = session.process.communicate(sent, timeout=60)
    assert (out, err) == (sent, f"{len(sent)}\n".encode())


def test_environment_variables_and_secrets(project: Any, mlproj: Any, own_home: Path) -> None:
    folder = write(
        project,
        "print({name: os.environ.get(name) for name in ('GIVEN', 'COPIED', 'ABSENT', 'KEY', 'OF_ENTRY', 'CALLERS')})\n"
        "print(open('/proc/1/cmdline').read())",
        docker="environment: {GIVEN: g, COPIED: null, ABSENT: null}",
        more=", parameters: {key: {type: secret, env: KEY}}, environment_variables: {OF_ENTRY: e}",
    )
    done = mlproj("run", folder, env={"COPIED": "c", "KEY": "top-secret", "CALLERS": "not passed on"})
    assert done.returncode == 0, done.stderr
    told = "{'GIVEN': 'g', 'COPIED': 'c', 'ABSENT': None, 'KEY': 'top-secret', 'OF_ENTRY': 'e', 'CALLERS': None}"
    assert told in done.stdout
    kept = [each.read_bytes() for each in own_home.rglob("*") if each.is_file()]
    assert not [each for each in kept if b"top-secret" in each]


def test_paths_outside_of_the_project_are_there_too(project: Any, mlproj: Any, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "data.csv").write_text("1,2")
    folder = write(
        project,
        "print(sys.argv[1:], open(sys.argv[2]).read(), open(sys.argv[4]).read())\nopen(sys.argv[2], 'a')",
        more=", parameters: {data: {type: path}, own: {type: path, default: script.py}}",
    )
    done = mlproj("run", folder, "-P", "data=elsewhere/data.csv", cwd=tmp_path)
    assert "['--data', '/mlproj/inputs/data/data.csv', '--own', '/project/script.py'] 1,2" in done.stdout
    assert (done.returncode, "Read-only file system" in done.stderr) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_no_container_is_left(
    start: Any,
    engine: Any,
    own_home: Path,
    number: signal.Signals,
) -> None:
    session = start("signal.pause()")
    assert len(containers(engine, own_home)) == 1
    session.process.send_signal(number)
    assert session.finish()[0] == 128 + number
    assert (record(own_home)["status"], number.name in record(own_home)["error"]) == ("killed", True)
    assert containers(engine, own_home) == []


STUBBORN = """
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(each, signal.SIG_IGN)
print('go', flush=True)
while True: signal.pause()
"""


def test_what_ignores_signals_is_killed_after_the_grace_period(start: Any, engine: Any, own_home: Path) -> None:
    session = start(STUBBORN, grace="1s")
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGTERM)
    assert session.finish()[0] in (137, 143)
    assert record(own_home)["status"] == "killed"
    assert containers(engine, own_home) == []


def test_a_second_signal_kills_at_once(start: Any, engine: Any, own_home: Path) -> None:
    session = start(STUBBORN, grace="1h")
    assert session.process.stdout.readline() == b"go\n"
    session.process.send_signal(signal.SIGINT)
    session.process.send_signal(signal.SIGTERM)
    session.finish()
    assert record(own_home)["status"] == "killed"
    assert containers(engine, own_home) == []


def test_a_timeout_ends_the_container(start: Any, engine: Any, own_home: Path) -> None:
    session = start("while True: time.sleep(1)", "--timeout", "1s")
    assert session.finish()[0] == 143
    assert "longer than its timeout" in record(own_home)["error"]
    assert containers(engine, own_home) == []


def test_stop_ends_it_from_another_terminal(start: Any, mlproj: Any, engine: Any, own_home: Path) -> None:
    session = start("signal.pause()")
    assert mlproj("stop", record(own_home)["id"][:12]).returncode == 0
    assert session.finish()[0] == 143
    assert containers(engine, own_home) == []


def test_killing_mlproj_ends_the_container(start: Any, mlproj: Any, engine: Any, own_home: Path) -> None:
    session = start("signal.pause()")
    session.process.kill()
    session.finish()
    ran = mlproj("runs", "--json")
    assert "lost" in ran.stderr
    assert record(own_home)["status"] == "lost"
    assert containers(engine, own_home) == []


def test_a_container_whose_whole_mlproj_was_killed_is_ended_by_the_next_command(
    start: Any,
    mlproj: Any,
    engine: Any,
    own_home: Path,
) -> None:
    session = start(STUBBORN)
    assert session.process.stdout.readline() == b"go\n"
    family = [*psutil.Process(session.process.pid).children(recursive=True), psutil.Process(session.process.pid)]
    for each in family:
        each.suspend()
    for each in family:
        each.kill()
    session.process.communicate()
    assert len(containers(engine, own_home)) == 1
    mlproj("runs")
    assert record(own_home)["status"] == "lost"
    assert containers(engine, own_home) == []


def test_too_much_memory_is_told_as_such(start: Any, own_home: Path) -> None:
    session = start("held = bytearray(1 << 30)", docker="memory: 64m")
    assert session.finish()[0] == 137
    assert record(own_home)["error"] == "out of memory, of which it may have 64m: the kernel killed it"


def test_a_container_that_is_removed_while_it_runs(start: Any, engine: Any, own_home: Path) -> None:
    session = start("signal.pause()")
    engine.client.remove_container(containers(engine, own_home)[0], force=True)
    assert session.finish()[0] == 137
    assert record(own_home)["error"] == "its container was removed while it ran"


def test_a_reader_that_goes_away_ends_the_run(start: Any, engine: Any, own_home: Path) -> None:
    session = start("while True: print('y' * 1000)")
    session.process.stdout.close()
    assert session.process.wait(60) == 141
    assert containers(engine, own_home) == []


def test_an_entrypoint_that_is_not_there_is_named(project: Any, mlproj: Any) -> None:
    folder = project(
        f'environment: {{docker: {{image: "{PYTHON_IMAGE}", entrypoint: [no-such-entry]}}}}\n'
        "entry_points: {main: {command: [ls]}}\n"
    )
    done = mlproj("run", folder)
    assert (done.returncode, "the command `no-such-entry` cannot be run" in done.stderr) == (125, True), done.stderr


def test_a_command_that_says_what_an_init_says_has_run(start: Any, own_home: Path) -> None:
    session = start("print('[FATAL tini (7)] exec x failed: hoho', file=sys.stderr); sys.exit(127)")
    assert session.finish()[0] == 127
    assert (record(own_home)["status"], record(own_home)["error"]) == ("failed", None)


def test_an_image_without_the_command_is_told(project: Any, mlproj: Any, own_home: Path) -> None:
    folder = project(
        f'environment: {{docker: {{image: "{PYTHON_IMAGE}"}}}}\n'
        "entry_points: {main: {command: [no-such-program]}, folder: {command: [/usr]}}\n"
    )
    for name, why in (("main", "No such file or directory"), ("folder", "Permission denied")):
        done = mlproj("run", folder, "-e", name)
        assert (done.returncode, "cannot be run in the image" in done.stderr) == (125, True), done.stderr
        assert why in done.stderr
        assert "Traceback" not in done.stderr
        assert record(own_home)["status"] == "failed"


def test_another_users_files_come_back_as_the_callers(project: Any, mlproj: Any) -> None:
    folder = write(
        project, "os.makedirs('made/here')\nopen('made/here/a file', 'w')\nos.symlink('/etc/passwd', 'link')",
        docker='user: "1234:1234"',
    )  # fmt: skip
    folder.chmod(0o777)
    (folder / "theirs").write_text("x")
    os.chown(folder / "theirs", 4321, 4321)
    before = Path("/etc/passwd").stat().st_uid
    done = mlproj("run", folder)
    assert done.returncode == 0, done.stderr
    for name in ("made", "made/here", "made/here/a file", "link"):
        assert (folder / name).lstat().st_uid == os.getuid(), name
    assert ((folder / "theirs").stat().st_uid, Path("/etc/passwd").stat().st_uid) == (4321, before)


AS_ANOTHER = """
set -e
cd {folder}
export HOME={home} MLPROJ_HOME={home}/store DOCKER_HOST={engine}
exec setpriv --reuid 12345 --regid 12345 --clear-groups --inh-caps +dac_override,+dac_read_search \\
  --ambient-caps +dac_override,+dac_read_search {python} -m mlproj {command}
"""


@pytest.fixture
def as_another_user(tmp_path: Path, forwarder: _Forwarder) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `mlproj` as a caller who is not root, who may read what root's home hides (the tests' own Python, say)."""
    if os.geteuid() != 0:
        missing("no right to become another user")
    home = tmp_path / "their home"
    home.mkdir()
    os.chown(home, 12345, 12345)

    def run(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
        for each in (folder, *folder.rglob("*")):
            os.chown(each, 12345, 12345)
        given = {"folder": str(folder), "home": str(home), "engine": forwarder.url, "python": sys.executable}
        script = AS_ANOTHER.format(
            **{name: shlex.quote(text) for name, text in given.items()}, command=shlex.join(map(str, words))
        )
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)

    return run


def test_a_caller_who_is_not_root_is_so_inside_and_has_a_home(project: Any, as_another_user: Any) -> None:
    folder = write(
        project,
        "print(os.getuid(), os.environ['HOME']); open(os.path.expanduser('~/.x'), 'w'); open('made', 'w')",
    )
    done = as_another_user(folder, "run", ".")
    assert (done.returncode, "12345 /home/mlproj" in done.stdout) == (0, True), done.stderr
    assert (folder / "made").stat().st_uid == 12345


ROOTS = """
os.makedirs('y/z/w'); open('y/z/w/f', 'w')
os.makedirs(os.environ['MLPROJ_ARTIFACTS'] + '/sub/x')
for each in ('y/z', os.environ['MLPROJ_ARTIFACTS'] + '/sub'): os.chmod(each, 0o700)
"""


@pytest.mark.parametrize("end", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"])
def test_what_root_left_is_the_callers_also_when_it_was_killed(
    project: Any, as_another_user: Any, tmp_path: Path, end: str
) -> None:
    folder = write(project, ROOTS + end, docker="user: root", grace="1s", more=", timeout: 2s" if end else "")
    done = as_another_user(folder, "run", ".")
    assert done.returncode in (0, 137, 143), done.stderr
    left = [*folder.rglob("*"), *(tmp_path / "their home" / "store" / "runs").rglob("*")]
    assert [str(each) for each in left if each.lstat().st_uid != 12345] == []
    assert (folder / "y/z/w/f").exists()


def test_ports_are_published(start: Any, engine: Any, own_home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    session = start(
        "import socket\ns = socket.create_server(('', 80)); print('listening', flush=True)\ns.accept()[0].sendall(b'hi')",
        docker=f'ports: ["127.0.0.1:{port}:80"]',
    )
    assert session.process.stdout.readline() == b"listening\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        assert connection.recv(10) == b"hi"
    assert session.finish()[0] == 0


def test_the_engine_keeps_no_log_of_its_own(start: Any, engine: Any, own_home: Path) -> None:
    session = start("signal.pause()")
    inspected = engine.client.inspect_container(containers(engine, own_home)[0])
    assert inspected["HostConfig"]["LogConfig"]["Type"] == "none"
    session.process.send_signal(signal.SIGTERM)
    session.finish()


def test_on_a_terminal_the_container_has_one_of_its_size(project: Any) -> None:
    folder = write(
        project,
        "print(os.isatty(0), os.isatty(1), os.isatty(2), os.get_terminal_size())\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print('now', os.get_terminal_size(), flush=True))\n"
        "print('name?', flush=True); print('hello', sys.stdin.readline().strip(), flush=True)\n"
        "signal.pause()\nsignal.pause()",
        grace="5s",
    )
    person = Terminal(folder)
    try:
        person.see(b"ready")
        person.see(b"True True True")
        person.see(b"name?")
        person.type(b"Eve\n")
        person.see(b"hello Eve")
        person.resize(33, 99)
        person.see(b"now os.terminal_size(columns=99, lines=33)")
        person.type(b"\x03")
        assert person.wait() == 130
    finally:
        if person.exit_status is None:
            os.kill(person.pid, signal.SIGKILL)
            os.waitpid(person.pid, 0)
        os.close(person.keyboard)


def test_an_engine_that_goes_away_while_it_runs(
    start: Any, forwarder: _Forwarder, own_home: Path, mlproj: Any, engine: Any
) -> None:
    session = start("signal.pause()", env={**os.environ, "DOCKER_HOST": forwarder.url})
    forwarder.go_away()
    exit_status, _, err = session.finish()
    assert (exit_status, record(own_home)["status"]) == (125, "failed")
    assert "the Docker engine went away" in record(own_home)["error"]
    assert b"Traceback" not in err
    # The engine is back, and what it still runs of that run is nobody's.
    assert len(containers(engine, own_home)) == 1
    session = start("sys.stdin.read()", stdin=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while len(containers(engine, own_home)) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    session.process.communicate(timeout=60)
    assert session.process.returncode == 0
    assert containers(engine, own_home) == []


def test_the_containers_of_another_machines_store_are_left_alone(start: Any, engine: Any, own_home: Path) -> None:
    (own_home / "runs").mkdir(exist_ok=True)
    # The same folder's name and, as far as this store knows, a run that there is none of.
    labels = {"mlproj.run": "0" * 32, "mlproj.store": f"elsewhere:1:{own_home}"}
    other = engine.client.create_container(PYTHON_IMAGE, ["sleep", "60"], labels=labels)["Id"]
    try:
        assert start("time.sleep(2)").finish()[0] == 0
        assert engine.client.inspect_container(other)["State"]["Status"] == "created"
    finally:
        engine.client.remove_container(other, force=True)


def test_no_engine_at_all(project: Any, mlproj: Any) -> None:
    done = mlproj("run", write(project, ""), env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert (done.returncode, "Docker engine at unix:///nowhere/docker.sock" in done.stderr) == (125, True)
    assert "is not there" in done.stderr


def test_an_engine_elsewhere_gets_a_copy_and_gives_the_changes_back(
    project: Any,
    forwarder: _Forwarder,
    own_home: Path,
    tmp_path: Path,
    engine: Any,
) -> None:
    """It shares no folder with this machine: here the project and the store are mounts that it cannot see."""
    if os.geteuid() != 0:
        missing("no right to mount")
    folder = write(
        project,
        "print(sorted(os.listdir('.')), open('kept.txt').read(), open(sys.argv[2]).read())\n"
        "os.makedirs('model'); open('model/weights', 'w').write('1.5')\n"
        "open('changed.txt', 'w').write('new')\n"
        "open(os.environ['MLPROJ_METRICS'], 'a').write('{\"name\": \"loss\", \"value\": 0.5}\\n')\n"
        "open(os.environ['MLPROJ_ARTIFACTS'] + '/note', 'w').write('n')\n"
        "open('same size', 'w').write('beyond'); os.utime('same size', (1700000000, 1700000000))\n"
        "os.remove('removed'); os.remove('a folder/inside'); os.rmdir('a folder'); open('a folder', 'w').write('file')\n"
        "os.makedirs('linked'); open('linked/one', 'w').write('1'); os.link('linked/one', 'linked/two')\n"
        "os.symlink('kept.txt', 'link'); open('zlast', 'w').write('z')\n",
        more=", parameters: {data: {type: path}}, outputs: {model: model/}",
    )
    (folder / "kept.txt").write_text("kept")
    (folder / "changed.txt").write_text("old")
    for name in ("same size", "removed", "a folder/inside"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("before")
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    (tmp_path / "data.csv").write_text("1,2")
    script = f"""
set -e
mkdir -p {tmp_path}/here && mount -t tmpfs none {tmp_path}/here
cp -a {folder} {tmp_path}/here/project; cp {tmp_path}/data.csv {tmp_path}/here/
export MLPROJ_HOME={tmp_path}/here/home
{sys.executable} -m mlproj run {tmp_path}/here/project -P data={tmp_path}/here/data.csv --json
cd {tmp_path}/here/project; cat changed.txt kept.txt model/weights; stat -c %u model/weights
cat $MLPROJ_HOME/runs/*/artifacts/note; echo
cat 'same size' 'a folder' linked/two link zlast; ls removed 2>&1 | wc -l
"""
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        env={**os.environ, "DOCKER_HOST": forwarder.url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told, end = json.JSONDecoder().raw_decode(done.stdout)
    assert (told["status"], told["metrics"]) == ("finished", {"loss": 0.5})
    there = ["a folder", "changed.txt", "kept.txt", "mlproj.yaml", "removed", "same size", "script.py"]
    assert f"{there} kept 1,2" in done.stderr
    assert done.stdout[end:].split() == ["newkept1.50", "n", "beyondfile1keptz1"]
    assert [each for each in engine.client.volumes()["Volumes"] or [] if each["Name"].startswith("mlproj-")] == []
