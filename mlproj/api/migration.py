"""The `mlproj.yaml` that does what an `MLproject` does, with comments on what could be declared better."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mlproj.api.checked import checked_manifest_file
from mlproj.errors import UsageError
from mlproj.locations import cache_folder
from mlproj.manifest.finding import find_mlproject
from mlproj.manifest.form_fields import NAME_PATTERN, PARAMETER_NAME_PATTERN
from mlproj.manifest.load import MIGRATED
from mlproj.manifest.models import Docker, EntryPoint, EnvironmentSpec, Manifest, Parameter, Virtualenv
from mlproj.manifest.writing import block, flow, scalar
from mlproj.parameters.mlflow_command import pieces_of_command, words_without_a_shell
from mlproj.parameters.shell import by_type, check_for_bash, check_words
from mlproj.parameters.template import WHOLE_WORDS, Piece, Placeholder, merged, parse_script, parse_template
from mlproj.parameters.values import InvalidValueError, value_from_data
from mlproj.text import one_line

# The types that MLproject's hints name in other words.
_TYPES = {"float": "float", "double": "float", "number": "float", "int": "int", "integer": "int", "long": "int"} | {
    "bool": "bool",
    "boolean": "bool",
}
_KEYS_OF_OPTIONS = {
    "-r": "requirements",
    "--requirement": "requirements",
    "-i": "index_url",
    "--index-url": "index_url",
}
_PLAIN_REQUIREMENT = re.compile(r"[A-Za-z0-9][^\r\n\x00]*")


@dataclass(frozen=True)
class Migration:
    """A manifest's text, where it belongs, and what of the MLproject it could not say."""

    path: Path
    text: str
    left_out: tuple[str, ...]


@dataclass
class _Notes:
    left_out: list[str] = field(default_factory=list)


def migrate_project(folder: Path) -> Migration:
    """The ``mlproj.yaml`` for the MLproject in ``folder``.

    Raises ``UsageError`` when there is none, ``ManifestError`` when it cannot be loaded.
    """
    source = find_mlproject(folder)
    if source is None:
        raise UsageError(f"no MLproject in {one_line(folder)}", hint="`mlproj init` writes a first manifest.")
    checked = checked_manifest_file(source, cache_folder())
    notes = _Notes([f"the entry point `{name}`: {each.splitlines()[0]}" for name, each in checked.broken.items()])
    lines = [f"# Made from {source.name} {MIGRATED}."]
    lines += ["# There, `-P` takes names that are not declared, as `--name value`; here, declare each below."]
    lines += [f"name: {scalar(checked.manifest.name)}"] if checked.manifest.name else []
    lines += ["", *_environment(checked.manifest, notes), "", "entry_points:"]
    entry_points = {name: each for name, each in checked.manifest.entry_points.items() if name not in checked.broken}
    written = [line for name, entry_point in entry_points.items() for line in _entry_point(name, entry_point, notes)]
    if not written:
        why = "".join(f"\n  {each}" for each in notes.left_out)
        raise UsageError(f"{one_line(source)} has no entry point that an mlproj.yaml could have{why}")
    lines += written
    lines += [f"# Not carried over: {one_line(each)}" for each in notes.left_out]
    return Migration(source.parent / "mlproj.yaml", "\n".join(lines) + "\n", tuple(notes.left_out))


def _environment(manifest: Manifest, notes: _Notes) -> Iterator[str]:
    spec = manifest.environment
    assert isinstance(spec, EnvironmentSpec)
    yield "environment:"
    if spec.docker is not None:
        if spec.docker.project_at != Docker.project_at:
            yield f"  # In the container the project is at {Docker.project_at}, with MLflow at {spec.docker.project_at}"
        yield "  docker:"
        yield from (f"    {key}: {flow(value)}" for key, value in _docker(spec.docker, notes).items())
        return
    if spec.conda is not None:
        yield f"  conda: {flow({'file': spec.conda.file})}"
        return
    virtualenv = spec.virtualenv
    assert virtualenv is not None
    fields = _virtualenv(virtualenv, notes)
    if not fields:
        yield "  virtualenv: {}"
        return
    yield "  virtualenv:"
    for key, value in fields.items():
        if key == "python" and value != virtualenv.python:
            yield f"    # {virtualenv.python} is asked for, and any {value} will do."
        if isinstance(value, list):
            yield f"    {key}:"
            yield from (f"      - {flow(item)}" for item in value)
        else:
            yield f"    {key}: {flow(value)}"


def _docker(docker: Docker, notes: _Notes) -> dict[str, Any]:
    fields: dict[str, Any] = {"image": docker.image}
    if docker.volumes:
        fields["volumes"] = docker.volumes
    variables: dict[str, str | None] = {}
    for each in docker.environment:
        if isinstance(each, str):
            variables[each] = None
        elif len(each) == 2:
            variables[each[0]] = each[1]
        else:
            notes.left_out.append(f"docker_env's variable {each}: it is no pair of a name and a value")
    if variables:
        fields["environment"] = variables
    return fields


def _virtualenv(virtualenv: Virtualenv, notes: _Notes) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if virtualenv.python is not None:
        exact = re.fullmatch(r"={0,3}\s*(\d+\.\d+)\.\d+", virtualenv.python)
        fields["python"] = exact[1] if exact and virtualenv.nearest_python else virtualenv.python
    dependencies = []
    for line in virtualenv.lines:
        option = re.fullmatch(r"(-r|--requirement|-i|--index-url|--extra-index-url|-f|--find-links)[ =]\s*(\S+)", line)
        key = _KEYS_OF_OPTIONS.get(option[1]) if option else None
        if option and key is not None and key not in fields:
            fields[key] = option[2].removeprefix("./") if key == "requirements" else option[2]
        elif option and option[1] == "--extra-index-url":
            fields.setdefault("extra_index_urls", []).append(option[2])
        elif option and option[1] in ("-f", "--find-links"):
            fields.setdefault("find_links", []).append(option[2])
        elif _PLAIN_REQUIREMENT.fullmatch(line):
            dependencies.append(line)
        else:
            notes.left_out.append(f"the requirement `{line}`: put it into a requirements file")
    if dependencies:
        fields["dependencies"] = dependencies
    return fields


def _entry_point(name: str, entry_point: EntryPoint, notes: _Notes) -> Iterator[str]:
    if not re.match(NAME_PATTERN, name) or len(name) > 100:
        notes.left_out.append(f"the entry point `{one_line(name)}`: its name cannot be one in an mlproj.yaml")
        return
    problem = _problem_with_names(entry_point)
    if problem is not None:
        notes.left_out.append(f"the entry point `{name}`: {problem}")
        return
    assert isinstance(entry_point.command, str)
    parameters = dict(entry_point.parameters)
    pieces = pieces_of_command(entry_point)
    words = words_without_a_shell(pieces)
    if words is not None:
        command = [f"    command: {flow([_template(word) for word in words])}"]
        carried = all(merged(parse_template(_template(word))) == merged(word) for word in words)
        refused = partial(_refused_words, words)
    else:
        script = f"set +u\n{_script(pieces)}"
        command = [
            "    # MLflow runs it by `bash -c`, where a variable that is not set is empty, not an error.",
            "    shell: bash",
        ]
        command += block("command", script, "    ")
        carried = merged(parse_script(_script(pieces))) == merged(pieces)
        refused = partial(check_for_bash, script)
    parameters = _typed_where_needed(refused, parameters)
    refusals = list(refused(parameters))
    notes.left_out += [f"the entry point `{name}`: {refusal}" for refusal in refusals]
    if refusals:
        return
    if not carried:
        notes.left_out.append(f"the entry point `{name}`: its command's braces cannot be written in an mlproj.yaml")
        return
    yield f"  {scalar(name)}:"
    yield from command
    if parameters:
        yield "    parameters:"
    for parameter_name, parameter in parameters.items():
        yield from _parameter(parameter_name, parameter, entry_point.parameters[parameter_name])


def _problem_with_names(entry_point: EntryPoint) -> str | None:
    for name in entry_point.parameters:
        if not re.match(PARAMETER_NAME_PATTERN, name) or name in WHOLE_WORDS:
            return f"the parameter `{one_line(name)}` cannot have this name in an mlproj.yaml"
    return None


def _parameter(name: str, parameter: Parameter, before: Parameter) -> Iterator[str]:
    better = _better(before)
    if parameter.type == "str" and better is not None:
        yield f"      # could be {flow(better)}, which is checked, and given to the command in Python's own spelling"
    elif parameter.type != before.type:
        yield "      # typed, as its value stands in code: the command is given Python's own spelling (0.10 is 0.1)"
    fields: dict[str, Any] = {"type": parameter.type}
    if parameter.type == "uri":
        # Without a scheme it would be a path of this machine, which MLflow does not take.
        fields["pattern"] = "[A-Za-z][A-Za-z0-9+.-]+:.*"
    if parameter.has_default:
        fields["default"] = parameter.default
    if parameter.description:
        fields["description"] = parameter.description
    yield f"      {scalar(name)}: {flow(fields)}"


def _better(parameter: Parameter) -> dict[str, Any] | None:
    """The declaration that the hint of an MLproject speaks for."""
    kind = _TYPES.get((parameter.hint or "").lower())
    if kind is None:
        return None
    if not parameter.has_default:
        return {"type": kind}
    try:
        default = _number(kind, parameter.default)
        value_from_data(Parameter(type=kind), default)
    except (ValueError, InvalidValueError):
        return None
    return {"type": kind, "default": default}


def _number(kind: str, text: str) -> Any:
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    return int(text) if kind == "int" else float(text)


_Refused = Callable[[Mapping[str, Parameter]], Iterable[str]]


def _refused_words(words: Sequence[Sequence[Piece]], parameters: Mapping[str, Parameter]) -> Iterator[str]:
    return check_words(words, by_type(parameters))


def _typed_where_needed(refused: _Refused, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """The parameters, those typed as hinted whose values bash or an interpreter would read as code."""
    typed = dict(parameters)
    for name, parameter in parameters.items():
        better = _better(parameter)
        alone = {other: Parameter(type="int") for other in parameters if other != name} | {name: Parameter()}
        if better is not None and any(refused(alone)):
            typed[name] = Parameter(**better, description=parameter.description)
    return typed


def _template(word: Sequence[Piece]) -> str:
    return "".join(
        piece.replace("{", "{{").replace("}", "}}") if isinstance(piece, str) else f"{{{piece.name}}}" for piece in word
    )


def _script(pieces: Sequence[Piece]) -> str:
    """The pieces as the text of a script in an mlproj.yaml, where single braces and ``${…}`` are bash's own."""
    text = ""
    for piece in pieces:
        if isinstance(piece, Placeholder):
            # A brace right before a placeholder would make the two of them a literal one.
            text = (text + "{" if re.search(r"(?<!\{)(\{\{)*\{$", text) else text) + f"{{{piece.name}}}"
        else:
            text += re.sub(r"\{\{|\}\}|(?<!\$)\{[A-Za-z_][A-Za-z0-9_.-]*\}", _twice, piece)
    return text


def _twice(match: re.Match[str]) -> str:
    return match[0].replace("{", "{{").replace("}", "}}")
