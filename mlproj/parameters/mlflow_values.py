"""The values of an MLproject's entry point as MLflow takes them: texts; only `path` and `uri` are looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.given import Given
from mlproj.parameters.values import InvalidValueError, is_url
from mlproj.text import one_line
from mlproj.urls import without_credentials

if TYPE_CHECKING:
    from mlproj.parameters.config import Surroundings


def mlflow_values(
    entry_point: EntryPoint, given: Mapping[str, Given], around: Surroundings
) -> tuple[dict[str, str], dict[str, str], dict[str, str], list[str]]:
    """The values by name, the ones to record, those of undeclared parameters, and what is wrong with them."""
    values: dict[str, str] = {}
    recorded: dict[str, str] = {}
    problems: list[str] = []
    for name, parameter in entry_point.parameters.items():
        source = given.get(name)
        try:
            if source is None and not parameter.has_default:
                problems.append(f"parameter `{one_line(name)}`: a value is required: give it with -P")
                continue
            text = parameter.default if source is None else _text(source)
            values[name], recorded[name] = _placed(parameter, text, source, around)
        except InvalidValueError as error:
            origin = source.origin if source is not None else "the default"
            problems.append(f"parameter `{one_line(name)}` ({origin}): {error}")
    undeclared: dict[str, str] = {}
    for name in given:
        if name in entry_point.parameters:
            continue
        try:
            undeclared[name] = _text(given[name])
            if not name.strip() or any(letter in name for letter in "\x00\n\r"):
                raise InvalidValueError("this is no name for an option")
        except InvalidValueError as error:
            problems.append(f"parameter `{one_line(name)}` ({given[name].origin}): {error}")
    return values, {**recorded, **undeclared}, undeclared, problems


def _text(source: Given) -> str:
    value: Any = source.texts[-1] if source.is_text else source.data
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if source.is_text and len(source.texts) > 1:
        raise InvalidValueError("given more than once, and a parameter of an MLproject has one value")
    if value is None:
        raise InvalidValueError("expected a value; found null")
    if "\x00" in str(value):
        raise InvalidValueError("expected a text without a NUL character")
    return str(value)


def _placed(parameter: Parameter, text: str, source: Given | None, around: Surroundings) -> tuple[str, str]:
    if parameter.type == "uri":
        if not _is_uri(text):
            raise InvalidValueError(f"expected a URI, such as `s3://bucket/key`; found `{one_line(text)}`")
        return text, without_credentials(text)
    if parameter.type == "path" and not text:
        raise InvalidValueError("expected a path, or a URL to fetch; found an empty text")
    if parameter.type != "path":
        return text, without_credentials(text) if is_url(text) and "://" in text else text
    if is_url(text) and not text.startswith("file:"):
        return str(around.fetch(text, None)), without_credentials(text)
    local = Path(urlsplit(text).path if text.startswith("file:") else text).expanduser()
    # A default is one of the project's files: MLflow, which asks its own folder, finds it only when run from there.
    folders = [around.caller_folder] if source is not None else [around.project_folder, around.caller_folder]
    for folder in folders:
        placed = os.path.abspath(folder / local)  # noqa: PTH100  a symlink keeps its name
        if os.path.lexists(placed) and Path(placed).exists():
            return placed, text
    raise InvalidValueError(f"no file or folder `{one_line(text)}`")


def _is_uri(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme)
    except ValueError:
        return False
