"""``mlproj build`` on a real engine: what an image does, what is in it, and that it is the same again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlproj.environments.images.engine import Engine
from mlproj.errors import PackagingError
from mlproj.packaging.image import push
from tests.conftest import mlproj
from tests.docker_engine import PYTHON_IMAGE, Registry, Relay, remove_names
from tests.environments import wheels
from tests.environments.conda_world import own_channel, own_conda  # noqa: F401
from tests.environments.wheels import write_wheel

MANIFEST = """
name: wine
description: NONCE
environment: {virtualenv: {dependencies: [pear]}}
entry_points:
  main:
    command: [python, train.py, "{alpha}"]
    parameters: {alpha: {type: float, default: 0.5, min: 0, description: Strength}}
    outputs: {model: {path: model.txt}}
  other: {command: [pear]}
  fail: {command: [sh, -c, "exit 7"]}
  wait: {command: [sh, -c, "echo waiting; sleep 100"]}
"""
TRAIN = "import sys, pear; open('model.txt', 'w').write(sys.argv[1]); pear.main(); print('alpha', sys.argv[1])\n"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_wheels_fetched_once(own_home: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for all of these tests: mlproj's own wheels, which are 80 MB, are in it."""
    monkeypatch.setenv("MLPROJ_CACHE", str(shared_cache))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels beside the indexes that this machine has."""
    folder = tmp_path / "wheels"
    write_wheel(folder, "pear", "1.0")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wine(packages: Path, tmp_path: Path, nonce: str) -> Path:
    """A repository with a project."""
    folder = tmp_path / "wine"
    folder.mkdir()
    for name, content in {
        "mlproj.yaml": MANIFEST.replace("NONCE", nonce),
        "train.py": TRAIN,
        ".env": "TOKEN=hush",
        "deploy_key": "-----BEGIN RSA PRIVATE KEY-----\nhush\n",
        "notes.md": "no",
    }.items():
        (folder / name).write_text(content)
    (folder / ".dockerignore").write_text("*.md\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "wine"\nversion = "1.2"\n')
    who = {"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@x", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@x"}
    for words in (["init", "-q"], ["remote", "add", "origin", "https://u:secret@x.example/wine.git"], ["add", "."]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "first"], cwd=folder, check=True, env={**os.environ, **who})
    return folder


@pytest.fixture
def tag(engine: Engine, nonce: str) -> Iterator[str]:
    """A name for a test's images, which go after it."""
    yield f"mlproj-test/built-{nonce}:1"
    remove_names(engine, f"mlproj-test/built-{nonce}")
    # Those whose names went to newer ones.
    engine.client.prune_images({"dangling": True, "label": [f"org.opencontainers.image.description={nonce}"]})


def build(*arguments: str | Path, base: str | None = PYTHON_IMAGE) -> dict[str, Any]:
    on = [] if base is None else ["--base", base]
    done = mlproj("build", *arguments, *on, "--json")
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "said": done.stderr}


def docker_run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = ["docker", "run", "--rm", "--network=none", *options, image, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


def inside(image: str, *command: str) -> str:
    first, *rest = command
    return docker_run(image, *rest, options=("--entrypoint", first)).stdout


def layers(engine: Engine, image: str) -> list[str]:
    return list(engine.client.inspect_image(image)["RootFS"]["Layers"])


def assert_stopped_at_once(engine: Engine, image: str) -> None:
    """``docker stop`` reaches the command, which mlproj, the container's first process, records as killed."""
    container = engine.client.create_container(image, ["-e", "wait"])
    try:
        engine.client.start(container)
        next(each for each in engine.client.logs(container, stream=True) if b"waiting" in each)
        begun = time.monotonic()
        engine.client.stop(container, timeout=20)
        assert time.monotonic() - begun < 10
        assert engine.client.inspect_container(container)["State"]["ExitCode"] == 128 + signal.SIGTERM
        assert b"killed" in engine.client.logs(container)
    finally:
        engine.client.remove_container(container, force=True)


def test_an_image_checks_its_parameters_runs_and_records(engine: Engine, wine: Path, tag: str, tmp_path: Path) -> None:
    built = build(wine, "-t", tag)

    ran = docker_run(tag, "-P", "alpha=0.1")
    assert (ran.returncode, ran.stdout) == (0, "pear 1.0\nalpha 0.1\n"), ran.stderr
    wrong = docker_run(tag, "-P", "alpha=x")
    here = mlproj("run", wine, "-P", "alpha=x")
    assert (wrong.returncode, wrong.stderr) == (2, here.stderr)
    assert "parameter `alpha`" in wrong.stderr
    asked = docker_run(tag, "--help")
    assert asked.stdout.startswith("Usage: docker run IMAGE -e main ")
    assert asked.returncode == 0
    assert "Strength  [float; at least 0; default: 0.5]" in asked.stdout
    assert docker_run(tag, "-e", "other").stdout == "pear 1.0\n"
    assert docker_run(tag, "-e", "fail").returncode == 7

    # The store is where the image's user can write, or in a volume, a new one too.
    fresh = f"mlproj-test-{tag.partition(':')[0].rpartition('-')[2]}"
    try:
        new = docker_run(tag, options=("--volume", f"{fresh}:/runs", "--env", "MLPROJ_HOME=/runs"))
        assert new.returncode == 0, new.stderr
    finally:
        subprocess.run(["docker", "volume", "rm", "-f", fresh], capture_output=True, check=True)
    volume = tmp_path / "store"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    kept = docker_run(tag, options=("--volume", f"{volume}:/runs", "--env", "MLPROJ_HOME=/runs"))
    assert kept.returncode == 0, kept.stderr
    record = json.loads(mlproj("show", "@last", "--json", env={"MLPROJ_HOME": str(volume)}).stdout)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=wine, capture_output=True, text=True).stdout.strip()
    assert record["source"]["made_from"] == f"https://x.example/wine.git@{commit}"
    assert record["environment"]["kind"] == "virtualenv"
    assert record["environment"]["packages"] == {"pear": "1.0"}
    assert "environment" not in kept.stderr  # built already: nothing is said of it

    assert_stopped_at_once(engine, tag)

    on_it = mlproj("build", wine, "-t", tag, "--base", tag)
    assert on_it.returncode == 2, on_it.stderr
    assert "has an mlproj in it already" in on_it.stderr

    # Nobody in particular owns it, no secret and nothing that was ignored is in it.
    assert inside(tag, "id", "-u") == "1000\n"
    assert inside(tag, "ls", "-A", "/project").split() == [
        *(".dockerignore", "mlproj.yaml", "pylock.toml", "pyproject.toml", "train.py"),
    ]
    assert "not put into the image, being called as secrets are" in built["said"]
    history = subprocess.run(["docker", "history", "--no-trunc", tag], capture_output=True, text=True).stdout
    assert "hush" not in history
    assert "index" not in history
    labels = engine.client.inspect_image(tag)["Config"]["Labels"]
    known = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert known["source"] == "https://x.example/wine.git"
    assert (known["revision"], known["title"], known["version"]) == (commit, "wine", "1.2")


def test_only_the_layer_of_the_source_changes_with_the_source(engine: Engine, wine: Path, tag: str) -> None:
    build(wine, "-t", tag)
    first = layers(engine, tag)
    (wine / "train.py").write_text("print('another')\n")
    manifest = (wine / "mlproj.yaml").read_text()
    (wine / "mlproj.yaml").write_text(manifest.replace("default: 0.5", "default: 0.7"))

    build(wine, "-t", tag)

    second = layers(engine, tag)
    changed = [number for number, (old, new) in enumerate(zip(first, second)) if old != new]
    assert changed == [len(first) - 2]  # the last is the folder to start in
    assert docker_run(tag, "-e", "other").stdout == "pear 1.0\n"


def test_the_slim_image_of_its_python_is_built_on_where_none_is_named(
    engine: Engine, wine: Path, tag: str, stand_in: Callable[[str, str], None]
) -> None:
    version = inside(PYTHON_IMAGE, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    stand_in(PYTHON_IMAGE, f"python:{version}-slim")
    manifest = (wine / "mlproj.yaml").read_text()
    manifest = manifest.replace("{dependencies: [pear]}", f"{{dependencies: [pear], python: '{version}'}}")
    (wine / "mlproj.yaml").write_text(manifest)

    build(wine, "-t", tag, "--platform", f"linux/{engine.client.version()['Arch']}", base=None)

    assert docker_run(tag, "-e", "other").stdout == "pear 1.0\n"
    labels = engine.client.inspect_image(tag)["Config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == f"python:{version}-slim"


def test_a_docker_environment_is_what_is_built_on(engine: Engine, wine: Path, tag: str) -> None:
    docker = f"{{docker: {{image: '{PYTHON_IMAGE}', environment: [[GREETING, 'a \"$b\"'], [API_TOKEN, hush]], user: '4242'}}}}"
    (wine / "mlproj.yaml").write_text(
        f"environment: own\nenvironments: {{own: {docker}, v: {{virtualenv: {{dependencies: [pear]}}}}}}\n"
        "entry_points: {main: {command: [printenv, GREETING]}, v: {command: [pear], environment: v}}\n"
    )

    built = build(wine, "-t", tag, base=None)

    ran = docker_run(tag)
    assert (ran.returncode, ran.stdout) == (0, 'a "$b"\n'), ran.stderr
    assert "being called as secrets are: API_TOKEN (their values stand in the manifest" in built["said"]
    assert "to be given to `docker run`: user\n" in built["said"]
    assert "the entry point `v` runs in a virtualenv, which is not in this image" in built["said"]
    assert "hush" not in json.dumps(engine.client.inspect_image(tag))


def test_a_conda_environment_is_built_into_it_without_a_network(
    engine: Engine,
    tmp_path: Path,
    tag: str,
    own_channel: Callable[..., str],  # noqa: F811
) -> None:
    channel = own_channel("mine", "berry 1.0", "shrub 2.0 berry")
    folder = tmp_path / "berries"
    folder.mkdir()
    (folder / "mlproj.yaml").write_text(
        "environment: {conda: {file: environment.yml}}\n"
        "entry_points: {main: {command: [sh, -c, 'cat $CONDA_PREFIX/share/shrub']}}\n"
    )
    (folder / "environment.yml").write_text(f"channels: ['{channel}']\ndependencies: [shrub]\n")

    build(folder, "-t", tag)

    ran = docker_run(tag)
    assert (ran.returncode, ran.stdout) == (0, "2.0"), ran.stderr


def test_a_project_that_is_installed_itself_is(engine: Engine, wine: Path, tag: str) -> None:
    source = wine / "quince.py"
    source.write_text("def main():\n    print('quince')\n")
    (wine / ".dockerignore").write_text("*\n!*.py\n!about.txt\n")  # neither manifest nor lock
    (wine / "backend.py").write_bytes(Path(wheels.__file__).read_bytes())
    (wine / "about.txt").write_text("name=quince\nversion=1.0\n")
    (wine / "pyproject.toml").write_text(
        '[project]\nname = "quince"\nversion = "1.0"\n'
        '[build-system]\nrequires = ["pear"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (wine / "mlproj.yaml").write_text(
        "environment: {virtualenv: {project: pyproject.toml}}\n"
        "entry_points: {main: {command: [python, -P, -c, 'import quince; quince.main()']}}\n"
    )
    subprocess.run(["git", "add", "."], cwd=wine, check=True)

    build(wine, "-t", tag)

    ran = docker_run(tag)
    assert (ran.returncode, ran.stdout) == (0, "quince\n"), ran.stderr


def test_an_image_is_pushed_where_its_name_says(
    engine: Engine, registry: Registry, small: Callable[[str], str], tag: str
) -> None:
    name = f"{registry.address}/{tag}"
    engine.client.tag(small("content"), name)

    digest = push(engine, name, lambda _: None)

    assert digest is not None
    assert engine.client.inspect_distribution(name)["Descriptor"]["digest"] == digest


def test_what_cannot_be_pushed_is_said(engine: Engine, small: Callable[[str], str], tag: str) -> None:
    name = f"127.0.0.1:9/{tag}"
    engine.client.tag(small("content"), name)

    with pytest.raises(PackagingError, match=f"the image `{name}` could not be pushed: .*refused"):
        push(engine, name, lambda _: None)

    remove_names(engine, "127.0.0.1:9/")


def command_lines() -> list[list[str]]:
    return [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]


@pytest.mark.slow
def test_a_killed_build_leaves_no_image_and_the_next_one_without_a_cache_has_the_same_layers(
    engine: Engine, wine: Path, tag: str, shared_cache: Path
) -> None:
    build(wine, "-t", tag)
    again, name = wine.with_name("again"), f"{tag}-again"
    subprocess.run(["git", "clone", "-q", wine, again], check=True)
    argv = [sys.executable, "-m", "mlproj", "build", again, "-t", name, "--base", PYTHON_IMAGE, "--no-cache"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = next(each for each in process.stderr if "inside_base.py" in each)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()

    assert "RUN" in line
    assert any((shared_cache / "scratch").iterdir())
    # Its engine breaks it off: the step, which takes longest, ends without having been to its end.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any("inside_base.py" in " ".join(each) for each in command_lines()):
        pass
    assert not engine.client.images(name)
    build(again, "-t", name, "--no-cache")
    assert not any((shared_cache / "scratch").iterdir())
    assert layers(engine, name) == layers(engine, tag)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_no_container(
    engine: Engine, relay: Relay, wine: Path, tag: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def containers() -> set[str]:
        return {each["Id"] for each in engine.client.containers(all=True, filters={"ancestor": PYTHON_IMAGE})}

    before = containers()
    relay.asked_for = b"/containers/create"
    monkeypatch.setenv("DOCKER_HOST", relay.url)
    argv = [sys.executable, "-m", "mlproj", "build", wine, "-t", tag, "--base", PYTHON_IMAGE]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert relay.was_asked.wait(60)
    while containers() == before:
        assert process.poll() is None
    process.send_signal(number)
    relay.answer()
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said.splitlines()[-1]) == (128 + number, "error: interrupted"), said
    assert containers() == before


@pytest.mark.parametrize(
    ("manifest", "options", "said"),
    [
        (MANIFEST, ["-t", "Wine:1"], "is no name for an image"),
        (MANIFEST, ["-t", "x:1", "--base", "--privileged"], "is no image to build on"),
        (MANIFEST, ["-t", "x:1", "-e", "nothing"], "no entry point `nothing`"),
        (
            MANIFEST.replace("dependencies: [pear]", "dependencies: [pear], python: '3.10'"),
            ["-t", "x:1", "--base", PYTHON_IMAGE],
            "needs Python 3.10",
        ),
        (
            "environment: {docker: {image: x}}\nentry_points: {main: {command: [ls]}}\n",
            ["-t", "x:1", "--base", "y"],
            "--base",
        ),
    ],
)
def test_what_cannot_be_built_is_said(engine: Engine, wine: Path, manifest: str, options: list[str], said: str) -> None:
    (wine / "mlproj.yaml").write_text(manifest)

    done = mlproj("build", wine, *options)

    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_an_image_without_a_python_is_not_built_on(wine: Path, small: Callable[[str], str], tag: str) -> None:
    done = mlproj("build", wine, "-t", tag, "--base", small("nothing"))

    assert done.returncode == 2, done.stderr
    assert "has no Python, and mlproj, which is put into it, needs one" in done.stderr


def test_without_an_engine_it_is_said(wine: Path) -> None:
    done = mlproj("build", wine, "-t", "x:1", env={"DOCKER_HOST": "unix:///nowhere.sock"})

    assert done.returncode == 125
    assert "/nowhere.sock" in done.stderr
