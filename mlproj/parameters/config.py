"""The resolved configuration of a run: each parameter's typed value, where it came from, and the secrets apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproj.errors import UsageError
from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.given import Given
from mlproj.parameters.values import (
    InvalidValueError,
    hold_to_constraints,
    is_url,
    text_of,
    value_from_data,
    value_from_texts,
)
from mlproj.text import did_you_mean, one_line

_LARGEST_SECRET = 1 << 20
Fetch = Callable[[str, "str | None"], Path]


@dataclass(frozen=True)
class Config:
    """Typed values by name, without the secrets; ``recorded`` is what the record and the screen may hold."""

    values: dict[str, Any]
    recorded: dict[str, Any]
    changed: frozenset[str] = frozenset()
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    secret_variables: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    undeclared: dict[str, str] = field(default_factory=dict)
    """What was given beside an MLproject's declared parameters, for its command's end."""


class ParameterError(UsageError):
    """Values that do not fit their parameters: all of them, not the first alone."""


@dataclass(frozen=True)
class Surroundings:
    """Where values are looked up: the caller's folder and variables, the project's folder, how to fetch a URL."""

    caller_folder: Path
    project_folder: Path
    environment: Mapping[str, str]
    fetch: Fetch


def resolve(entry_point: EntryPoint, given: Mapping[str, Given], around: Surroundings) -> Config:
    """The configuration of an entry point: given values over the manifest's defaults.

    Raises ``ParameterError`` naming every unknown, missing and unfitting value at once.
    """
    if entry_point.dialect == "mlflow":
        return _resolve_for_mlflow(entry_point, given, around)
    problems: list[str] = []
    for name, value in given.items():
        if name not in entry_point.parameters:
            known = ", ".join(f"`{each}`" for each in entry_point.parameters) or "none"
            near = did_you_mean(name, entry_point.parameters)
            problems.append(f"no parameter `{one_line(name)}` ({value.origin}); there are {known}.{near}")
    values: dict[str, Any] = {}
    recorded: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    notices: list[str] = []
    for name, parameter in entry_point.parameters.items():
        source = given.get(name)
        try:
            if parameter.value_type.base == "secret":
                secret = _secret(name, parameter, source, around, notices)
                if secret is not None:
                    secrets[name] = secret
                continue
            value = _typed(parameter, source)
            values[name], recorded[name] = _placed(parameter, value, source, around)
        except InvalidValueError as error:
            from_variable = f"${parameter.env}" if parameter.env else "the default"
            origin = source.origin if source is not None else from_variable
            problems.append(f"parameter `{name}` ({origin}): {error}")
        except _MissingError as error:
            problems.append(f"parameter `{name}`: {error}")
    if problems:
        raise ParameterError("\n".join(problems))
    variables = {name: entry_point.parameters[name].env or secret_variable(name) for name in secrets}
    return Config(values, recorded, frozenset(given), secrets, variables, tuple(notices))


def _resolve_for_mlflow(entry_point: EntryPoint, given: Mapping[str, Given], around: Surroundings) -> Config:
    from mlproj.parameters.mlflow_values import mlflow_values

    values, recorded, undeclared, problems = mlflow_values(entry_point, given, around)
    if problems:
        raise ParameterError("\n".join(problems))
    return Config(dict(values), dict(recorded), frozenset(given), undeclared=undeclared)


def secret_variable(name: str) -> str:
    """The environment variable that hands a secret to the entry point when the manifest names none."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name).upper()


class _MissingError(ValueError):
    pass


def _typed(parameter: Parameter, source: Given | None) -> Any:
    if source is None:
        if parameter.required:
            raise _MissingError(f"a value is required ({parameter.type}): give it with -P")
        return value_from_data(parameter, parameter.default if parameter.has_default else None)
    if source.is_text:
        return value_from_texts(parameter, source.texts)
    if isinstance(source.data, dict) and parameter.value_type.base != "json":
        raise InvalidValueError("a nested mapping: parameters are plain names, so write each value beside its name")
    data = source.data
    if isinstance(data, os.PathLike):
        data = os.fspath(data)
    return value_from_data(parameter, data)


def _secret(
    name: str, parameter: Parameter, source: Given | None, around: Surroundings, notices: list[str]
) -> str | None:
    variable = parameter.env
    if source is None:
        value = around.environment.get(variable) if variable else None
        if value is None:
            if parameter.value_type.optional:
                return None
            where = f"set ${variable} or give" if variable else "give"
            raise _MissingError(f"a secret is required: {where} -P {name}=@FILE")
    elif source.is_text and source.texts[-1].startswith("@"):
        path = around.caller_folder / source.texts[-1][1:]
        try:
            if path.exists() and not path.is_file():
                raise InvalidValueError(f"the file of the secret is no regular file: {one_line(path)}")
            if path.stat().st_size > _LARGEST_SECRET:
                raise InvalidValueError(f"the file of the secret is larger than 1 MiB: {one_line(path)}")
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except InvalidValueError:
            raise
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise InvalidValueError(f"the file of the secret cannot be read: {one_line(path)}: {reason}") from None
    else:
        value = source.texts[-1] if source.is_text else source.data
        if not isinstance(value, str):
            raise InvalidValueError("expected a text")
        if source.is_text:
            notices.append(
                f"the secret `{name}` was given on the command line, where other users and your shell's history "
                f"can see it: better in {'$' + variable if variable else 'a variable'} or as -P {name}=@FILE"
            )
    if "\x00" in value:
        raise InvalidValueError("expected a text without a NUL character")
    hold_to_constraints(parameter, value)
    return value


def _placed(parameter: Parameter, value: Any, source: Given | None, around: Surroundings) -> tuple[Any, Any]:
    """The value for the command and the one for the record: paths are made absolute, and URLs fetched."""
    kind = parameter.value_type
    if kind.base not in ("path", "uri") or value is None:
        return value, value
    base_folder = around.project_folder if source is None else around.caller_folder
    place = _placed_path if kind.base == "path" else _placed_uri
    if kind.is_list:
        placed = [place(parameter, item, base_folder, around) for item in value]
        return [each[0] for each in placed], [each[1] for each in placed]
    return place(parameter, value, base_folder, around)


def _placed_path(parameter: Parameter, text: str, base_folder: Path, around: Surroundings) -> tuple[str, str]:
    from mlproj.urls import without_credentials

    if is_url(text):
        return str(around.fetch(text, parameter.sha256)), without_credentials(text)
    path = Path(os.path.abspath(base_folder / Path(text).expanduser()))  # noqa: PTH100  a symlink keeps its name
    if not path.exists():
        raise InvalidValueError(f"no file or folder `{one_line(path)}`")
    if parameter.sha256 is not None:
        from mlproj.files import sha256_of_file

        if not path.is_file() or sha256_of_file(path) != parameter.sha256:
            raise InvalidValueError(f"`{one_line(path)}` does not have the SHA-256 that the manifest gives")
    project = Path(os.path.abspath(around.project_folder))  # noqa: PTH100  a link keeps its name
    inside = path.is_relative_to(project)
    return str(path), path.relative_to(project).as_posix() if inside else str(path)


def _placed_uri(_: Parameter, text: str, base_folder: Path, __: Surroundings) -> tuple[str, str]:
    from mlproj.urls import without_credentials

    if is_url(text):
        return text, without_credentials(text)
    placed = os.path.abspath(base_folder / text)  # noqa: PTH100  a link keeps its name
    return placed, placed


def summary(config: Config) -> str:
    """The configuration on one line: ``alpha=0.1 l1_ratio=0.5``."""
    shown = [
        f"{name}={'null' if value is None else one_line(text_of(value))}" for name, value in config.recorded.items()
    ]
    return " ".join([*shown, *(f"{name}=•••" for name in config.secrets)])
