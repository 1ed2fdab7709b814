"""MLflow's `-A`, as what a Docker environment declares."""

from __future__ import annotations

from typing import Any

import pytest

from mlproj.api.docker_arguments import with_arguments
from mlproj.errors import UsageError
from mlproj.manifest.models import Docker


@pytest.mark.parametrize(
    ("argument", "field", "value"),
    [
        ("gpus=all", "gpus", "all"),
        ("memory=8g", "memory", "8g"),
        ("m=8g", "memory", "8g"),
        ("cpus=1.5", "cpus", 1.5),
        ("shm-size=2g", "shm_size", "2g"),
        ("--network=none", "network", "none"),
        ("entrypoint=tini --", "entrypoint", ["tini", "--"]),
        ("entrypoint=", "entrypoint", []),
        ("privileged=false", "privileged", False),
        ("e=A=b=c", "environment", ["X", ["A", "b=c"]]),
        ("env=HOME", "environment", ["X", "HOME"]),
        ("v=/a:/b:ro", "volumes", ["/x:/y", "/a:/b:ro"]),
        ("p=8080:80", "ports", ["8080:80"]),
        ("privileged", "privileged", True),
    ],
)
def test_what_an_argument_comes_to(argument: str, field: str, value: Any) -> None:
    declared = Docker(image="a", volumes=["/x:/y"], environment=["X"])
    found, _ = with_arguments(declared, [argument])
    assert (getattr(found, field), found.image) == (value, "a")


def test_what_every_run_does_anyway_needs_no_word() -> None:
    assert with_arguments(Docker(image="a"), ["t", "it", "rm", "init"]) == (Docker(image="a"), ())


def test_what_a_caller_asks_for_is_allowed() -> None:
    _, allowed = with_arguments(Docker(image="a"), ["v=/data:/data", "network=host", "pid=host", "privileged"])
    assert allowed == ("/data", "privileged", "network=host", "pid=host")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("gpu=all", "Did you mean `gpus`?"),
        ("memory=8q", "a size such as"),
        ("memory", "no argument for a container"),
        ("cpus=many", "expected"),
        ("v=/a", "SOURCE:/TARGET"),
        ("security-opt=x", "no argument for a container"),
        ("image=other", "no argument for a container"),
        ("pull=sometimes", "expected"),
    ],
)
def test_what_is_no_argument_is_told(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        with_arguments(Docker(image="a"), [argument])
