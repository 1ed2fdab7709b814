"""What a container is given of this machine, and what a fetched project does not get unasked."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlproj.environments import Policy
from mlproj.environments.environment import Volume
from mlproj.environments.images.container import check, gpu_request, host_settings, read_volume, size_in_bytes
from mlproj.errors import UsageError
from mlproj.manifest.models import Docker, DockerBuild

FETCHED = Policy(allowed_mounts=())


def refused(docker: Docker, folder: Path, *allowed: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check(docker, folder, Policy(allowed_mounts=allowed))
    return caught.value


@pytest.mark.parametrize(
    ("text", "source", "target", "read_only"),
    [
        ("/data:/in", "/data", "/in", False),
        ("/data:/in:ro", "/data", "/in", True),
        ("/data:/in:rw,z", "/data", "/in", False),
        ("data/raw:/in", "PROJECT/data/raw", "/in", False),
        ("./data:/in/", "PROJECT/data", "/in", False),
        ("$(pwd)/data:/in", "PROJECT/data", "/in", False),
        ("$PWD/data:/in", "PROJECT/data", "/in", False),
        ("${PWD}:/in", "PROJECT", "/in", False),
        ("`pwd`/data:/in", "PROJECT/data", "/in", False),
        ("$HOME/data:/in", "HOME/data", "/in", False),
        ("~/data:/in", "HOME/data", "/in", False),
        ("~:/in", "HOME", "/in", False),
        ("datasets:/in", "datasets", "/in", False),
    ],
)
def test_volumes_are_read_as_a_shell_and_docker_would(
    text: str, source: str, target: str, read_only: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of/caller")
    expected = source.replace("PROJECT", str(tmp_path)).replace("HOME", "/home/of/caller")

    assert read_volume(text, tmp_path) == Volume(expected, target, read_only)


def test_a_folder_of_the_project_is_meant_before_a_volume_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()

    assert read_volume("datasets:/in", tmp_path).source == str(tmp_path / "datasets")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/data", "not of the form"),
        ("/data:in", "not of the form"),
        (":/in", "not of the form"),
        ("/a:/b:ro:/c", "not of the form"),
        ("/data:/", "hide all of the image"),
        ("/data:/in:fast", "`fast` is no mode"),
        ("$DATA:/in", "no shell runs"),
        ("$(id):/in", "no shell runs"),
        ("${PWD:-x}/y:/in", "not of the form"),
        ("`id`:/in", "no shell runs"),
        ("~surely-nobody/x:/in", "no such home"),
    ],
)
def test_what_is_no_volume_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_volume(text, tmp_path)


def test_a_project_of_ones_own_may_have_all_it_asks_for(tmp_path: Path) -> None:
    docker = Docker(image="x", volumes=["/:/host"], privileged=True, network="host", pid="host")

    assert check(docker, tmp_path, Policy()) == (Volume("/", "/host"),)


def test_a_fetched_project_may_have_its_own_folders(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    docker = Docker(image="x", volumes=["data:/a", "./b:/b:ro", "$(pwd)/c:/c"], network="none")

    assert len(check(docker, tmp_path, FETCHED)) == 3
    check(Docker(image="x", network="bridge"), tmp_path, FETCHED)


@pytest.mark.parametrize(
    ("asked", "said", "allowed_by"),
    [
        ({"volumes": ["/etc:/x"]}, "`/etc`, which is outside of it", "/etc"),
        ({"volumes": ["/etc:/x:ro"]}, "`/etc`", "/etc"),
        ({"volumes": ["../other:/x"]}, "outside of it", "{parent}/other"),
        ({"volumes": ["postgres:/x"]}, "a volume of the engine (`postgres`)", "postgres"),
        ({"network": "services"}, "network: services", "network=services"),
        ({"volumes": ["./inside/../../:/x"]}, "outside of it", "{parent}"),
        ({"privileged": True}, "privileged", "privileged"),
        ({"network": "host"}, "network: host", "network=host"),
        ({"network": "container:db"}, "another container", "network=container:db"),
        ({"pid": "host"}, "pid: host", "pid=host"),
    ],
)
def test_a_fetched_project_is_refused_what_is_not_its_own_unless_allowed(
    asked: dict[str, Any], said: str, allowed_by: str, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    docker = Docker(image="x", **asked)
    word = allowed_by.replace("{parent}", str(tmp_path))

    error = refused(docker, folder)

    assert said in error.message
    assert f"--allow-mount {word}" in str(error.hint)
    check(docker, folder, Policy(allowed_mounts=(word,)))


def test_all_of_this_machine_is_not_had_unasked(tmp_path: Path) -> None:
    assert "all of this machine" in refused(Docker(image="x", volumes=["/:/x"]), tmp_path).message


def test_a_link_out_of_the_project_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    folder, outside = tmp_path / "project", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "data").symlink_to(outside)

    error = refused(Docker(image="x", volumes=["./data:/x"]), folder)

    assert str(outside) in error.message


@pytest.mark.parametrize(
    "build",
    [
        DockerBuild(context="link"),
        DockerBuild(dockerfile="link/x"),
        DockerBuild(context="in"),
        DockerBuild(context="lists"),
        DockerBuild(context="own", dockerfile="own/run"),
    ],
)
def test_an_image_is_not_built_from_where_a_link_leads_out(build: DockerBuild, tmp_path: Path) -> None:
    folder, outside = tmp_path / "project", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "in").mkdir()
    (folder / "in" / "Dockerfile").symlink_to(outside / "Dockerfile")
    (folder / "lists").mkdir()
    (folder / "lists" / ".dockerignore").symlink_to(outside / "list")
    (folder / "own").mkdir()
    (folder / "own" / "run.dockerignore").symlink_to(outside / "list")

    error = refused(Docker(build=build), folder)

    assert f"an image built from `{outside}" in error.message
    check(Docker(build=build), folder, Policy())
    check(Docker(build=build), folder, Policy(allowed_mounts=(str(outside),)))


def test_a_lock_is_not_read_from_where_a_link_leads_out(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mlproj.lock").symlink_to("/etc/passwd")

    assert "`/etc/passwd`, which is outside of it" in refused(Docker(image="x"), folder).message
    check(Docker(image="x"), folder, Policy())


def test_what_is_allowed_allows_what_is_in_it_and_nothing_beside(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()

    check(Docker(image="x", volumes=[f"{tmp_path}/data/raw:/x"]), folder, Policy(allowed_mounts=(f"{tmp_path}/data",)))
    refused(Docker(image="x", volumes=[f"{tmp_path}/data2:/x"]), folder, f"{tmp_path}/data")
    refused(Docker(image="x", volumes=[f"{tmp_path}/data/../y:/x"]), folder, f"{tmp_path}/data")


def test_an_allowed_path_is_no_word_and_a_word_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    refused(Docker(image="x", privileged=True), tmp_path / "project", "/", "network=host")
    refused(Docker(image="x", volumes=[f"{tmp_path}/privileged:/x"]), tmp_path / "project", "privileged")


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "docker.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        yield path


def test_the_engines_socket_has_to_be_allowed_by_itself(tmp_path: Path, engine_socket: Path) -> None:
    docker = Docker(image="x", volumes=[f"{engine_socket}:/var/run/docker.sock"])

    error = refused(docker, tmp_path / "project", str(engine_socket.parent))

    assert "the Docker socket" in error.message
    check(docker, tmp_path / "project", Policy(allowed_mounts=(str(engine_socket),)))


def test_a_folder_that_holds_the_engines_socket_is_not_enough_either(
    tmp_path: Path, engine_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine_socket}")
    (tmp_path / "var").symlink_to(tmp_path / "run")
    docker = Docker(image="x", volumes=[f"{tmp_path}/var:/s"])

    error = refused(docker, tmp_path / "project", str(tmp_path))

    assert f"the Docker socket (`{engine_socket}`), which is in `{engine_socket.parent}`" in error.message
    assert str(error.hint).endswith(f"`--allow-mount {engine_socket}`")
    check(docker, tmp_path / "project", Policy(allowed_mounts=(str(tmp_path), str(engine_socket))))


@pytest.mark.parametrize(
    ("text", "count"),
    [("512", 512), ("512b", 512), ("2k", 2048), ("1.5g", 3 << 29), ("8GB", 8 << 30), ("64 m", 64 << 20)],
)
def test_sizes(text: str, count: int) -> None:
    assert size_in_bytes(text) == count


def test_limits_and_gpus_as_the_engine_takes_them() -> None:
    docker = Docker(image="x", memory="1g", shm_size="256m", cpus=1.5, gpus="all", network="none")

    assert host_settings(docker) == {
        "mem_limit": 1 << 30,
        "shm_size": 256 << 20,
        "nano_cpus": 1_500_000_000,
        "device_requests": [gpu_request("all")],
        "network_mode": "none",
    }


@pytest.mark.parametrize(
    ("gpus", "count", "devices"),
    [("all", -1, []), ("2", 2, []), ("device=0,2", 0, ["0", "2"]), ('"device=GPU-1"', 0, ["GPU-1"])],
)
def test_gpus(gpus: str, count: int, devices: list[str]) -> None:
    request = gpu_request(gpus)

    assert (request["Count"], request["DeviceIDs"], request["Capabilities"]) == (count, devices, [["gpu"]])


@pytest.mark.parametrize("gpus", ["", "some", "device="])
def test_what_is_no_choice_of_gpus_is_refused(gpus: str) -> None:
    with pytest.raises(UsageError, match="no choice of GPUs"):
        gpu_request(gpus)


def test_ports_as_the_engine_takes_them() -> None:
    docker = Docker(image="x", ports=["80", "8080:80", "127.0.0.1:53:53/udp", "9000-9001:90-91"])

    assert host_settings(docker)["port_bindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": None}, {"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        "90/tcp": [{"HostIp": "", "HostPort": "9000"}],
        "91/tcp": [{"HostIp": "", "HostPort": "9001"}],
    }


@pytest.mark.parametrize("port", ["x", "0", "70000", "1-2:3", "9-8"])
def test_what_is_no_port_is_refused_before_anything_is_pulled(port: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check(Docker(image="x", ports=[port]), tmp_path, Policy())


def test_relative_allowances_are_against_where_the_caller_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    docker = Docker(image="x", volumes=[f"{tmp_path}/data:/x"])

    assert check(docker, tmp_path / "project", Policy(allowed_mounts=("data",)))[0].source == os.fspath(
        tmp_path / "data"
    )
