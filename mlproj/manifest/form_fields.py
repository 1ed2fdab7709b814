"""What the sections of ``mlproj.yaml`` have in common: names, texts and paths in their form."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
PARAMETER_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
ParameterName = Annotated[str, Field(pattern=PARAMETER_NAME_PATTERN, max_length=250)]
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]


def _no_null_byte(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("null_byte", "a text without a NUL character, which no command can be given")
    return text


def _inside_the_project(path: str) -> str:
    """Refuse a path that names something outside the project's folder."""
    if not path or path != path.strip() or "\x00" in path:
        raise PydanticCustomError("path", "a path, relative to the project's folder")
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "~")) or re.match(r"^[A-Za-z]:", path) or ".." in parts:
        raise PydanticCustomError(
            "path_escapes", "a path inside the project's folder: no leading `/` or `~`, and no `..`"
        )
    return path


def _plain_requirement(requirement: str) -> str:
    """Refuse a dependency that a tool would read as an option or as more than one line."""
    if not requirement.strip() or requirement.lstrip().startswith("-") or re.search(r"[\r\n\x00]", requirement):
        raise PydanticCustomError(
            "requirement",
            "one requirement such as `pandas>=2`; options and `-r` belong in a requirements file",
        )
    return requirement


def not_an_option(value: str) -> str:
    """Refuse a value that a tool would read as an option or as more than one line."""
    if not value or value.startswith("-") or re.search(r"[\r\n\x00]", value):
        raise PydanticCustomError("option_like", "a value that does not start with `-` and holds no line break")
    return value


Text = Annotated[str, AfterValidator(_no_null_byte)]
ProjectPath = Annotated[str, AfterValidator(_inside_the_project)]
Requirement = Annotated[str, AfterValidator(_plain_requirement)]
PlainValue = Annotated[str, AfterValidator(not_an_option)]


class Section(BaseModel):
    """What every mapping of the manifest has in common: unknown keys are errors, and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)
