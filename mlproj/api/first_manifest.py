"""A project's first manifest, written from what its folder holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.errors import UsageError
from mlproj.manifest import form
from mlproj.manifest.form_fields import NAME_PATTERN, PARAMETER_NAME_PATTERN
from mlproj.manifest.models import Parameter
from mlproj.manifest.script_options import ScriptOption, options_of
from mlproj.manifest.writing import flow, scalar
from mlproj.parameters.values import value_from_data
from mlproj.text import one_line

PARAMETER_NAME = re.compile(PARAMETER_NAME_PATTERN)
USUAL_SCRIPTS = ("train.py", "main.py", "run.py", "app.py")


CONDA_FILES = ("environment.yml", "environment.yaml", "conda.yaml", "conda.yml")


@dataclass(frozen=True)
class Draft:
    """A manifest's text, and what it was made from in words."""

    text: str
    found: tuple[str, ...]


def draft_manifest(folder: Path, entry_points: Sequence[str]) -> Draft:
    """The text of a first manifest. ``entry_points`` are ``NAME=SCRIPT`` or ``SCRIPT``; none: a usual script.

    Raises ``UsageError`` when one of them is no file of the folder.
    """
    found: list[str] = []
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-.") or "project"
    lines = [f"name: {scalar(name)}", "", *_environment(folder, found), "", "entry_points:"]
    for entry_point, script in _scripts(folder, entry_points):
        lines += _entry_point(folder, entry_point, script, found)
    return Draft("\n".join(lines) + "\n", tuple(found))


def _scripts(folder: Path, entry_points: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    names: set[str] = set()
    for text in entry_points:
        name, equals, script = text.partition("=")
        script = script if equals else name
        name = name if equals else Path(name).stem
        if not re.match(NAME_PATTERN, name):
            raise UsageError(f"--entry-point: `{one_line(name)}` cannot be an entry point's name")
        if name in names:
            raise UsageError(f"--entry-point: `{name}` is given twice")
        names.add(name)
        if not (folder / script).is_file():
            if equals or script.endswith((".py", ".sh")):
                raise UsageError(f"--entry-point: no file `{one_line(script)}` in {one_line(folder)}")
            yield name, None
            continue
        yield name, script
    if not entry_points:
        scripts = [name for name in USUAL_SCRIPTS if (folder / name).is_file()]
        scripts = scripts or sorted(path.name for path in folder.glob("*.py"))[:1]
        yield "main", scripts[0] if scripts else None


def _environment(folder: Path, found: list[str]) -> Iterator[str]:
    yield "environment:"
    pyproject = folder / "pyproject.toml"
    conda = next((name for name in CONDA_FILES if (folder / name).is_file()), None)
    if conda is not None:
        found.append(conda)
        yield f"  conda: {flow({'file': conda})}"
    elif pyproject.is_file() and re.search(r"(?m)^\[project\]", pyproject.read_text("utf-8", errors="replace")):
        found.append("pyproject.toml")
        yield "  virtualenv:"
        yield "    project: pyproject.toml"
    elif (folder / "requirements.txt").is_file():
        found.append("requirements.txt")
        yield "  virtualenv:"
        yield "    requirements: requirements.txt"
    elif (folder / "Dockerfile").is_file():
        found.append("Dockerfile")
        yield "  docker: {build: .}"
    else:
        yield "  virtualenv:"
        yield '    # python: ">=3.11"'
        yield "    dependencies: []    # such as scikit-learn>=1.5"


def _entry_point(folder: Path, name: str, script: str | None, found: list[str]) -> Iterator[str]:
    yield f"  {name}:"
    if script is None:
        yield "    command: [python, -c, \"print('put your command here')\"]"
        return
    found.append(script)
    options = options_of(folder / script) if script.endswith(".py") else []
    parameters = {option.name: fields for option in options if (fields := _fields(option)) is not None}
    left_out = [option.flag for option in options if option.name not in parameters]
    # A name such as `-c import os.py` would be an option to the interpreter, and braces would be placeholders.
    safe = ("./" if script.startswith("-") else "") + script.replace("{", "{{").replace("}", "}}")
    words = ["python" if script.endswith(".py") else "bash", safe]
    if parameters:
        yield f"    # The parameters were read off the options in {one_line(script)}: look them over."
        words.append("{args}")
    if left_out:
        yield f"    # Left out, since they do not take their values as `--name value`: {', '.join(left_out)}"
    yield f"    command: {flow(words)}"
    if parameters:
        yield "    parameters:"
        for parameter, fields in parameters.items():
            yield f"      {scalar(parameter)}: {flow(fields)}"


def _fields(option: ScriptOption) -> dict[str, Any] | None:
    """The parameter that hands the option over, as the manifest declares it; ``None`` when none does."""
    if option.misfit is not None or option.name in ("args", "overrides"):
        return None
    fields: dict[str, Any] = {"type": option.type}
    if option.choices is not None:
        fields["choices"] = option.choices
    if option.default is not None:
        fields["default"] = option.default
    elif not option.required and option.type.startswith("list"):
        fields["default"] = []
    elif not option.required:
        fields["type"] += "?"
    if option.description is not None:
        fields["description"] = option.description
    try:
        json.dumps(fields)
        if not PARAMETER_NAME.fullmatch(option.name):
            return None
        form.Parameter.model_validate(fields)
        parameter = Parameter(**fields)
        for value in (*(option.choices or ()), *([fields["default"]] if "default" in fields else ())):
            value_from_data(parameter, value)
    except ValueError:  # pydantic's ValidationError and InvalidValueError are such
        return None
    return fields
