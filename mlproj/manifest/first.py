"""A project's first manifest, written from what its folder holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlproj.errors import UsageError
from mlproj.manifest.models import NAME_PATTERN
from mlproj.manifest.script_options import ScriptOption, options_of
from mlproj.text import one_line

USUAL_SCRIPTS = ("train.py", "main.py", "run.py", "app.py")


@dataclass(frozen=True)
class Draft:
    """A manifest's text, and what it was made from in words."""

    text: str
    found: tuple[str, ...]


def draft_manifest(folder: Path, entry_points: Sequence[str]) -> Draft:
    """The text of a first manifest. ``entry_points`` are ``NAME=SCRIPT`` or ``SCRIPT``; none: a usual script is looked for.

    Raises ``UsageError`` when one of them is no file of the folder.
    """
    found: list[str] = []
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-.") or "project"
    lines = [f"name: {_scalar(name)}", "", *_environment(folder, found), "", "entry_points:"]
    for entry_point, script in _scripts(folder, entry_points):
        lines += _entry_point(folder, entry_point, script, found)
    return Draft("\n".join(lines) + "\n", tuple(found))


def _scripts(folder: Path, entry_points: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    for text in entry_points:
        name, equals, script = text.partition("=")
        script = script if equals else name
        name = name if equals else Path(name).stem
        if not re.match(NAME_PATTERN, name):
            raise UsageError(f"--entry-point: `{one_line(name)}` cannot be an entry point's name")
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
    if pyproject.is_file() and re.search(r"(?m)^\[project\]", pyproject.read_text(encoding="utf-8", errors="replace")):
        found.append("pyproject.toml")
        yield "  virtualenv:"
        yield "    project: pyproject.toml"
    elif (folder / "requirements.txt").is_file():
        found.append("requirements.txt")
        yield "  virtualenv:"
        yield "    requirements: requirements.txt"
    else:
        yield "  virtualenv:"
        yield '    # python: ">=3.11"'
        yield "    dependencies: []    # such as scikit-learn>=1.5"


def _entry_point(folder: Path, name: str, script: str | None, found: list[str]) -> Iterator[str]:
    yield f"  {name}:"
    if script is None:
        yield '    command: [python, -c, "print(\'put your command here\')"]'
        return
    found.append(script)
    options = options_of(folder / script) if script.endswith(".py") else []
    words = ["python" if script.endswith(".py") else "bash", script]
    if options:
        yield f"    # The parameters were read off the options in {script}: look them over."
        for option in options:
            if not option.is_switch and not option.type.startswith("list"):
                words += [option.flag, f"{{{option.name}}}"]
    needs_all = any(option.is_switch or option.type.startswith("list") for option in options)
    if needs_all or any(option.default is None and not option.required for option in options):
        words = [*words[:2], "{args}"]
    yield f"    command: {_flow(words)}"
    if options:
        yield "    parameters:"
        for option in options:
            yield f"      {option.name}: {_parameter(option)}"


def _parameter(option: ScriptOption) -> str:
    fields: dict[str, Any] = {"type": option.type}
    if option.default is not None and option.default is not ...:
        fields["default"] = option.default
    elif not option.required:
        fields.update({"default": []} if option.type.startswith("list") else {"type": option.type + "?"})
    if option.choices is not None:
        fields["choices"] = option.choices
    if option.description is not None:
        fields["description"] = option.description
    return _flow(fields)


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    return text.strip().removesuffix("...").strip()


def _scalar(text: str) -> str:
    return _flow([text])[1:-1]
