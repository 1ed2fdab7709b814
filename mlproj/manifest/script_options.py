"""The options that a Python script declares with argparse, click or typer, read from its text: it is never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TYPES = {
    "int": "int",
    "float": "float",
    "str": "str",
    "bool": "bool",
    "Path": "path",
    "INT": "int",
    "FLOAT": "float",
}
_LARGEST_SCRIPT = 1 << 20


@dataclass(frozen=True)
class ScriptOption:
    """One option of a script: its flag as written, and the parameter that it would make.

    ``misfit`` says why no parameter can hand it over as ``{args}`` writes values: then it is to be left out.
    """

    flag: str
    name: str
    type: str
    default: Any = None
    required: bool = False
    choices: list[Any] | None = None
    description: str | None = None
    misfit: str | None = None


def options_of(script: Path) -> list[ScriptOption]:
    """The script's options, in order; none when it cannot be read or declares them in a way that is not understood."""
    try:
        if script.stat().st_size > _LARGEST_SCRIPT:
            return []
        tree = ast.parse(script.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    found: dict[str, ScriptOption] = {}
    commands = {each for node in ast.walk(tree) for each in _run_by_typer(node)}
    for node in ast.walk(tree):
        for option in _options_at(node, commands):
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", option.name):
                found.setdefault(option.name, option)
    return list(found.values())


def _options_at(node: ast.AST, commands: set[str]) -> Iterator[ScriptOption]:
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("add_argument", "option", "argument"):
            option = _declared(node)
            if option is not None:
                yield option
    elif isinstance(node, ast.FunctionDef) and (node.name in commands or _is_typer_command(node)):
        yield from _of_signature(node)


def _declared(call: ast.Call) -> ScriptOption | None:
    flags = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    long = [flag for flag in flags if flag.startswith("--")]
    if flags and not long:
        kind = "it is positional" if not flags[0].startswith("-") else "it has no long form"
        return ScriptOption(flags[0], flags[0].lstrip("-"), "str", misfit=kind)
    if not long:
        return None
    keywords = {each.arg: each.value for each in call.keywords if each.arg}
    flag, _, off = long[0].partition("/")
    action = _constant(keywords.get("action"))
    default = _constant(keywords.get("default"))
    optional_switch = getattr(keywords.get("action"), "attr", None) == "BooleanOptionalAction"
    switch = action == "store_true" or _constant(keywords.get("is_flag")) is True or bool(off) or optional_switch
    several = action in ("append", "extend") or _constant(keywords.get("multiple")) is True
    kind = "bool" if switch else _type(keywords.get("type"), default)
    choices = _constant(keywords.get("choices"))
    if choices is not None and kind == "str" and not all(isinstance(each, str) for each in choices):
        kind = _type(None, choices[0])
    return ScriptOption(
        flag.strip(),
        flag.strip()[2:],
        f"list[{kind}]" if several else kind,
        False if switch and default is None else default,
        required=_constant(keywords.get("required")) is True,
        choices=choices if isinstance(choices, list) else None,
        description=_text(_constant(keywords.get("help"))),
        misfit=_misfit(keywords, switch=switch, default=default),
    )


def _misfit(keywords: dict[str, ast.expr], *, switch: bool, default: Any) -> str | None:
    action = _constant(keywords.get("action"))
    if action not in (None, "store", "store_true", "append", "extend") and not switch:
        return f"its action is {action}"
    if _constant(keywords.get("nargs")) not in (None, 1, "?"):
        return "it takes several words at once"
    if switch and default is True:
        return "it is on unless switched off"
    if switch or keywords.get("type") is None or not isinstance(keywords["type"], ast.Call):
        return None
    return "its type is made by a call"


def _is_typer_command(function: ast.FunctionDef) -> bool:
    """Whether a function is typer's command: click's has its options beside it, as decorators of their own."""
    decorators = [each for each in function.decorator_list if isinstance(each, ast.Call)]
    names = [each.func.attr for each in decorators if isinstance(each.func, ast.Attribute) and not each.args]
    others = [getattr(each.func, "attr", None) for each in decorators]
    return "command" in names and "option" not in others and "argument" not in others


def _run_by_typer(node: ast.AST) -> Iterator[str]:
    """``typer.run(main)``: the function's name."""
    called = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
    if called is not None and called.attr == "run" and getattr(called.value, "id", None) == "typer":
        assert isinstance(node, ast.Call)
        yield from (each.id for each in node.args[:1] if isinstance(each, ast.Name))


def _of_signature(function: ast.FunctionDef) -> Iterator[ScriptOption]:
    """typer: a command's arguments with a default are its options."""
    arguments = function.args.args
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(function.args.defaults))
    for argument, default in zip(arguments, [*defaults, *function.args.defaults]):
        if default is None:
            yield ScriptOption(argument.arg, argument.arg, "str", misfit="it is positional")
            continue
        value = _constant(default)
        if isinstance(default, ast.Call) and default.args:
            value = _constant(default.args[0])
        kind = _type(argument.annotation, value)
        flag = "--" + argument.arg.replace("_", "-")
        misfit = "it is on unless switched off" if kind == "bool" and value is True else None
        default_value = None if value is ... else value
        yield ScriptOption(flag, flag[2:], kind, default_value, required=value is ..., misfit=misfit)


def _type(node: ast.expr | None, default: Any) -> str:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    if name in _TYPES:
        return _TYPES[name]
    if isinstance(default, bool):
        return "bool"
    return {int: "int", float: "float"}.get(type(default), "str")


def _constant(node: ast.expr | None) -> Any:
    if node is None:
        return None
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return list(value) if isinstance(value, (tuple, set)) else value


def _text(value: Any) -> str | None:
    return " ".join(value.split()) if isinstance(value, str) and value.strip() else None
