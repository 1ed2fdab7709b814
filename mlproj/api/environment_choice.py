"""Which environment an entry point runs in: what its manifest declares, or what the caller asks for instead."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mlproj.api.checked import CheckedManifest
from mlproj.api.request import RunRequest
from mlproj.environments import KINDS
from mlproj.errors import UsageError
from mlproj.manifest.models import Conda, EntryPoint, EnvironmentSpec, System, Virtualenv
from mlproj.text import one_line

# What MLflow's `--env-manager` calls them too.
_ALSO_CALLED = {"local": "system", "uv": "virtualenv"}


@dataclass(frozen=True)
class ChosenEnvironment:
    """The environment to run in, its name among the manifest's ``environments`` if it has one, and what to tell.

    ``allowed_mounts`` is what the caller's own words give a container of this machine.
    """

    spec: EnvironmentSpec
    name: str | None = None
    notices: tuple[str, ...] = ()
    allowed_mounts: tuple[str, ...] = ()


def choose_environment(loaded: CheckedManifest, entry_point: EntryPoint, request: RunRequest) -> ChosenEnvironment:
    """The environment for one entry point, by its manifest and by what the request asks for instead or besides.

    Raises ``UsageError`` for a kind that the project cannot be run in.
    """
    declared = loaded.manifest.environment_of(entry_point)
    chosen = entry_point.environment if entry_point.environment is not None else loaded.manifest.environment
    name = chosen if isinstance(chosen, str) else None
    asked_for = request.environment_kind
    kind = _ALSO_CALLED.get(asked_for, asked_for) if asked_for is not None else declared.kind
    if kind not in KINDS:
        raise UsageError(
            f"--env-manager {one_line(kind)}: there is no such kind of environment",
            hint=f"There are {', '.join(KINDS)}; `local` means `system`, `uv` means `virtualenv`.",
        )
    if request.docker_arguments and (kind != "docker" or declared.docker is None):
        raise UsageError(f"-A is for containers, and this project runs in a `{kind}` environment")
    if kind == "system":
        return ChosenEnvironment(declared if declared.system is not None else EnvironmentSpec(system=System()), name)
    if declared.conda is not None and kind == "virtualenv":
        from mlproj.environments.conda_on_pypi import virtualenv_of

        virtualenv, notices = virtualenv_of(_whole(declared.conda, loaded))
        return ChosenEnvironment(EnvironmentSpec(virtualenv=_strict(virtualenv, request)), name, notices)
    if kind != declared.kind:
        raise UsageError(
            f"--env-manager {one_line(asked_for)}: this project declares a `{declared.kind}` environment",
            hint=f"It runs as `{declared.kind}`, or with `--env-manager system` in the environment you are in.",
        )
    if declared.docker is not None and request.docker_arguments:
        from mlproj.api.docker_arguments import with_arguments

        docker, allowed = with_arguments(declared.docker, request.docker_arguments)
        return ChosenEnvironment(EnvironmentSpec(docker=docker), name, allowed_mounts=allowed)
    if declared.virtualenv is not None:
        declared = EnvironmentSpec(virtualenv=_strict(declared.virtualenv, request))
    return ChosenEnvironment(declared, name)


def with_python(spec: EnvironmentSpec, version: str | None) -> EnvironmentSpec:
    """``spec`` with the very Python that a recorded run had, or the nearest of its minor version that is there."""
    if spec.virtualenv is None or version is None:
        return spec
    return EnvironmentSpec(virtualenv=replace(spec.virtualenv, python=version, nearest_python=True))


def cut_off(spec: EnvironmentSpec) -> EnvironmentSpec:
    """``spec`` for a hermetic run: a container's network is one from which nothing but this machine is reached."""
    if spec.docker is None or spec.docker.network == "none":
        return spec
    from mlproj.environments.images.cut_off import NETWORK

    return replace(spec, docker=replace(spec.docker, network=NETWORK, ports=[]))


def _strict(virtualenv: Virtualenv, request: RunRequest) -> Virtualenv:
    return replace(virtualenv, nearest_python=False) if request.python_strict else virtualenv


def _whole(conda: Conda, loaded: CheckedManifest) -> Conda:
    """What a conda environment asks for, read from its file where only that is declared."""
    if conda.file is None or conda.dependencies or conda.pip:
        return conda
    from mlproj.manifest.mlproject_environments import read_conda_file

    return read_conda_file(loaded.folder, conda.file)


def python_notice(spec: EnvironmentSpec, version: str | None) -> str | None:
    """What to tell when a project runs with another Python than the exact one that its ``python_env`` asks for."""
    wanted = spec.virtualenv.python if spec.virtualenv is not None and spec.virtualenv.nearest_python else None
    exact = re.fullmatch(r"=*\s*(\d+\.\d+\.\d+)", wanted or "")
    if exact is None or version in (None, exact[1]):
        return None
    return f"the project asks for Python {exact[1]}, and runs with {version} (--python-strict takes no other)"
