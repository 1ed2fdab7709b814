"""The form of an environment in ``mlproj.yaml``: one class for each kind."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError, core_schema

from mlproj.manifest.form_fields import (
    VARIABLE_PATTERN,
    Name,
    PlainValue,
    ProjectPath,
    Requirement,
    Section,
    Text,
    VariableName,
    not_an_option,
)
from mlproj.manifest.image_names import is_image_name
from mlproj.text import one_line


def _text_of_number(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Virtualenv(Section):
    """A Python environment, resolved to a `pylock.toml` and built by mlproj."""

    python: PlainValue | None = None
    """Which interpreter: a version (`"3.12"`), a range (`">=3.11"`) or a path. By default the one that runs mlproj."""
    dependencies: list[Requirement] = []
    """Requirements (PEP 508), one an item."""
    requirements: ProjectPath | None = None
    """A requirements file, with all that pip allows in one."""
    project: ProjectPath | None = None
    """A `pyproject.toml`, whose project is installed too, editable."""
    extras: list[PlainValue] = []
    """With `project`: the extras to install."""
    groups: list[PlainValue] = []
    """With `project`: the dependency groups (PEP 735) to install."""
    index_url: PlainValue | None = None
    """The package index to use instead of the user's own."""
    extra_index_urls: list[PlainValue] = []
    """Package indexes to look into first."""
    find_links: list[PlainValue] = []
    """Folders or pages to look for packages in as well."""

    @model_validator(mode="after")
    def _extras_need_a_project(self) -> Virtualenv:
        for key in ("extras", "groups"):
            if getattr(self, key) and self.project is None:
                raise PydanticCustomError(
                    "extras", "`{key}` only together with `project: pyproject.toml`", {"key": key}
                )
        return self


class System(Section):
    """The interpreter and the tools that are already there."""


def _conda_specification(specification: str) -> str:
    """Refuse what is no package's specification: an option, several lines, a path that a tool would open."""
    if not re.fullmatch(r"(\S+::)?[A-Za-z0-9_][A-Za-z0-9_.-]*([\s=<>!~\[].*)?", specification.strip()):
        raise PydanticCustomError(
            "requirement", "a conda package such as `numpy>=1.26`, `python=3.12` or `conda-forge::xgboost`"
        )
    return not_an_option(specification)


def _pip_apart(value: Any) -> Any:
    """Take an environment file's `- pip: […]` out of the dependencies."""
    dependencies = value.get("dependencies") if isinstance(value, dict) else None
    if not isinstance(dependencies, list) or "pip" in value:
        return value
    lists = [each["pip"] for each in dependencies if isinstance(each, dict) and list(each) == ["pip"]]
    if len(lists) != 1:
        return value
    return {**value, "dependencies": [each for each in dependencies if not isinstance(each, dict)], "pip": lists[0]}


class Conda(Section):
    """A conda environment, solved to a `conda-lock.yml` and built by mlproj."""

    file: ProjectPath | None = None
    """An `environment.yml`: its channels, dependencies, `pip:` part, variables and platforms."""
    channels: list[PlainValue] = []
    """Channels, the first with the highest priority: names, URLs or `file://` paths."""
    dependencies: list[Annotated[str, AfterValidator(_conda_specification)]] = []
    """Packages, one an item, as conda writes them. One item may be `pip:` with a list of requirements."""
    pip: list[Requirement] = []
    """Requirements (PEP 508) that pip's index has, installed into the conda environment."""
    platforms: list[Annotated[str, Field(pattern=r"^[a-z]+-[a-z0-9_]+$")]] = []
    """The platforms to lock for, such as `linux-64` and `osx-arm64`. By default the one it runs on."""
    virtual_packages: dict[Annotated[str, Field(pattern=r"^__[a-z0-9_]+$")], PlainValue] = {}
    """What to solve for in place of what this machine has: `{__cuda: "12.4", __glibc: "2.17"}`."""
    categories: list[Name] = []
    """Categories of the file's dependencies (as conda-lock has them) to be installed besides `main`."""
    post_link_scripts: bool = False
    """Whether packages may run their post-link scripts when they are installed."""
    variables: dict[VariableName, Text] = {}
    """Variables that are set when the environment is active."""

    @model_validator(mode="before")
    @classmethod
    def _pip_among_the_dependencies(cls, value: Any) -> Any:
        return _pip_apart(value)

    @model_validator(mode="after")
    def _file_or_inline(self) -> Conda:
        if self.file is None and not self.dependencies and not self.pip:
            raise PydanticCustomError("one_source", "`file: environment.yml`, or `dependencies`", {})
        for key in ("channels", "dependencies", "pip", "variables"):
            if self.file is not None and getattr(self, key):
                raise PydanticCustomError("one_source", "`{key}` only without `file`, where it stands", {"key": key})
        return self


@dataclass(frozen=True)
class _Form:
    """Has a text checked by a pattern, of which the error says in ``words`` what it means."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise PydanticCustomError("form", "{words}", {"words": self.words})
        return text


_Size = Annotated[str, _Form(r"[0-9]{1,15}(\.[0-9]{1,15})?\s?([bB]|[kKmMgGtT][bB]?)?", "a size such as `512m` or `8g`")]
_Port = Annotated[
    str,
    _Form(
        r"((\d{1,3}\.){3}\d{1,3}:)?(\d{1,5}(-\d{1,5})?:)?\d{1,5}(-\d{1,5})?(/(tcp|udp))?",
        "a port such as `80`, `8080:80` or `127.0.0.1:8080:80`",
    ),
]
_Gpus = Annotated[str, _Form(r"(all|\d{1,6}|device=[A-Za-z0-9,:_-]+)", "`all`, a number of GPUs, or `device=0,2`")]
_User = Annotated[
    str,
    _Form(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)?", "a user's name or number, and a group after `:` if need be"
    ),
]


def _processors(count: float) -> float:
    if not 0 < count <= 100_000:
        raise PydanticCustomError("form", "a number of CPUs above 0, such as `1.5`")
    return count


def _image_reference(reference: str) -> str:
    if not is_image_name(reference):
        raise PydanticCustomError(
            "image", "an image such as `python:3.12-slim` or `registry.example/team/train@sha256:…`"
        )
    return reference


def _absolute_inside(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or re.search(r"[\x00\r\n]", path):
        raise PydanticCustomError("container_path", "an absolute path inside the container, without `..`")
    return path


_VARIABLE = "`NAME` to copy the caller's, `NAME=value`, or `NAME: value`"


def _names_and_pairs(value: Any) -> Any:
    """Variables as Compose has them too: a mapping, whose nulls are copied, or a list of `NAME` and `NAME=value`."""
    if not isinstance(value, dict):
        return value
    for name, text in value.items():
        words = _expected_of_variable([name] if text is None else [name, text])
        if words is not None:
            raise PydanticCustomError("constraint", "{words}", {"words": words, "key": str(name)})
    return [name if text is None else [name, text] for name, text in value.items()]


def _expected_of_variable(words: list[Any]) -> str | None:
    """What a variable of a container was expected to be, if it is not."""
    name, value = words[0], words[-1]
    if not isinstance(name, str) or not re.fullmatch(VARIABLE_PATTERN, name):
        return _VARIABLE
    if name.startswith("MLPROJ_"):
        return f"another name than `{one_line(name)[:60]}`: mlproj itself sets `MLPROJ_…`"
    if not isinstance(value, str):
        return f"a text for `{name}` (numbers in quotes), or nothing to copy the caller's"
    return f"a text for `{name}` without a NUL character" if "\x00" in value else None


def _name_or_pair(value: Any) -> Any:
    words = value.split("=", 1) if isinstance(value, str) else value
    pair = isinstance(words, list) and len(words) in (1, 2)
    expected = _expected_of_variable(words) if pair else _VARIABLE
    if expected is not None:
        raise PydanticCustomError("form", "{words}", {"words": expected})
    return words[0] if len(words) == 1 else words


def _volume(volume: str) -> str:
    source, _, rest = volume.partition(":")
    if not source or not rest.startswith("/") or re.search(r"[\x00\r\n]", volume):
        raise PydanticCustomError("volume", "`SOURCE:/TARGET` or `SOURCE:/TARGET:ro`")
    return volume


def _words(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise PydanticCustomError("words", "words that a shell could split: {why}", {"why": str(error)}) from None


Platform = Annotated[
    str, _Form(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?", "a platform such as `linux/amd64` or `linux/arm64`")
]


class DockerBuild(Section):
    """An image to be built from the project."""

    context: ProjectPath = "."
    """The folder that is sent to the engine, without what its `.dockerignore` names."""
    dockerfile: ProjectPath | None = None
    """The Dockerfile, by default the context's."""
    args: dict[VariableName, Text] = {}
    """Build arguments. They stay readable in the image: no secrets here."""
    target: PlainValue | None = None
    """The stage to stop at."""
    platform: Platform | None = None
    """The platform to build for, such as `linux/amd64`. By default the engine's own."""
    secrets: list[VariableName] = []
    """Variables of the caller's environment to be had by `RUN --mount=type=secret,id=NAME`; they stay in no layer."""


def _build_from_path(value: Any) -> Any:
    return {"context": value} if isinstance(value, str) else value


class Docker(Section):
    """A container that every command runs in, of an image that is there, pulled or built."""

    image: Annotated[str, AfterValidator(_image_reference)] | None = None
    """The image, by name, tag or digest."""
    build: (
        Annotated[
            DockerBuild,
            BeforeValidator(
                _build_from_path,
                json_schema_input_type=Annotated[str | DockerBuild, Field(union_mode="left_to_right")],
            ),
        ]
        | None
    ) = None
    """An image to be built: a folder, or what to build it from and how."""
    volumes: list[Annotated[str, AfterValidator(_volume)]] = []
    """What else is mounted: `SOURCE:/TARGET[:ro]`, a relative source against the project."""
    environment: Annotated[
        list[Annotated[Any, BeforeValidator(_name_or_pair, json_schema_input_type=str | list[str])]],
        BeforeValidator(_names_and_pairs, json_schema_input_type=dict[str, str | None] | list[str]),
    ] = []
    """Variables: a mapping (`null` copies the caller's), or a list of `NAME` and `NAME=value`."""
    platform: Platform | None = None
    """The image's platform, such as `linux/amd64`. By default the engine's own."""
    gpus: (
        Annotated[
            _Gpus,
            BeforeValidator(_text_of_number, json_schema_input_type=str | int),
        ]
        | None
    ) = None
    """`all`, how many, or which: `device=0,2`."""
    user: (
        Annotated[
            _User,
            BeforeValidator(_text_of_number, json_schema_input_type=str | int),
        ]
        | None
    ) = None
    """Who the command runs as: a name or number, and a group after `:`. By default the caller."""
    shm_size: _Size | None = None
    """The size of `/dev/shm`, such as `2g`: PyTorch's data loaders need more than the engine's 64 MB."""
    memory: _Size | None = None
    """The most memory it may take, such as `8g`."""
    cpus: (
        Annotated[
            float, AfterValidator(_processors), Field(json_schema_extra={"exclusiveMinimum": 0, "maximum": 100_000})
        ]
        | None
    ) = None
    """How many CPUs it may take, such as `1.5`."""
    network: PlainValue | None = None
    """The engine's network to join: `none` for none, `host` for this machine's."""
    pid: Literal["host"] | None = None
    """`host`: the command sees this machine's processes."""
    privileged: bool = False
    """Whether it may do all that root may on this machine."""
    ports: list[Annotated[_Port, BeforeValidator(_text_of_number, json_schema_input_type=str | int)]] = []
    """Ports to publish: `8080:80`, `127.0.0.1:8080:80`."""
    workdir: Annotated[str, AfterValidator(_absolute_inside)] | None = None
    """The folder that commands start in. By default the project's, `/project`."""
    entrypoint: Annotated[list[Text], BeforeValidator(_words, json_schema_input_type=str | list[str])] | None = None
    """What is run in place of the image's own entrypoint; `[]` for nothing."""
    pull: Literal["missing", "always", "never"] = "missing"
    """When to ask the registry for the image."""

    @model_validator(mode="after")
    def _image_or_build(self) -> Docker:
        if (self.image is None) == (self.build is None):
            found = {} if self.image is None else {"key": "build"}
            raise PydanticCustomError("one_source", "one of `image` and `build`", found)
        if self.build is not None and self.build.platform is not None and self.platform is not None:
            raise PydanticCustomError("one_source", "`platform` once: here, or under `build`", {"key": "platform"})
        return self


class EnvironmentSpec(Section):
    """One environment: exactly one kind."""

    virtualenv: Virtualenv | None = None
    """A locked virtualenv."""
    conda: Conda | None = None
    """A locked conda environment. No conda, mamba or micromamba needs to be installed."""
    docker: Docker | None = None
    """A container of an image, which is there or built."""
    system: System | None = None
    """What is already there; nothing is built."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_means_the_defaults(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: {} if key in cls.model_fields and item is None else item for key, item in value.items()}

    @model_validator(mode="after")
    def _one_kind(self) -> EnvironmentSpec:
        given = [kind for kind in type(self).model_fields if getattr(self, kind) is not None]
        if len(given) != 1:
            kinds = "`virtualenv`, `conda`, `docker` or `system`"
            raise PydanticCustomError("one_kind", f"one kind: {kinds}", {"key": given[-1] if given else "system"})
        return self
