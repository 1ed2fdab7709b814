"""The manifest as a value: what has been declared, valid, with every default in place.

Plain dataclasses, so that a warm run, whose manifest is known to be valid, does not wait for pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from mlproj.manifest.types import ValueType, parse_type

# Whose rules a manifest follows: those of `mlproj.yaml`, or those that MLflow reads an MLproject by.
Dialect = Literal["mlproj", "mlflow"]
HowCompared = Literal["bytes", "json", "csv", "numpy", "image", "metrics", "ignore"]
NO_DEFAULT: Any = type("NoDefault", (), {"__repr__": lambda _: "NO_DEFAULT"})()


@dataclass(frozen=True)
class Parameter:
    """One typed parameter; ``default`` is ``NO_DEFAULT`` where none is declared."""

    type: str = "str"
    default: Any = NO_DEFAULT
    choices: list[Any] | None = None
    min: int | float | str | None = None
    max: int | float | str | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str | None = None
    env: str | None = None
    sha256: str | None = None
    hint: str | None = None
    """The type that an MLproject gives, which MLflow holds no value to."""

    @cached_property
    def value_type(self) -> ValueType:
        """The parsed ``type``."""
        return parse_type(self.type)

    @property
    def has_default(self) -> bool:
        """Whether the manifest declares a default."""
        return self.default is not NO_DEFAULT

    @property
    def required(self) -> bool:
        """Whether a run must be given a value."""
        return not self.has_default and not self.value_type.optional


@dataclass(frozen=True)
class Output:
    """Something that an entry point leaves behind; ``path`` is inside the project."""

    path: str
    kind: Literal["artifact", "metrics", "tensorboard"] = "artifact"
    optional: bool = False
    compare: HowCompared | None = None
    rtol: float = 0
    atol: float = 0
    ignore: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """How artifacts that an entry point logs itself are compared."""

    compare: HowCompared
    rtol: float = 0
    atol: float = 0
    ignore: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MetricTolerance:
    """How much a metric may differ in a run that is to be the same."""

    rtol: float = 0
    atol: float = 0
    ignore: bool = False


@dataclass(frozen=True)
class Reproducibility:
    """What makes a run the same as another; ``metrics`` and ``artifacts`` by name or glob."""

    metrics: dict[str, MetricTolerance] = field(default_factory=dict)
    artifacts: dict[str, Comparison] = field(default_factory=dict)
    hermetic: bool | None = None
    variables: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Virtualenv:
    """A Python environment to be resolved and built."""

    python: str | None = None
    dependencies: list[str] = field(default_factory=list)
    requirements: str | None = None
    project: str | None = None
    extras: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    index_url: str | None = None
    extra_index_urls: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Lines as of a requirements file in the project's folder (an MLproject's ``python_env``)."""
    nearest_python: bool = False
    """Whether a Python of the same minor version will do where there is no exact one."""
    dispensable: list[str] = field(default_factory=list)
    """Packages to be left out when no index has them: they are conda's, and may be known to it alone."""


@dataclass(frozen=True)
class System:
    """The interpreter and the tools that are already there."""


@dataclass(frozen=True)
class Conda:
    """A conda environment to be solved and installed.

    With a ``file`` what it asks for stands there; an MLproject's ``conda_env`` has been read into the other fields too.
    """

    file: str | None = None
    channels: list[str] = field(default_factory=list)
    dependencies: list[str] = field(default_factory=list)
    pip: list[str] = field(default_factory=list)
    """Lines of a requirements file."""
    platforms: list[str] = field(default_factory=list)
    virtual_packages: dict[str, str] = field(default_factory=dict)
    categories: list[str] = field(default_factory=list)
    post_link_scripts: bool = False
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DockerBuild:
    """An image to be built; ``secrets`` are names of the caller's environment variables."""

    context: str = "."
    dockerfile: str | None = None
    args: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    secrets: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Docker:
    """A container of an image, there or to be built.

    ``environment`` has names to copy from the caller, and pairs of a name and a value to set.
    """

    image: str | None = None
    build: DockerBuild | None = None
    volumes: list[str] = field(default_factory=list)
    environment: list[str | list[str]] = field(default_factory=list)
    platform: str | None = None
    gpus: str | None = None
    user: str | None = None
    shm_size: str | None = None
    memory: str | None = None
    cpus: float | None = None
    network: str | None = None
    pid: str | None = None
    privileged: bool = False
    ports: list[str] = field(default_factory=list)
    workdir: str | None = None
    entrypoint: list[str] | None = None
    pull: Literal["missing", "always", "never"] = "missing"
    project_at: str = "/project"


@dataclass(frozen=True)
class EnvironmentSpec:
    """One environment, of exactly one kind."""

    virtualenv: Virtualenv | None = None
    system: System | None = None
    conda: Conda | None = None
    docker: Docker | None = None

    @property
    def kind(self) -> str:
        """``virtualenv``, ``system``, ``conda`` or ``docker``."""
        return next(kind for kind in ("virtualenv", "conda", "docker", "system") if getattr(self, kind) is not None)


@dataclass(frozen=True)
class EntryPoint:
    """One thing that a project can do. Times are as written: ``durations.parse_duration`` reads them."""

    command: list[str] | str
    dialect: Dialect = "mlproj"
    description: str | None = None
    shell: Literal["bash"] | None = None
    parameters: dict[str, Parameter] = field(default_factory=dict)
    environment: EnvironmentSpec | str | None = None
    inputs: list[str] = field(default_factory=list)
    outputs: dict[str, Output] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    environment_variables: dict[str, str] = field(default_factory=dict)
    secret_variables: list[str] = field(default_factory=list)
    reproducibility: Reproducibility = field(default_factory=Reproducibility)
    timeout: int | float | str | None = None
    grace_period: int | float | str = 10

    def base_type(self, parameter: Parameter) -> str:
        """What one of its parameters is: the base of its type, and of an MLproject's the type as MLflow reads it."""
        return parameter.type if self.dialect == "mlflow" else parameter.value_type.base


@dataclass(frozen=True)
class Tracking:
    """Where runs are tracked, beside the store."""

    uri: str | None = None
    experiment: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A project's manifest."""

    entry_points: dict[str, EntryPoint]
    dialect: Dialect = "mlproj"
    name: str | None = None
    description: str | None = None
    environment: EnvironmentSpec | str | None = None
    environments: dict[str, EnvironmentSpec] = field(default_factory=dict)
    tracking: Tracking = field(default_factory=Tracking)
    reproducibility: Reproducibility = field(default_factory=Reproducibility)

    def reproducibility_of(self, entry_point: EntryPoint) -> Reproducibility:
        """What makes two runs of an entry point the same: its own word, then the manifest's."""
        own, common = entry_point.reproducibility, self.reproducibility
        hermetic = own.hermetic if own.hermetic is not None else common.hermetic
        return Reproducibility(
            {**common.metrics, **own.metrics},
            {**common.artifacts, **own.artifacts},
            hermetic,
            list(dict.fromkeys([*common.variables, *own.variables])),
        )

    def environment_of(self, entry_point: EntryPoint) -> EnvironmentSpec:
        """The environment an entry point runs in: its own, else the manifest's, else ``system``."""
        chosen = entry_point.environment if entry_point.environment is not None else self.environment
        if chosen is None:
            return EnvironmentSpec(system=System())
        return self.environments[chosen] if isinstance(chosen, str) else chosen


def manifest_from(mapping: Mapping[str, Any]) -> Manifest:
    """The manifest of a mapping in its valid form: what ``form.Manifest`` dumps of what was set."""
    return Manifest(
        **{
            **mapping,
            "environment": _environment(mapping.get("environment")),
            "environments": {name: _specification(each) for name, each in mapping.get("environments", {}).items()},
            "entry_points": {name: _entry_point(each) for name, each in mapping["entry_points"].items()},
            "tracking": Tracking(**mapping.get("tracking") or {}),
            "reproducibility": _reproducibility(mapping.get("reproducibility") or {}),
        }
    )


def _entry_point(mapping: Mapping[str, Any]) -> EntryPoint:
    return EntryPoint(
        **{
            **mapping,
            "parameters": {name: Parameter(**each) for name, each in mapping.get("parameters", {}).items()},
            "outputs": {name: Output(**each) for name, each in mapping.get("outputs", {}).items()},
            "environment": _environment(mapping.get("environment")),
            "reproducibility": _reproducibility(mapping.get("reproducibility") or {}),
        }
    )


def _reproducibility(mapping: Mapping[str, Any]) -> Reproducibility:
    tolerances = {name: MetricTolerance(**each) for name, each in mapping.get("metrics", {}).items()}
    artifacts = {glob: Comparison(**each) for glob, each in mapping.get("artifacts", {}).items()}
    return Reproducibility(**{**mapping, "metrics": tolerances, "artifacts": artifacts})


def _environment(value: Any) -> EnvironmentSpec | str | None:
    return _specification(value) if isinstance(value, dict) else value


def _specification(mapping: Mapping[str, Any]) -> EnvironmentSpec:
    kinds: dict[str, Any] = {"virtualenv": Virtualenv, "system": System, "conda": Conda, "docker": _docker}
    return EnvironmentSpec(**{kind: kinds[kind](**fields) for kind, fields in mapping.items() if fields is not None})


def _docker(build: Mapping[str, Any] | None = None, **fields: Any) -> Docker:
    if build is None:
        return Docker(**fields)
    # To build for a platform and to run on it is one thing.
    platform = {"platform": build["platform"]} if build.get("platform") else {}
    return Docker(
        build=DockerBuild(**{key: each for key, each in build.items() if key != "platform"}), **{**fields, **platform}
    )
