"""Which environment an entry point runs in: what its manifest declares, or what the caller asks for instead."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mlproj.api.checked import CheckedManifest
from mlproj.environments import KINDS
from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint, EnvironmentSpec, System
from mlproj.text import one_line

# What MLflow's `--env-manager` calls them too.
_ALSO_CALLED = {"local": "system", "uv": "virtualenv"}
_KNOWN = ("system", "virtualenv", "conda", "docker")


@dataclass(frozen=True)
class ChosenEnvironment:
    """The environment to run in, its name among the manifest's ``environments`` if it has one, and what to tell."""

    spec: EnvironmentSpec
    name: str | None = None
    notices: tuple[str, ...] = ()


def choose_environment(
    loaded: CheckedManifest, entry_point: EntryPoint, asked_for: str | None, *, strict: bool = False
) -> ChosenEnvironment:
    """The environment for one entry point; ``asked_for`` is the caller's ``--env-manager``.

    An MLproject's ``conda_env`` comes to a virtualenv of the packages that the index has too. With ``strict`` no other
    Python will do than the very one that is asked for.

    Raises ``UsageError`` for a kind that the project cannot be run in.
    """
    declared = loaded.manifest.environment_of(entry_point)
    chosen = entry_point.environment if entry_point.environment is not None else loaded.manifest.environment
    name = chosen if isinstance(chosen, str) else None
    kind = _ALSO_CALLED.get(asked_for, asked_for) if asked_for is not None else declared.kind
    if kind not in _KNOWN:
        raise UsageError(
            f"--env-manager {one_line(kind)}: there is no such kind of environment",
            hint=f"There are {', '.join(_KNOWN)}; `local` means `system`, `uv` means `virtualenv`.",
        )
    if kind == "system":
        return ChosenEnvironment(declared if declared.system is not None else EnvironmentSpec(system=System()), name)
    if declared.conda is not None and (asked_for is None or kind == "virtualenv"):
        from mlproj.environments.conda_on_pypi import virtualenv_of

        virtualenv, notices = virtualenv_of(declared.conda)
        declared = EnvironmentSpec(virtualenv=virtualenv)
        kind = "virtualenv"
    else:
        notices = ()
    if kind != declared.kind:
        raise UsageError(
            f"--env-manager {one_line(asked_for)}: this project declares a `{declared.kind}` environment",
            hint=f"It runs as `{declared.kind}`, or with `--env-manager system` in the environment you are in.",
        )
    if kind not in KINDS:
        instead = "`--env-manager system` runs the project in the environment you are in"
        instead += ", `--env-manager virtualenv` in a virtualenv of what PyPI has of it." if declared.conda else "."
        raise UsageError(
            f"{one_line(loaded.path)}: this version of mlproj does not run `{kind}` environments", hint=instead
        )
    if strict and declared.virtualenv is not None:
        declared = EnvironmentSpec(virtualenv=replace(declared.virtualenv, nearest_python=False))
    return ChosenEnvironment(declared, name, notices)


def python_notice(spec: EnvironmentSpec, version: str | None) -> str | None:
    """What to tell when a project runs with another Python than the exact one that its ``python_env`` asks for."""
    wanted = spec.virtualenv.python if spec.virtualenv is not None and spec.virtualenv.nearest_python else None
    exact = re.fullmatch(r"=*\s*(\d+\.\d+\.\d+)", wanted or "")
    if exact is None or version in (None, exact[1]):
        return None
    return f"the project asks for Python {exact[1]}, and runs with {version} (--python-strict takes no other)"
