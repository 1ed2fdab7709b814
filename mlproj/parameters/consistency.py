"""What a manifest's parameters, defaults and commands must have to do with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mlproj.manifest.diagnostics import Diagnostic
from mlproj.manifest.document import KeyPath
from mlproj.manifest.load import LoadedManifest
from mlproj.manifest.models import EntryPoint, Parameter
from mlproj.parameters.render import command_words
from mlproj.parameters.template import WHOLE_WORDS, TemplateError, names_in, parse_script, parse_template
from mlproj.parameters.values import InvalidValueError, value_from_data
from mlproj.text import did_you_mean


def inconsistencies(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    """Everything wrong between parameters, defaults, constraints and commands; unused parameters as warnings."""
    for name, entry_point in loaded.manifest.entry_points.items():
        at: KeyPath = ("entry_points", name)
        for parameter_name, parameter in entry_point.parameters.items():
            yield from _parameter(loaded, (*at, "parameters", parameter_name), parameter)
        yield from _command(loaded, at, entry_point)


def _parameter(loaded: LoadedManifest, at: KeyPath, parameter: Parameter) -> Iterator[Diagnostic]:
    if at[-1] in WHOLE_WORDS:
        message = f"`{at[-1]}` cannot be a parameter's name: `{{{at[-1]}}}` stands for every parameter"
        yield loaded.document.diagnostic(message, at, key=True)
    broken = [*_broken_choices(loaded, at, parameter), *_broken_bounds(loaded, at, parameter)]
    yield from broken
    if not parameter.has_default:
        return
    # Beside a broken constraint the default is held to the type alone.
    judged = Parameter(type=parameter.type) if broken else parameter
    problem = _problem(judged, parameter.default)
    if problem is not None:
        yield loaded.document.diagnostic(f"the default does not fit: {problem}", (*at, "default"))


def _problem(parameter: Parameter, value: Any) -> str | None:
    try:
        value_from_data(parameter, value)
    except InvalidValueError as error:
        return str(error)
    return None


def _plain(parameter: Parameter) -> Parameter:
    """The same type without list, null or constraints: what a choice or a bound has to be."""
    return Parameter(type=parameter.value_type.base)


def _broken_choices(loaded: LoadedManifest, at: KeyPath, parameter: Parameter) -> Iterator[Diagnostic]:
    for index, choice in enumerate(parameter.choices or []):
        if choice is None and parameter.value_type.optional:
            continue
        if problem := _problem(_plain(parameter), choice):
            yield loaded.document.diagnostic(f"this choice does not fit: {problem}", (*at, "choices", index))


def _broken_bounds(loaded: LoadedManifest, at: KeyPath, parameter: Parameter) -> Iterator[Diagnostic]:
    for key in ("min", "max"):
        bound = getattr(parameter, key)
        if bound is not None and (problem := _problem(_plain(parameter), bound)):
            yield loaded.document.diagnostic(f"this bound does not fit: {problem}", (*at, key))
            return
    if parameter.min is not None and parameter.max is not None:
        ceiling = replace(_plain(parameter), max=parameter.max)
        if _problem(ceiling, parameter.min):
            yield loaded.document.diagnostic("`min` is above `max`: no value fits", (*at, "min"))


def _command(loaded: LoadedManifest, at: KeyPath, entry_point: EntryPoint) -> Iterator[Diagnostic]:
    place: KeyPath = (*at, "command")
    if entry_point.dialect == "mlflow":
        yield from _mlflow_command(loaded, at, entry_point)
        return
    used: list[str] = []
    for where, text in _texts(entry_point, place):
        try:
            pieces = parse_script(text) if entry_point.shell else parse_template(text)
        except TemplateError as error:
            yield loaded.document.diagnostic(str(error), where)
            return
        names = names_in(pieces)
        used += names
        for name in names:
            if name not in entry_point.parameters and name not in WHOLE_WORDS:
                declared = ", ".join(f"`{each}`" for each in entry_point.parameters) or "none is declared"
                near = did_you_mean(name, [*entry_point.parameters, *WHOLE_WORDS])
                yield loaded.document.diagnostic(f"no parameter `{name}` for `{{{name}}}` ({declared}).{near}", where)
            elif name in WHOLE_WORDS and len(pieces) > 1 and isinstance(entry_point.command, list):
                yield loaded.document.diagnostic(f"`{{{name}}}` must be a word of its own", where)
    if isinstance(entry_point.command, str):
        yield from _command_text(loaded, place, entry_point)
    if entry_point.shell is None:
        yield from _words_of_code(loaded, place, entry_point)
    yield from _unused_and_exposed(loaded, at, entry_point, used)


def _mlflow_command(loaded: LoadedManifest, at: KeyPath, entry_point: EntryPoint) -> Iterator[Diagnostic]:
    from mlproj.parameters.mlflow_command import cautions_about, names_used, problems_of

    place = (*at, "command")
    try:
        problems = list(problems_of(entry_point))
    except TemplateError as error:
        yield loaded.document.diagnostic(str(error), place)
        return
    for problem in problems:
        yield loaded.document.diagnostic(problem, place)
    for caution in () if problems else cautions_about(entry_point):
        yield loaded.document.diagnostic(caution, place, severity="hint")
    used = names_used(entry_point)
    for name in entry_point.parameters:
        if name not in used:
            message = f"the parameter `{name}` is not used by the command"
            yield loaded.document.diagnostic(message, (*at, "parameters", name), key=True, severity="hint")


def _texts(entry_point: EntryPoint, place: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(entry_point.command, str):
        yield place, entry_point.command
    else:
        for index, word in enumerate(entry_point.command):
            yield (*place, index), word


def _command_text(loaded: LoadedManifest, place: KeyPath, entry_point: EntryPoint) -> Iterator[Diagnostic]:
    assert isinstance(entry_point.command, str)
    if entry_point.shell is not None:
        from mlproj.parameters.shell import check_for_bash

        for problem in check_for_bash(entry_point.command, entry_point.parameters):
            yield loaded.document.diagnostic(problem, place)
        return
    try:
        words = command_words(entry_point.command)
    except ValueError as error:
        yield loaded.document.diagnostic(f"the command cannot be split into words: {error}", place)
        return
    if not words:
        yield loaded.document.diagnostic("the command is empty", place)
    for word in words:
        pieces = parse_template(word)
        for name in names_in(pieces):
            if name in WHOLE_WORDS and len(pieces) > 1:
                yield loaded.document.diagnostic(f"`{{{name}}}` must be a word of its own", place)


def _words_of_code(loaded: LoadedManifest, place: KeyPath, entry_point: EntryPoint) -> Iterator[Diagnostic]:
    """The values that would be code of an interpreter that the argument vector starts."""
    from mlproj.parameters.shell import by_type, problems_of_words

    try:
        words = [parse_template(word) for word in command_words(entry_point.command)]
    except ValueError:
        return  # told as such
    for index, problem in problems_of_words(words, by_type(entry_point.parameters)):
        where = (*place, index) if isinstance(entry_point.command, list) else place
        yield loaded.document.diagnostic(problem, where)


def _unused_and_exposed(
    loaded: LoadedManifest, at: KeyPath, entry_point: EntryPoint, used: list[str]
) -> Iterator[Diagnostic]:
    everything = any(name in WHOLE_WORDS for name in used)
    for name, parameter in entry_point.parameters.items():
        where = (*at, "parameters", name)
        if parameter.value_type.base == "secret":
            if name in used and entry_point.shell is None:
                message = (
                    f"the secret `{name}` stands in the command's words, where `ps` shows it to other users: "
                    "the command finds it in its environment too"
                )
                yield loaded.document.diagnostic(message, where, key=True, severity="warning")
        elif name not in used and not everything:
            message = f"the parameter `{name}` is not used by the command (it is in $MLPROJ_PARAMS all the same)"
            yield loaded.document.diagnostic(message, where, key=True, severity="warning")
