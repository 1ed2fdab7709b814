"""The form of ``mlproj.yaml``: pydantic models of what it may say, from which its JSON Schema is generated too.

Read once for each content of the file; what the rest of mlproj works with are the values of ``models``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from mlproj.manifest.durations import parse_duration
from mlproj.manifest.form_environments import EnvironmentSpec
from mlproj.manifest.form_fields import Name, ParameterName, ProjectPath, Section, Text, VariableName
from mlproj.manifest.types import ValueType, parse_type
from mlproj.urls import secrets_of


def _known_type(text: str) -> str:
    try:
        parse_type(text)
    except ValueError as error:
        raise PydanticCustomError("type", "{why}", {"why": str(error)}) from None
    return text


class Parameter(Section):
    """One typed parameter of an entry point."""

    type: Annotated[str, AfterValidator(_known_type)] = "str"
    """`str`, `int`, `float`, `bool`, `path`, `uri`, `json`, `date` or `secret`; `list[T]` for several; a `?` at the
    end (`float?`) allows `null`."""
    default: Any = None
    """The value when none is given. Without this key the parameter is required, unless its type ends in `?`."""
    choices: list[Any] | None = None
    """The only values allowed."""
    min: int | float | str | None = None
    """The smallest value allowed (numbers and dates)."""
    max: int | float | str | None = None
    """The largest value allowed (numbers and dates)."""
    min_length: Annotated[int, Field(ge=0)] | None = None
    """The fewest characters of a text, or items of a list."""
    max_length: Annotated[int, Field(ge=0)] | None = None
    """The most characters of a text, or items of a list."""
    pattern: str | None = None
    """A regular expression (Python's) that the whole text must match."""
    description: str | None = None
    """What the parameter does, shown in the entry point's help."""
    env: VariableName | None = None
    """For a `secret`: the environment variable that holds it, for the caller and for the entry point alike."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """For a `path` that may be a URL: the SHA-256 that the fetched file must have."""

    @model_validator(mode="after")
    def _constraints_fit_the_type(self) -> Parameter:
        kind = self.value_type
        allowed = {
            "min": ("int", "float", "date"),
            "max": ("int", "float", "date"),
            "pattern": ("str", "uri", "path", "secret"),
            "env": ("secret",),
            "sha256": ("path",),
        }
        for constraint, bases in allowed.items():
            if getattr(self, constraint) is not None and kind.base not in bases:
                raise PydanticCustomError(
                    "constraint",
                    "`{constraint}` only on a parameter of type {bases}; this one is `{type}`",
                    {
                        "constraint": constraint,
                        "bases": " or ".join(f"`{base}`" for base in bases),
                        "type": self.type,
                        "key": constraint,
                    },
                )
        if kind.base == "secret" and "default" in self.model_fields_set and self.default is not None:
            raise PydanticCustomError(
                "secret_default",
                "no default on a `secret`: a manifest is read by everybody; name its variable with `env`",
                {"key": "default"},
            )
        for constraint in ("min_length", "max_length"):
            if getattr(self, constraint) is not None and not (
                kind.is_list or kind.base in ("str", "uri", "path", "secret")
            ):
                raise PydanticCustomError(
                    "constraint",
                    "`{constraint}` only on a text or a list; this parameter is `{type}`",
                    {"constraint": constraint, "type": self.type, "key": constraint},
                )
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise PydanticCustomError(
                    "pattern",
                    "a regular expression; this one is broken: {why}",
                    {"why": str(error), "key": "pattern"},
                ) from None
        return self

    @property
    def value_type(self) -> ValueType:
        """The parsed ``type``."""
        return parse_type(self.type)


NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
HowCompared = Literal["bytes", "json", "csv", "numpy", "image", "metrics", "ignore"]


def _refuse_unused(section: Section, how: str) -> None:
    """Refuse what says how values are compared where no values are."""
    for key in ("rtol", "atol", "ignore"):
        if key in section.model_fields_set and (how in ("bytes", "ignore") or (key == "ignore" and how == "image")):
            raise PydanticCustomError(
                "comparison",
                "no `{key}` on what is compared as `{how}`: `compare: json`, `csv`, `numpy` and the like look at the "
                "values in it",
                {"key": key, "how": how},
            )


class Output(Section):
    """Something that an entry point leaves behind and that is kept as an artifact."""

    path: ProjectPath
    """A file, a folder (with a `/` at its end) or a glob such as `plots/*.png`, relative to the project."""
    kind: Literal["artifact", "metrics", "tensorboard"] = "artifact"
    """`metrics`: the file's numbers (JSON, JSON lines or CSV) become the run's metrics as well; `tensorboard`: the
    scalars in its event files do."""
    optional: bool = False
    """Whether the run may end without it. A missing output that is not optional fails the run."""
    compare: HowCompared | None = None
    """How `mlproj reproduce` compares it: byte by byte, by its values, by the metrics in it, or not at all. By default
    `bytes`, and `metrics` for an output of metrics."""
    rtol: NotNegative = 0
    """How much a number in it may differ, relative to the recorded one."""
    atol: NotNegative = 0
    """How much a number in it may differ; for `image`: a pixel's value, of 0 to 255."""
    ignore: list[Annotated[str, Field(min_length=1)]] = []
    """What in it is not compared: keys (`created`, `run.host`) of JSON, columns of CSV, arrays of `.npz`, metrics."""

    @model_validator(mode="after")
    def _comparison_fits(self) -> Output:
        _refuse_unused(self, self.compare or ("bytes" if self.kind == "artifact" else "metrics"))
        return self


class Comparison(Section):
    """How artifacts that an entry point logs itself are compared."""

    compare: Literal["bytes", "json", "csv", "numpy", "image", "ignore"]
    """Byte by byte, by their values, or not at all."""
    rtol: NotNegative = 0
    """How much a number in them may differ, relative to the recorded one."""
    atol: NotNegative = 0
    """How much a number in them may differ; for `image`: a pixel's value, of 0 to 255."""
    ignore: list[Annotated[str, Field(min_length=1)]] = []
    """What in them is not compared: keys of JSON, columns of CSV, arrays of `.npz`."""

    @model_validator(mode="after")
    def _comparison_fits(self) -> Comparison:
        _refuse_unused(self, self.compare)
        return self


def _output_from_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


AnyOutput = Annotated[
    Output,
    BeforeValidator(
        _output_from_path, json_schema_input_type=Annotated[str | Output, Field(union_mode="left_to_right")]
    ),
]


def _spec_or_name(value: Any) -> str:
    return "name" if isinstance(value, str) else "specification"


SpecOrName = Annotated[
    Annotated[EnvironmentSpec, Tag("specification")] | Annotated[str, Tag("name")],
    Discriminator(_spec_or_name),
]


def _text_or_list(value: Any) -> str:
    return "list" if isinstance(value, list) else "text"


def _duration_text(value: Any) -> Any:
    try:
        parse_duration(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{why}", {"why": str(error)}) from None
    return value


Duration = Annotated[int | float | str, BeforeValidator(_duration_text)]


def _compiles_with_value(pattern: str) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise PydanticCustomError(
            "pattern", "a regular expression; this one is broken: {why}", {"why": str(error)}
        ) from None
    if "value" not in compiled.groupindex:
        raise PydanticCustomError("pattern", "a regular expression with a group named `value`: `(?P<value>…)`")
    return pattern


MetricPattern = Annotated[str, AfterValidator(_compiles_with_value)]


class MetricTolerance(Section):
    """How much a metric may differ in a run that is to be the same."""

    rtol: NotNegative = 0
    """How much, relative to the recorded value."""
    atol: NotNegative = 0
    """How much, in the metric's own unit."""
    ignore: bool = False
    """Whether it is not compared at all, such as a time that was measured."""


class Reproducibility(Section):
    """What makes a run the same as another."""

    metrics: dict[Annotated[str, Field(min_length=1, max_length=250)], MetricTolerance] = {}
    """Tolerances of metrics by name (or glob: `val_*`). One that is not named has to be the same bit for bit."""
    artifacts: dict[Annotated[str, Field(min_length=1)], Comparison] = {}
    """How artifacts are compared that are no declared outputs, by path or glob (`model/*.html`)."""
    hermetic: bool | None = None
    """Run with nothing of the caller's environment but what is declared, in a fixed locale and time zone, and, on Linux
    with bubblewrap, without network and with everything read-only but the project."""
    variables: list[VariableName] = []
    """Variables of the caller's environment that a hermetic run keeps."""


class EntryPoint(Section):
    """One thing that the project can do."""

    command: Annotated[
        Annotated[Annotated[list[Text], Field(min_length=1)], Tag("list")]
        | Annotated[Annotated[Text, Field(min_length=1)], Tag("text")],
        Discriminator(_text_or_list),
    ]
    """What to run. A list is the argument vector; a text is split as a POSIX shell would split it, without one.
    `{name}` is a parameter's value, `{args}` every parameter as `--name value`, `{overrides}` as `name=value`."""
    description: str | None = None
    """What it does, shown in help."""
    shell: Literal["bash"] | None = None
    """Run the command text under `bash -euo pipefail`. Values reach it as environment variables, never as text."""
    parameters: dict[ParameterName, Parameter] = {}
    """The typed parameters."""
    environment: SpecOrName | None = None
    """The environment to run in: a name from `environments`, or one of its own. By default the manifest's."""
    inputs: list[ProjectPath] = []
    """Files, folders and globs that are read, hashed into the record."""
    outputs: dict[Name, AnyOutput] = {}
    """What is left behind and kept as artifacts, by name."""
    metrics: dict[Annotated[str, Field(min_length=1, max_length=250)], MetricPattern] = {}
    """Metrics read off the output: a name and a regular expression with a group `value` (and, if wanted, `step`)."""
    environment_variables: dict[VariableName, Text] = {}
    """Variables set for the command."""
    secret_variables: list[VariableName] = []
    """Variables of the caller's environment whose values are secrets: masked in the log, never recorded."""
    reproducibility: Reproducibility | None = None
    """What makes two runs of it the same; over the manifest's own."""
    timeout: Duration | None = None
    """How long it may take: seconds, or a text such as `90s`, `15m`, `2h`, `1h30m`."""
    grace_period: Duration = 10
    """How long it may take to end after a signal before it is killed."""

    @model_validator(mode="after")
    def _shell_needs_text(self) -> EntryPoint:
        if self.shell is not None and isinstance(self.command, list):
            raise PydanticCustomError("shell", "a command as one text, since `shell` is set", {"key": "command"})
        return self


def _without_credentials(uri: str) -> str:
    if secrets_of(uri):
        raise PydanticCustomError(
            "tracking_uri",
            "a URI without credentials: a manifest is read by everybody; "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD say who you are",
        )
    return uri


class Tracking(Section):
    """Where the project's runs are tracked, beside the store."""

    uri: Annotated[Text, Field(min_length=1), AfterValidator(_without_credentials)] | None = None
    """MLflow's tracking URI of a server or store that the runs are to be on, too. Paths are relative to the project."""
    experiment: Annotated[str, Field(min_length=1, max_length=250)] | None = None
    """The experiment of runs for which none is chosen."""


class Manifest(Section):
    """A project's manifest, `mlproj.yaml`."""

    name: Annotated[str, Field(min_length=1, max_length=250)] | None = None
    """The project's name. By default the name of its folder."""
    description: str | None = None
    """What the project is about."""
    environment: SpecOrName | None = None
    """The environment of every entry point that names no other. By default `system`."""
    environments: dict[Name, EnvironmentSpec] = {}
    """Environments by name, for entry points to choose from."""
    tracking: Tracking | None = None
    """Where runs are tracked, beside the store."""
    reproducibility: Reproducibility | None = None
    """What makes two runs the same, for every entry point."""
    entry_points: Annotated[dict[Name, EntryPoint], Field(min_length=1)]
    """What the project can do, by name. `main`, or a single one, is run by default."""
