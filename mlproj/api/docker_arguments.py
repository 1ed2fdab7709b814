"""MLflow's `-A NAME[=VALUE]`: arguments for `docker run`, as what a Docker environment declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mlproj.errors import UsageError
from mlproj.manifest.models import Docker
from mlproj.text import did_you_mean, one_line

# What has one value: the names of `docker run` and of the manifest's key.
_VALUES = {
    "cpus": "cpus",
    "entrypoint": "entrypoint",
    "gpus": "gpus",
    "m": "memory",
    "memory": "memory",
    "net": "network",
    "network": "network",
    "pid": "pid",
    "platform": "platform",
    "pull": "pull",
    "shm-size": "shm_size",
    "u": "user",
    "user": "user",
    "w": "workdir",
    "workdir": "workdir",
}
_LISTS = {
    "e": "environment",
    "env": "environment",
    "p": "ports",
    "publish": "ports",
    "v": "volumes",
    "volume": "volumes",
}
# What every run does anyway, or as its terminal has it.
_ANYWAY = ("i", "init", "interactive", "it", "rm", "t", "ti", "tty")


def with_arguments(docker: Docker, arguments: Iterable[str]) -> tuple[Docker, tuple[str, ...]]:
    """The environment with the arguments applied, and what they allow of this machine: the caller's own words.

    Raises ``UsageError`` for an argument that there is no key for, or a value that cannot be its.
    """
    from pydantic import ValidationError

    from mlproj.manifest import form_environments

    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        name = name.lstrip("-")
        if name in _ANYWAY and not equals:
            continue
        if name == "privileged" and value in ("", "true", "false"):
            given["privileged"] = value != "false"
        elif name == "entrypoint" and equals:
            given["entrypoint"] = value
        elif name in _LISTS and value:
            given.setdefault(_LISTS[name], []).append(value)
        elif name in _VALUES and value:
            given[_VALUES[name]] = float(value) if name == "cpus" and _is_number(value) else value
        else:
            known = sorted({*_VALUES, *_LISTS, "privileged"})
            near = did_you_mean(name, known)
            raise UsageError(
                f"-A {one_line(argument)}: no argument for a container that mlproj knows.{near}",
                hint=f"There are {', '.join(known)}, as `docker run` has them; each is a key of `docker:` too.",
            )
    try:
        checked = form_environments.Docker.model_validate({"image": "image", **given}).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(
            f"-A {one_line(first['loc'][0])}={one_line(first['input'])}: expected {first['msg']}"
        ) from None
    del checked["image"]
    for key in ("environment", "ports", "volumes"):
        if key in checked:
            checked[key] = [*getattr(docker, key), *checked[key]]
    allowed = [volume.partition(":")[0] for volume in given.get("volumes", [])]
    allowed += ["privileged"] if given.get("privileged") else []
    allowed += [f"{key}={given[key]}" for key in ("network", "pid") if key in given]
    return replace(docker, **checked), tuple(allowed)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
