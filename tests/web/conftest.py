"""A store of real runs, made by really running `mlproj run`, and `mlproj ui` over it: as a client, and in a browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlproj.runs.query import search
from mlproj.runs.record import RunRecord
from mlproj.runs.store import open_store
from mlproj.web.application import application
from mlproj.web.security import Access, csrf_token
from mlproj.web.stores import Site

BASE = "http://127.0.0.1:8765"
SECRET = b"s" * 32
MANIFEST = """\
name: digits
environment: {system: {}}
entry_points:
  train:
    command: [python3, train.py, --lr, "{lr}"]
    parameters:
      lr: {type: float, default: 0.1}
      solver: {type: str, default: sgd}
      layers: {type: "list[int]", default: [64, 32]}
      api_key: {type: secret?, env: DIGITS_KEY}
    inputs: [data.csv]
    outputs: {model: model/}
"""
TRAIN = r"""
import json, os, pathlib, sys, time
lr = float(sys.argv[2])
with open(os.environ["MLPROJ_METRICS"], "a") as metrics:
    for step in range(30):
        metrics.write(json.dumps({"metrics": {"loss": 1 / (1 + step * lr), "accuracy": step / 30}, "step": step}) + "\n")
        print(f"\x1b[32mepoch {step}\x1b[0m done")
print("the last line")
artifacts = pathlib.Path(os.environ["MLPROJ_ARTIFACTS"])
(artifacts / "notes.md").write_text("# Notes\n\n*fine*\n\n<script>document.title = 'taken'</script>\n")
(artifacts / "table.csv").write_text("name,value\nfirst,1\nsecond,2\n")
(artifacts / "config.json").write_text('{"lr": 0.1}')
(artifacts / "plots").mkdir()
(artifacts / "plots" / "curve.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0 9 9"/></svg>')
pathlib.Path("model").mkdir(exist_ok=True)
pathlib.Path("model/weights.bin").write_bytes(bytes(range(256)))
"""
# What goes on until it is told to end: by a file, so that no test waits for the clock.
WATCHED = r"""
import json, os, pathlib, sys, time
metrics = open(os.environ["MLPROJ_METRICS"], "a")
step = 0
while not pathlib.Path("enough").exists():
    metrics.write(json.dumps({"name": "loss", "value": 1 / (step + 1), "step": step}) + "\n")
    metrics.flush()
    print(f"step {step}", flush=True)
    step += 1
    time.sleep(0.1)
print("ended well")
"""
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
HOSTILE_SCRIPT = f"""
import json, os, pathlib
hostile = {HOSTILE!r}
with open(os.environ["MLPROJ_METRICS"], "a") as metrics:
    for step in range(3):
        metrics.write(json.dumps({{"name": hostile, "value": step, "step": step}}) + "\\n")
    metrics.write(json.dumps({{"name": "'+alert(1)+'", "value": 1, "step": 0}}) + "\\n")
    metrics.write(json.dumps({{"params": {{hostile: hostile}}}}) + "\\n")
    metrics.write(json.dumps({{"tags": {{hostile: hostile}}}}) + "\\n")
print(hostile)
print("\\x1b]8;;javascript:alert(1)\\x07link\\x1b]8;;\\x07 \\u202e turned")
artifacts = pathlib.Path(os.environ["MLPROJ_ARTIFACTS"])
act = "<script>parent.document.title='taken';document.title='taken'</script>"
(artifacts / "page.html").write_text(f"<h1 id=shown>Hello</h1>{{act}}<a id=out href='/'>out</a>")
(artifacts / "picture.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'>{{act}}</svg>")
(artifacts / "text.md").write_text(f"{{hostile}}\\n\\n[go](javascript:alert(1))\\n\\n![x](http://evil.example/x.png)\\n")
(artifacts / "table.csv").write_text(f"a,b\\n{{hostile.replace(',', ';')}},2\\n")
(artifacts / "<b>bold.txt").write_text(hostile)
os.symlink("/etc/passwd", artifacts / "passwd.txt")
os.symlink("/etc", artifacts / "folder")
"""


def run_in(folder: Path, home: Path, *words: str, **environment: str) -> None:
    """Really run a project of the folder into the store."""
    done = subprocess.run(
        [sys.executable, "-m", "mlproj", "run", ".", *words],
        cwd=folder, env={**os.environ, "MLPROJ_HOME": str(home), **environment}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def project_in(folder: Path, script: str, manifest: str = MANIFEST) -> Path:
    """A project with a script, in a git repository whose remote is on a forge."""
    folder.mkdir(parents=True)
    (folder / "mlproj.yaml").write_text(manifest)
    (folder / "train.py").write_text(script)
    (folder / "data.csv").write_text("x,y\n1,2\n")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    remote = ["remote", "add", "origin", "git@github.com:someone/digits.git"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "First"], remote):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


@dataclass(frozen=True)
class Made:
    """A store of runs, by their names."""

    home: Path
    runs: dict[str, RunRecord]

    def id(self, name: str) -> str:
        return self.runs[name].id


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three runs of one project, one of them with changes, and a hostile one."""
    home, folder = tmp_path_factory.mktemp("ui-home"), tmp_path_factory.mktemp("ui")
    project = project_in(folder / "digits", TRAIN)
    key = {"DIGITS_KEY": "sesame-open-now"}
    run_in(project, home, "--name", "plain", **key)
    run_in(project, home, "--name", "fast", "-P", "lr=0.5", "-P", "layers=[8, 8]", "--experiment", "tuning", **key)
    with (project / "train.py").open("a") as stream:
        stream.write("print('changed')\n")
    run_in(project, home, "--name", "changed", "-P", "lr=0.3", "-P", "solver=adam", "--experiment", "tuning", **key)
    manifest = "name: hostile\nenvironment: {system: {}}\nentry_points: {train: {command: [python3, train.py]}}\n"
    hostile = project_in(folder / "hostile", HOSTILE_SCRIPT, manifest)
    run_in(hostile, home, "--name", HOSTILE, "--experiment", HOSTILE)
    store = open_store(home)
    return Made(home, {record.name: record for record in search(store).records})


@pytest.fixture
def copy_of(made: Made, tmp_path: Path) -> Made:
    """The same, to be changed."""
    home = tmp_path / "copy"
    shutil.copytree(made.home, home, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    return Made(home, made.runs)


def client_of(home: Path, base: str = BASE, **access: Any) -> TestClient:
    """A client of the pages over a store, as a browser on this machine is one."""
    site = Site(home, Access(**{"secret": SECRET, "hosts": frozenset({"localhost"}), **access}))
    return TestClient(application(site), base_url=base, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def client(made: Made) -> TestClient:
    return client_of(made.home)


def form_fields(**fields: Any) -> dict[str, Any]:
    """What a page's own form sends."""
    return {"csrf": csrf_token(Access(SECRET, frozenset())), **fields}


@contextmanager
def served(home: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`mlproj ui` as a process of its own: its address, and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlproj", "ui", "--port", "0", *words],
        env={**os.environ, "MLPROJ_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


@contextmanager
def shown(page: Any, home: Path, *words: str) -> Iterator[str]:
    """The address of `mlproj ui` for a page that asks on by itself: it is left before the server ends."""
    with served(home, *words) as (address, _):
        yield address
        page.goto("about:blank")


@pytest.fixture(scope="session")
def server(made: Made) -> Iterator[str]:
    """The address of `mlproj ui` over the runs."""
    with served(made.home) as (address, _):
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium. Where there is none tests are skipped; in CI they fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no `chromium`, and CI is to have one: apt-get install chromium")
        pytest.skip("there is no `chromium`: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test when a script fails, or when something is asked of elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.faults = faults
    yield opened
    context.close()
    assert faults == []
