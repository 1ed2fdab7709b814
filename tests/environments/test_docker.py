"""The kind ``docker`` on a real engine: images that are there, pulled and pinned."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound

from mlproj import environments
from mlproj.environments import Environment, Policy
from mlproj.environments.environment import Volume
from mlproj.environments.images.engine import Engine
from mlproj.errors import EnvironmentBuildError, LockError, UsageError
from mlproj.manifest.models import Docker, DockerBuild, EnvironmentSpec
from mlproj.toml import parse_toml
from tests.docker_engine import PYTHON_IMAGE, R_IMAGE, Registry, Relay

ANY = Policy()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    return made


Prepare = Callable[..., tuple[Environment, list[str]]]


@pytest.fixture
def prepare(engine: Engine, folder: Path) -> Prepare:
    """Prepares an image, lets go of it, and gives it with what was reported."""

    def run(image: str = PYTHON_IMAGE, policy: Policy = ANY, name: str | None = None, **more: Any) -> Any:
        told: list[str] = []
        spec = EnvironmentSpec(docker=Docker(image=image, **more))
        environment = environments.prepare(spec, name, folder, policy, told.append)
        assert environment.held is not None
        environment.held.release()
        return environment, told

    return run


def lock(image: str, folder: Path, name: str | None = None, upgrade: bool = False, **more: Any) -> Any:
    spec = EnvironmentSpec(docker=Docker(image=image, **more))
    return environments.lock(spec, name, folder, upgrade, [], lambda _: None)


def test_an_image_that_is_there_is_taken_and_nothing_is_asked(prepare: Prepare, engine: Engine) -> None:
    first, told = prepare()
    second, _ = prepare()

    assert told == []
    assert (first.kind, first.platform, first.image) == ("docker", "linux/amd64", PYTHON_IMAGE)
    assert first.container is not None
    assert first.container.image == engine.client.inspect_image(PYTHON_IMAGE)["Id"]
    assert (first.reused, second.reused) == (False, True)
    assert first.key == second.key
    assert first.lock_name == "mlproj.lock"


def test_commands_run_as_the_caller_in_the_project(prepare: Prepare) -> None:
    container = prepare()[0].container

    assert container is not None
    assert container.user == f"{os.getuid()}:{os.getgid()}"
    assert (container.project_at, container.workdir) == ("/project", "/project")
    assert container.shares_folders


def test_what_is_declared_comes_through(prepare: Prepare, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_HERE", "secret-word")
    container = prepare(
        volumes=["$(pwd)/out:/out", "cache:/cache:ro"],
        environment=["TOKEN_HERE", ["MODE", "fast"]],
        user="nobody",
        workdir="/work",
        entrypoint=[],
        project_at="/mlflow/projects/code",
    )[0].container

    assert container is not None
    assert container.volumes == (Volume(f"{folder}/out", "/out"), Volume("cache", "/cache", read_only=True))
    assert container.variables == {"TOKEN_HERE": "secret-word", "MODE": "fast"}
    assert "secret-word" not in repr(container)
    assert (container.user, container.home, container.entrypoint) == ("nobody", None, ())
    assert (container.project_at, container.workdir) == ("/mlflow/projects/code", "/work")
    assert (folder / "out").is_dir()


@pytest.fixture
def volume(engine: Engine, nonce: str) -> Iterator[str]:
    """The name of a volume that the engine has not yet."""
    name = f"mlproj-test-{nonce}"
    yield name
    with suppress(NotFound):
        engine.client.remove_volume(name, force=True)


def test_a_new_volume_of_the_engine_is_told_once_and_its_user_may_write_to_it(
    prepare: Prepare, engine: Engine, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1234)

    environment, told = prepare(volumes=[f"{volume}:/deep/data"])
    again, told_again = prepare(volumes=[f"{volume}:/deep/data"])

    assert told == [f"a new volume of the engine: {volume}"]
    assert told_again == []
    assert environment.container is not None
    assert environment.container == again.container
    host = engine.client.create_host_config(binds=[f"{volume}:/deep/data"])
    created = engine.client.create_container(
        PYTHON_IMAGE,
        ["sh", "-c", "touch /deep/data/x && echo written"],
        host_config=host,
        user=environment.container.user,
    )
    try:
        engine.client.start(created)
        engine.client.wait(created)
        assert engine.client.logs(created) == b"written\n"
    finally:
        engine.client.remove_container(created, force=True)


def test_a_project_whose_name_no_engine_can_be_told(engine: Engine, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    spec = EnvironmentSpec(docker=Docker(image=PYTHON_IMAGE))

    with pytest.raises(UsageError, match="cannot be mounted: its name is not UTF-8"):
        environments.prepare(spec, None, folder, ANY, lambda _: None)

    # What it has come to is listed all the same.
    assert environments.list_environments()[0].projects == (str(folder),)
    assert not environments.list_environments()[0].in_use


def test_a_name_to_copy_that_is_not_set_is_told(prepare: Prepare) -> None:
    environment, told = prepare(environment=["SURELY_NOT_SET"])

    assert environment.container is not None
    assert environment.container.variables == {}
    assert told == ["not set here, so not copied into the container: `SURELY_NOT_SET`"]


def test_a_fetched_project_is_refused_before_the_engine_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    spec = EnvironmentSpec(docker=Docker(image="any", volumes=["/:/host"]))

    for ask in (environments.prepare, environments.plan):
        with pytest.raises(UsageError, match="all of this machine"):
            ask(
                spec,
                None,
                folder,
                Policy(allowed_mounts=()),
                *([lambda _: None] if ask is environments.prepare else []),
            )


@pytest.mark.parametrize("image", ["", "-v", "../containers/x", "a/../../b", "Two Words", "x?force=1", "x\n"])
def test_what_is_no_image_is_refused(image: str, prepare: Prepare) -> None:
    with pytest.raises(UsageError, match="is no image"):
        prepare(image)


def test_an_image_can_be_given_by_its_id(prepare: Prepare, engine: Engine) -> None:
    identifier = engine.client.inspect_image(PYTHON_IMAGE)["Id"]

    environment, _ = prepare(identifier)

    assert environment.container is not None
    assert environment.container.image == identifier
    assert prepare(identifier.removeprefix("sha256:")[:12])[0].key == environment.key


def test_pull_never_says_what_to_do(prepare: Prepare) -> None:
    with pytest.raises(EnvironmentBuildError, match="`pull: never` forbids") as caught:
        prepare("surely-not-here:1", pull="never")

    assert "docker pull surely-not-here:1" in str(caught.value.hint)


def test_offline_pulls_nothing(prepare: Prepare, registry: Registry, small: Callable[[str], str]) -> None:
    registry.push(small("one"), "python:1")

    with pytest.raises(EnvironmentBuildError, match="`--offline` forbids"):
        prepare(f"{registry.address}/python:1", Policy(offline=True))
    prepare(f"{registry.address}/python:1")
    assert prepare(f"{registry.address}/python:1", Policy(offline=True))[0].reused


def test_a_missing_image_is_pulled_once_and_known_by_its_digest(
    prepare: Prepare, registry: Registry, small: Callable[[str], str]
) -> None:
    digest = registry.push(small("one"), "team/python:1")
    image = f"{registry.address}/team/python:1"

    environment, told = prepare(image)
    _, told_again = prepare(image)

    assert told[0] == f"pulling {image}"
    assert told_again == []
    assert environment.image == f"{registry.address}/team/python@{digest}"
    assert environment.lock_text is not None
    assert digest in environment.lock_text


def test_an_image_that_moved_is_seen_by_always_and_refresh_alone(
    prepare: Prepare, registry: Registry, small: Callable[[str], str]
) -> None:
    one = small("one")
    registry.push(one, "moving:1")
    image = f"{registry.address}/moving:1"
    first, _ = prepare(image)
    digest = registry.move(small("two"), "moving:1")

    assert prepare(image)[0].key == first.key
    refreshed, _ = prepare(image, Policy(refresh=True))
    assert refreshed.key != first.key
    assert refreshed.image == f"{registry.address}/moving@{digest}"

    registry.move(one, "moving:1")
    assert prepare(image, pull="always")[0].key == first.key


def test_refreshing_an_image_of_this_machine_alone_takes_it_with_a_word(prepare: Prepare, registry: Registry) -> None:
    image = f"{registry.address}/never-pushed:1"
    registry.engine.client.tag(PYTHON_IMAGE, image)

    environment, told = prepare(image, Policy(refresh=True))

    assert environment.image == image
    assert f"the image {image} is on this machine only: taken as it is" in told
    with pytest.raises(EnvironmentBuildError, match="could not be pulled"):
        prepare(image, pull="always")


def test_an_image_that_no_registry_has(prepare: Prepare, registry: Registry) -> None:
    with pytest.raises(EnvironmentBuildError, match="could not be pulled") as caught:
        prepare(f"{registry.address}/none:1")

    assert f"docker login {registry.address}" in str(caught.value.hint)
    assert caught.value.exit_status == 125


def test_a_registry_that_is_not_there(prepare: Prepare) -> None:
    with pytest.raises(EnvironmentBuildError, match="could not be pulled") as caught:
        prepare("127.0.0.1:9/none:1")

    assert "whether the engine reaches 127.0.0.1:9" in str(caught.value.hint)


def test_a_private_registry_takes_the_callers_own_login(
    prepare: Prepare,
    start_registry: Callable[..., Registry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: Callable[[str], str],
) -> None:
    private = start_registry("me", "pass:word")
    private.push(small("one"), "private:1")
    image = f"{private.address}/private:1"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))

    with pytest.raises(EnvironmentBuildError, match="no basic auth|unauthorized|denied") as caught:
        prepare(image)
    assert f"docker login {private.address}" in str(caught.value.hint)

    private.login(tmp_path / "docker")
    environment, _ = prepare(image)

    assert environment.image is not None
    assert environment.image.startswith(f"{private.address}/private@sha256:")
    assert "pass:word" not in repr(environment)
    assert lock(image, tmp_path).package_count == 1


def test_a_credential_helper_is_asked(
    prepare: Prepare,
    start_registry: Callable[..., Registry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: Callable[[str], str],
) -> None:
    private = start_registry("me", "word")
    private.push(small("one"), "private:1")
    tools, configuration = tmp_path / "bin", tmp_path / "docker"
    tools.mkdir()
    configuration.mkdir()
    (tools / "docker-credential-tests").write_text('#!/bin/sh\necho \'{"Username": "me", "Secret": "word"}\'\n')
    (tools / "docker-credential-tests").chmod(0o755)
    (configuration / "config.json").write_text(json.dumps({"credHelpers": {private.address: "tests"}}))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(configuration))

    environment, _ = prepare(f"{private.address}/private:1")

    assert environment.image is not None


def test_an_image_of_another_platform_is_refused(prepare: Prepare, registry: Registry) -> None:
    with pytest.raises(EnvironmentBuildError, match="linux/s390x"):
        prepare(pull="never", platform="linux/s390x")
    with pytest.raises(EnvironmentBuildError):
        prepare(platform="linux/s390x", policy=Policy(offline=True))


def test_an_image_that_the_engine_cannot_run(prepare: Prepare, engine: Engine, folder: Path, nonce: str) -> None:
    (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY word /{nonce}\n")
    (folder / "word").write_text("for others")
    spec = EnvironmentSpec(docker=Docker(build=DockerBuild(), platform="linux/s390x"))
    built = environments.prepare(spec, None, folder, Policy(), lambda _: None)
    assert built.image is not None
    assert built.held is not None
    built.held.release()

    with pytest.raises(EnvironmentBuildError, match="is for linux/s390x, and the Docker engine runs") as caught:
        prepare(built.image)

    assert "`platform: linux/amd64`" in str(caught.value.hint)
    assert prepare(built.image, platform="linux/s390x")[0].platform == "linux/s390x"


def test_a_lock_pins_the_digest_and_runs_take_it(
    prepare: Prepare, registry: Registry, folder: Path, small: Callable[[str], str]
) -> None:
    digest = registry.push(small("one"), "pinned:1")
    image = f"{registry.address}/pinned:1"

    made = lock(image, folder)

    assert not registry.engine.client.images(f"{registry.address}/pinned"), "locking pulls nothing"
    assert (made.path, made.written, made.added) == (folder / "mlproj.lock", True, {image: digest[:19]})
    assert parse_toml((folder / "mlproj.lock").read_text()) == {
        "lock-version": "1",
        "environments": [{"image": image, "digest": digest}],
    }
    assert not lock(image, folder).written

    locked, _ = prepare(image, Policy(locked=True))
    assert locked.image == f"{registry.address}/pinned@{digest}"
    assert locked.lock_text == (folder / "mlproj.lock").read_text()


def test_a_locked_image_stays_when_its_tag_moves_until_the_lock_is_upgraded(
    prepare: Prepare, registry: Registry, folder: Path, small: Callable[[str], str]
) -> None:
    before = registry.push(small("one"), "moving:1")
    image = f"{registry.address}/moving:1"
    lock(image, folder)
    first, _ = prepare(image)
    after = registry.move(small("two"), "moving:1")

    assert prepare(image, Policy(refresh=True))[0].key == first.key
    assert prepare(image, Policy(frozen=True), pull="always")[0].key == first.key
    assert lock(image, folder).changed == {}

    upgraded = lock(image, folder, upgrade=True)

    assert upgraded.changed == {image: (before[:19], after[:19])}
    assert prepare(image, Policy(locked=True))[0].image == f"{registry.address}/moving@{after}"


def test_a_lock_of_another_image_is_stale(
    prepare: Prepare, registry: Registry, folder: Path, small: Callable[[str], str]
) -> None:
    registry.push(small("one"), "one:1")
    lock(f"{registry.address}/one:1", folder)

    with pytest.raises(
        LockError, match=r"`mlproj.lock` is stale: it pins .*/one:1, and .* declares mlproj-test/python:1"
    ):
        prepare(PYTHON_IMAGE, Policy(locked=True))
    environment, told = prepare(PYTHON_IMAGE)
    assert environment.image == PYTHON_IMAGE
    assert "stale" in told[-1]
    frozen, _ = prepare(PYTHON_IMAGE, Policy(frozen=True))
    assert frozen.image is not None
    assert frozen.image.startswith(f"{registry.address}/one@sha256:")


def test_a_missing_lock_and_a_broken_one(prepare: Prepare, folder: Path) -> None:
    for policy in (Policy(locked=True), Policy(frozen=True)):
        with pytest.raises(LockError, match=r"there is no `mlproj\.lock`") as caught:
            prepare(policy=policy)
        assert "mlproj lock" in str(caught.value.hint)

    (folder / "mlproj.lock").write_text('lock-version = "1"\n[[environments]]\nimage = "x"\ndigest = "sha256:short"\n')
    with pytest.raises(LockError, match="cannot be read"):
        prepare()


def test_named_environments_share_a_lock(prepare: Prepare, engine: Engine, folder: Path) -> None:
    lock(PYTHON_IMAGE, folder, name="python")
    lock(R_IMAGE, folder, name="r", platform="linux/amd64")

    tables = parse_toml((folder / "mlproj.lock").read_text())["environments"]
    assert [(table["name"], table["image"]) for table in tables] == [("python", PYTHON_IMAGE), ("r", R_IMAGE)]
    assert prepare(R_IMAGE, Policy(locked=True), name="r", platform="linux/amd64")[0].image == R_IMAGE
    with pytest.raises(LockError, match="the environment is not in"):
        prepare(R_IMAGE, Policy(locked=True), name="other")
    with pytest.raises(LockError, match="it is for the platform linux/amd64"):
        prepare(R_IMAGE, Policy(locked=True), name="r")


def test_a_local_image_is_pinned_by_its_id(prepare: Prepare, engine: Engine, folder: Path) -> None:
    reference = "mlproj-test/local:1"
    engine.client.tag(PYTHON_IMAGE, reference)
    try:
        lock(reference, folder)
        engine.client.tag(R_IMAGE, reference)

        # The pinned one is still there, under another name.
        locked, _ = prepare(reference, Policy(locked=True))
        assert locked.container is not None
        assert locked.container.image == engine.client.inspect_image(PYTHON_IMAGE)["Id"]

        path = folder / "mlproj.lock"
        path.write_text(path.read_text().replace(locked.container.image, "sha256:" + "0" * 64))
        with pytest.raises(EnvironmentBuildError, match="is pinned to sha256:0000") as caught:
            prepare(reference)
        assert "build it here, or push it" in str(caught.value.hint)
        assert lock(reference, folder).changed
    finally:
        engine.client.remove_image(reference)


def test_a_plan_pulls_nothing_and_foresees_the_key(
    prepare: Prepare, registry: Registry, folder: Path, small: Callable[[str], str]
) -> None:
    registry.push(small("one"), "planned:1")
    image = f"{registry.address}/planned:1"
    spec = EnvironmentSpec(docker=Docker(image=image))

    planned = environments.plan(spec, None, folder, Policy())

    assert not registry.engine.client.images(f"{registry.address}/planned")
    assert (planned.built, planned.lock, planned.platform) == (False, "resolution", "linux/amd64")
    assert prepare(image)[0].key == planned.key
    assert environments.plan(spec, None, folder, Policy()).built


def test_pruning_removes_what_mlproj_pulled_and_nothing_else(
    prepare: Prepare, registry: Registry, engine: Engine, small: Callable[[str], str]
) -> None:
    registry.push(small("one"), "pulled:1")
    prepare(f"{registry.address}/pulled:1")
    prepare(R_IMAGE)
    listed = {each.kind for each in environments.list_environments()}

    removal = environments.prune()

    assert listed == {"docker"}
    assert len(removal.removed) == 2
    assert not engine.client.images(f"{registry.address}/pulled")
    assert engine.client.images(R_IMAGE)


def test_what_the_engine_does_not_remove_is_kept_and_told(
    registry: Registry,
    engine: Engine,
    relay: Relay,
    folder: Path,
    small: Callable[[str], str],
    mlproj: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = small("one")
    registry.push(elsewhere, "kept:1")
    engine.client.remove_image(elsewhere)
    spec = EnvironmentSpec(docker=Docker(image=f"{registry.address}/kept:1"))
    with monkeypatch.context() as behind:
        behind.setenv("DOCKER_HOST", relay.url)
        environment = environments.prepare(spec, None, folder, ANY, lambda _: None)
    assert environment.held is not None
    environment.held.release()
    container = engine.client.create_container(spec.docker.image if spec.docker else "", ["x"])

    used = environments.prune()
    engine.client.remove_container(container)
    relay.cut()
    away = environments.prune()

    assert (used.removed, list(used.failed)) == ((), [environment.key])
    assert "container" in used.failed[environment.key]
    assert "does not answer" in away.failed[environment.key]
    with pytest.raises(EnvironmentBuildError, match="is kept: the Docker engine at .* does not answer") as caught:
        environments.remove(environment.key)
    assert str(environment.folder) in str(caught.value.hint)
    done = mlproj("envs", "prune")
    assert done.returncode == 125
    assert f"kept {environment.key[:12]}: the Docker engine at {relay.url}" in done.stderr
    assert [each.key for each in environments.list_environments()] == [environment.key]


def test_an_image_that_somebody_removed_is_had_again(
    prepare: Prepare, registry: Registry, small: Callable[[str], str]
) -> None:
    registry.push(small("one"), "removed:1")
    image = f"{registry.address}/removed:1"
    prepare(image)
    registry.forget("removed:1")

    environment, told = prepare(image)

    assert told[0] == f"pulling {image}"
    assert environment.image is not None
