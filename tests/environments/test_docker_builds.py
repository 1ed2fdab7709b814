"""The kind ``docker`` on a real engine: images that are built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlproj import environments
from mlproj.environments import Environment, Policy
from mlproj.environments.images.building import KEY_LABEL
from mlproj.environments.images.engine import Engine
from mlproj.errors import EnvironmentBuildError, LockError, UsageError
from mlproj.manifest.models import Docker, DockerBuild, EnvironmentSpec
from mlproj.toml import parse_toml
from tests.docker_engine import PYTHON_IMAGE, Registry, Relay, image_ids, missing

ANY = Policy()
Prepare = Callable[..., tuple[Environment, list[str]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.fixture
def dockerfile(folder: Path, nonce: str) -> Callable[[str], None]:
    """Writes a Dockerfile of a test's own, on the Python image."""

    def write(steps: str = "", base: str = PYTHON_IMAGE) -> None:
        (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL nonce={nonce}\nENV NONCE={nonce}\n{steps}")

    return write


@pytest.fixture
def prepare(engine: Engine, folder: Path) -> Prepare:
    """Builds an image, lets go of it, and gives it with what was reported."""

    def run(policy: Policy = ANY, pull: Any = "missing", platform: str | None = None, **build: Any) -> Any:
        told: list[str] = []
        spec = EnvironmentSpec(docker=Docker(build=DockerBuild(**build), pull=pull, platform=platform))
        environment = environments.prepare(spec, None, folder, policy, told.append)
        assert environment.held is not None
        environment.held.release()
        return environment, told

    return run


def in_image(engine: Engine, environment: Environment, *argv: str) -> str:
    """What a command in an image writes."""
    assert environment.container is not None
    created = engine.client.create_container(environment.container.image, list(argv))
    try:
        engine.client.start(created)
        engine.client.wait(created)
        return str(engine.client.logs(created).decode())
    finally:
        engine.client.remove_container(created, force=True)


def log_of(environment: Environment) -> str:
    assert environment.folder is not None
    return (environment.folder / "build.log").read_text()


def test_an_image_is_built_once_with_its_steps_told_and_its_log_kept(
    prepare: Prepare, dockerfile: Callable[..., None], engine: Engine
) -> None:
    dockerfile("ARG WORD=none\nRUN echo said $WORD && echo on-stderr >&2\nRUN echo $WORD > /word\n")

    first, told = prepare(args={"WORD": "hello"})
    second, told_again = prepare(args={"WORD": "hello"})

    assert [phrase for phrase in told if phrase.startswith("[2/")] == [
        "[2/3] RUN echo said hello && echo on-stderr >&2"
    ]
    assert told_again == []
    assert (first.reused, second.reused, first.key) == (False, True, second.key)
    assert "said hello" in log_of(first)
    assert "on-stderr" in log_of(first)
    assert in_image(engine, first, "cat", "/word") == "hello\n"
    assert first.image == f"mlproj/{first.key}:latest"
    inspected = engine.client.inspect_image(first.image)
    assert inspected["Config"]["Labels"][KEY_LABEL] == first.key


def test_the_listing_has_it_and_pruning_removes_it_from_the_engine(
    prepare: Prepare, dockerfile: Callable[..., None], engine: Engine
) -> None:
    dockerfile("RUN true\n")
    environment, _ = prepare()
    assert environment.container is not None

    (listed,) = environments.list_environments()
    removal = environments.prune()

    assert (listed.kind, listed.key, listed.in_use) == ("docker", environment.key, False)
    assert listed.size > engine.client.inspect_image(PYTHON_IMAGE)["Size"] / 2
    assert removal.removed == (environment.key,)
    assert not engine.client.images(environment.image)


def test_what_decides_the_key(prepare: Prepare, dockerfile: Callable[..., None], folder: Path) -> None:
    (folder / "requirements.txt").write_text("one\n")
    (folder / "train.py").write_text("print(1)\n")
    dockerfile("ARG A=1\nCOPY requirements.txt /\nFROM scratch AS small\nCOPY requirements.txt /\n")
    first, _ = prepare()

    (folder / "train.py").write_text("print(2)\n")
    assert prepare()[0].key == first.key, "what is not copied does not count"
    keys = {first.key, prepare(args={"A": "2"})[0].key, prepare(target="small")[0].key}
    (folder / "requirements.txt").write_text("two\n")
    keys.add(prepare()[0].key)
    dockerfile("COPY requirements.txt /\n")
    keys.add(prepare()[0].key)
    assert len(keys) == 5


def test_links_and_mounts_of_the_context_bring_what_they_lead_to(
    prepare: Prepare, dockerfile: Callable[..., None], folder: Path, engine: Engine
) -> None:
    (folder / "real").mkdir()
    (folder / "real" / "f").write_text("one")
    (folder / "lnk").symlink_to("real")
    (folder / "lf").symlink_to("lnk/f")
    dockerfile("COPY lf /a\nCOPY lnk/f /b\nCOPY lnk/ /c/\n")
    first, _ = prepare()
    assert in_image(engine, first, "cat", "/a", "/b", "/c/f") == "oneoneone"

    (folder / "real" / "f").write_text("two")
    assert in_image(engine, prepare()[0], "cat", "/a", "/b", "/c/f") == "twotwotwo"

    dockerfile("RUN --mount=target=/ctx cp /ctx/real/f /d\n")
    assert in_image(engine, prepare()[0], "cat", "/d") == "two"
    (folder / "real" / "f").write_text("three")
    assert in_image(engine, prepare()[0], "cat", "/d") == "three"


def test_dockerignore_is_honoured(
    prepare: Prepare, dockerfile: Callable[..., None], folder: Path, engine: Engine
) -> None:
    for name in ("keep.txt", "secret.key", "data/large.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".dockerignore").write_text("*.key\ndata\n.dockerignore\n")
    dockerfile("COPY . /all/\n")

    environment, _ = prepare()

    found = in_image(engine, environment, "find", "/all", "-type", "f").split()
    assert sorted(found) == ["/all/Dockerfile", "/all/keep.txt"]
    (folder / "data" / "large.bin").write_text("more")
    assert prepare()[0].reused


def test_a_context_and_a_dockerfile_elsewhere_in_the_project(
    prepare: Prepare, dockerfile: Callable[..., None], folder: Path, engine: Engine
) -> None:
    dockerfile("COPY here.txt /\n")
    (folder / "images").mkdir()
    (folder / "app").mkdir()
    (folder / "app" / "here.txt").write_text("here")
    (folder / "Dockerfile").rename(folder / "images" / "train.Dockerfile")

    environment, _ = prepare(context="app", dockerfile="images/train.Dockerfile")

    assert in_image(engine, environment, "cat", "/here.txt") == "here"
    with pytest.raises(UsageError, match=r"no `.*/app/Dockerfile` to build the image from"):
        prepare(context="app")


def test_a_failed_build_shows_its_last_lines_and_where_its_log_is(
    prepare: Prepare, dockerfile: Callable[..., None], engine: Engine, nonce: str
) -> None:
    dockerfile("RUN echo before && echo broken-thing >&2 && exit 7\n")

    with pytest.raises(EnvironmentBuildError) as caught:
        prepare()

    assert caught.value.exit_status == 125
    assert "could not be built" in caught.value.message
    assert "exit code: 7" in caught.value.message
    assert "broken-thing" in caught.value.message
    log = Path(str(caught.value.hint).rpartition(": ")[2])
    assert "broken-thing" in log.read_text()
    assert environments.list_environments() == []
    assert image_ids(engine, f"nonce={nonce}") == set()


def test_an_engine_that_goes_away_while_it_builds(
    dockerfile: Callable[..., None], engine: Engine, relay: Relay, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile("RUN sleep 5\n")
    monkeypatch.setenv("DOCKER_HOST", relay.url)

    def report(phrase: str) -> None:
        if "RUN sleep 5" in phrase:
            relay.cut()

    with pytest.raises(EnvironmentBuildError, match=f"broke off: the Docker engine at {relay.url}") as caught:
        environments.prepare(EnvironmentSpec(docker=Docker(build=DockerBuild())), None, folder, ANY, report)

    assert "docker version" in str(caught.value.hint)
    assert environments.list_environments() == []


def test_a_dockerfile_that_cannot_be_read_by_the_builder(prepare: Prepare, dockerfile: Callable[..., None]) -> None:
    dockerfile("NONSENSE here\n")

    with pytest.raises(EnvironmentBuildError, match="(?i)unknown instruction: NONSENSE"):
        prepare()


def test_a_step_of_buildkit_alone_works(prepare: Prepare, dockerfile: Callable[..., None], engine: Engine) -> None:
    dockerfile("RUN --mount=type=cache,target=/cache echo kept > /cache/x && cp /cache/x /x\n")

    assert in_image(engine, prepare()[0], "cat", "/x") == "kept\n"


def test_a_frontend_that_is_not_to_be_had_is_done_without(
    prepare: Prepare, dockerfile: Callable[..., None], folder: Path
) -> None:
    dockerfile("RUN true\n")
    path = folder / "Dockerfile"
    path.write_text("# syntax=127.0.0.1:9/dockerfile:1\n" + path.read_text())

    environment, told = prepare()

    assert environment.image is not None
    assert any(phrase.startswith("without the frontend that the Dockerfile names") for phrase in told)
    again, told_again = prepare()
    assert again.key == environment.key
    assert told_again == []


def test_a_stale_lock_is_refused_before_anything_is_pulled_for_it(
    prepare: Prepare, registry: Registry, small: Callable[[str], str], folder: Path, engine: Engine
) -> None:
    (folder / "Dockerfile").write_text(f"FROM {PYTHON_IMAGE}\n")
    lock(folder)
    registry.push(small("one"), "other:1")
    (folder / "Dockerfile").write_text(f"FROM {registry.address}/other:1\n")

    with pytest.raises(LockError, match="the Dockerfile changed; what it builds on changed"):
        prepare(Policy(locked=True))

    assert not engine.client.images(f"{registry.address}/other")


def test_a_base_image_is_pulled_pinned_and_followed_when_it_is_asked_for(
    prepare: Prepare, registry: Registry, small: Callable[[str], str], folder: Path, engine: Engine
) -> None:
    digest = registry.push(small("one"), "base:1")
    base = f"{registry.address}/base:1"
    (folder / "Dockerfile").write_text(f"ARG TAG=0\nFROM {registry.address}/base:${{TAG}}\nLABEL a=b\n")

    first, told = prepare(args={"TAG": "1"})

    assert told[0] == f"pulling {base}"
    assert f"FROM {registry.address}/base@{digest}" in log_of(first)
    registry.move(small("two"), "base:1")
    assert prepare(args={"TAG": "1"})[0].key == first.key
    assert prepare(Policy(refresh=True), args={"TAG": "1"})[0].key != first.key


def test_a_base_image_that_is_not_to_be_had(prepare: Prepare, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM surely-not-here:1\n")

    with pytest.raises(EnvironmentBuildError, match="`surely-not-here:1`, and `pull: never`"):
        prepare(pull="never")
    with pytest.raises(EnvironmentBuildError, match="`--offline` forbids"):
        prepare(Policy(offline=True))


def lock(folder: Path, **build: Any) -> Any:
    spec = EnvironmentSpec(docker=Docker(build=DockerBuild(**build)))
    return environments.lock(spec, None, folder, False, [], lambda _: None)


def test_a_lock_pins_base_images_and_tells_what_the_build_was_of(
    prepare: Prepare, registry: Registry, small: Callable[[str], str], folder: Path
) -> None:
    digest = registry.push(small("one"), "base:1")
    base = f"{registry.address}/base:1"
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY requirements.txt /\n")
    (folder / "requirements.txt").write_text("one\n")

    made = lock(folder, args={"A": "1"})

    assert made.added == {base: digest[:19]}
    (table,) = parse_toml((folder / "mlproj.lock").read_text())["environments"]
    assert table["build"]["bases"] == [{"image": base, "digest": digest}]
    assert table["build"]["args"] == {"A": "1"}
    first, _ = prepare(Policy(locked=True), args={"A": "1"})
    assert first.lock_text == (folder / "mlproj.lock").read_text()

    registry.move(small("two"), "base:1")
    assert prepare(Policy(refresh=True), args={"A": "1"})[0].key == first.key, "pinned is pinned"
    with pytest.raises(LockError, match="stale: `args` changed"):
        prepare(Policy(locked=True), args={"A": "2"})
    (folder / "requirements.txt").write_text("two\n")
    with pytest.raises(LockError, match="the files that the Dockerfile copies changed"):
        prepare(Policy(locked=True), args={"A": "1"})
    changed, told = prepare(args={"A": "1"})
    assert changed.key != first.key
    assert not any("stale" in phrase for phrase in told)
    assert f"base@{digest}" in log_of(changed)


def test_a_plan_builds_nothing_and_foresees_the_key(
    prepare: Prepare, dockerfile: Callable[..., None], folder: Path
) -> None:
    dockerfile("RUN true\n")
    spec = EnvironmentSpec(docker=Docker(build=DockerBuild()))

    planned = environments.plan(spec, None, folder, Policy())

    assert not planned.built
    assert environments.list_environments() == []
    assert prepare()[0].key == planned.key


BUILDER = """
import json, sys
from pathlib import Path
from mlproj import environments
from mlproj.environments import Policy
from mlproj.manifest.models import Docker, DockerBuild, EnvironmentSpec
spec = EnvironmentSpec(docker=Docker(build=DockerBuild()))
environment = environments.prepare(spec, None, Path(sys.argv[1]), Policy(), lambda phrase: print(phrase, flush=True))
print(json.dumps([environment.key, environment.reused, environment.container.image]), flush=True)
"""


def start_builder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILDER, str(folder)], stdout=subprocess.PIPE, text=True)


def test_two_at_once_build_once(dockerfile: Callable[..., None], engine: Engine, folder: Path) -> None:
    dockerfile("RUN sleep 1; head -c 16 /dev/urandom | sha256sum > /once\n")
    builders = [start_builder(folder) for _ in range(3)]
    answers = [builder.communicate(timeout=120)[0].splitlines() for builder in builders]

    results = [json.loads(lines[-1]) for lines in answers]

    assert len({image for _, _, image in results}) == 1
    assert sorted(reused for _, reused, _ in results) == [False, True, True]
    assert sum("waiting for another mlproj" in line for lines in answers for line in lines) >= 1


def test_a_builder_that_is_killed_leaves_nothing_that_is_used(
    prepare: Prepare, dockerfile: Callable[..., None], engine: Engine, folder: Path, cache: Path, nonce: str
) -> None:
    dockerfile("RUN sleep 3 && echo whole > /whole\n")
    killed = start_builder(folder)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "RUN sleep 3" in line:
            break
    killed.kill()
    killed.wait()
    assert image_ids(engine, f"nonce={nonce}") == set()
    assert environments.list_environments() == []

    environment, _ = prepare()

    assert not environment.reused
    assert in_image(engine, environment, "cat", "/whole") == "whole\n"
    assert list((cache / "scratch").iterdir()) == []


def test_an_image_whose_builder_was_killed_at_the_very_end_is_adopted(
    prepare: Prepare, dockerfile: Callable[..., None], engine: Engine, cache: Path
) -> None:
    dockerfile("RUN head -c 16 /dev/urandom | sha256sum > /once\n")
    first, _ = prepare()
    assert first.folder is not None
    shutil.rmtree(first.folder)

    again, told = prepare()

    assert again.container is not None
    assert first.container is not None
    assert again.container.image == first.container.image
    assert told == []


def test_a_built_image_that_somebody_removed_is_built_again(
    prepare: Prepare, dockerfile: Callable[..., None], engine: Engine
) -> None:
    dockerfile("RUN true\n")
    first, _ = prepare()
    engine.client.remove_image(first.image, force=True)

    again, _ = prepare()

    assert not again.reused
    assert engine.client.images(again.image)


@pytest.fixture
def docker_with_buildkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker command that builds with BuildKit, first in PATH."""
    for program in ("/usr/bin/docker", "/usr/local/bin/docker"):
        folder = tmp_path / program.replace("/", "-")
        folder.mkdir()
        if Path(program).exists():
            (folder / "docker").symlink_to(program)
            with monkeypatch.context() as within:
                within.setenv("PATH", f"{folder}:{os.environ['PATH']}")
                from mlproj.environments.images.building import building_command

                try:
                    building_command()
                except EnvironmentBuildError:
                    continue
            monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
            return
    missing("no docker command with BuildKit")


def test_a_secret_is_there_while_it_is_needed_and_in_no_layer(
    prepare: Prepare,
    dockerfile: Callable[..., None],
    engine: Engine,
    docker_with_buildkit: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("INDEX_TOKEN", "very-secret-word")
    dockerfile("RUN --mount=type=secret,id=INDEX_TOKEN sha256sum /run/secrets/INDEX_TOKEN | cut -c 1-64 > /digest\n")

    environment, told = prepare(secrets=["INDEX_TOKEN"], args={"WORD": "a"})

    import hashlib

    assert in_image(engine, environment, "cat", "/digest").strip() == hashlib.sha256(b"very-secret-word").hexdigest()
    saved = b"".join(engine.client.get_image(environment.image))
    assert b"very-secret-word" not in saved
    assert b"very-secret-word" not in json.dumps(engine.client.history(environment.image)).encode()
    assert "very-secret-word" not in log_of(environment)
    assert any(phrase.startswith("[2/2] RUN --mount=type=secret") for phrase in told)


def test_a_secret_that_is_not_set_is_told(
    prepare: Prepare, dockerfile: Callable[..., None], docker_with_buildkit: None
) -> None:
    dockerfile("RUN true\n")

    with pytest.raises(UsageError, match="the secret `SURELY_NOT_SET`"):
        prepare(secrets=["SURELY_NOT_SET"])


def test_a_build_with_secrets_that_fails_shows_its_last_lines(
    prepare: Prepare, dockerfile: Callable[..., None], docker_with_buildkit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDEX_TOKEN", "very-secret-word")
    dockerfile("RUN --mount=type=secret,id=INDEX_TOKEN echo broken-thing && exit 3\n")

    with pytest.raises(EnvironmentBuildError, match="broken-thing"):
        prepare(secrets=["INDEX_TOKEN"])


def test_without_a_docker_command_secrets_are_refused_and_sent_nowhere(
    prepare: Prepare, dockerfile: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("INDEX_TOKEN", "very-secret-word")
    dockerfile("RUN true\n")

    with pytest.raises(EnvironmentBuildError, match="needs the docker command with its buildx") as caught:
        prepare(secrets=["INDEX_TOKEN"])

    assert "docker-buildx" in str(caught.value.hint)
