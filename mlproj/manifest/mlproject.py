"""An `MLproject`, as MLflow reads it: from the file to the same declaration that an `mlproj.yaml` comes to.

Its form: https://mlflow.org/docs/latest/ml/projects/. MLflow checks next to nothing when it loads one and fails where
it is used; so what is wrong with one entry point leaves the others to be run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlproj.manifest.diagnostics import Diagnostic, ManifestError
from mlproj.manifest.document import Document, KeyPath, read_document
from mlproj.manifest.entry_points import entry_point_of
from mlproj.manifest.mlproject_environments import RULES, Declaration, declared_environment
from mlproj.text import did_you_mean, one_line

_KEYS = ("name", "entry_points", "python_env", "conda_env", "docker_env", "databricks_spark_job")
_ENTRY_POINT_KEYS = ("parameters", "command")
_PARAMETER_KEYS = ("type", "default", "description")
# Types of which MLflow makes something; with `string` the rest are all taken for texts.
_PLACED_TYPES = ("path", "uri")
_TEXT_TYPES = ("str", "string")


def read_mlproject(path: Path) -> tuple[dict[str, Any], Document, list[Diagnostic], tuple[Path, ...]]:
    """What an MLproject declares (the mapping that ``models.manifest_from`` takes), and the findings about it.

    Also gives the document, and the files that were read beside it. Findings of an entry point that are errors stop
    that entry point alone.

    Raises ``ManifestError`` when MLflow could not load it either.
    """
    document = read_document(path, RULES)
    findings = list(document.findings)
    data = document.data
    if data is None:
        raise ManifestError([document.diagnostic("the file is empty: an MLproject is a mapping with `entry_points`")])
    if not isinstance(data, dict):
        raise ManifestError([document.diagnostic("expected a mapping with `entry_points`", ())])
    findings += _unknown_keys(document, (), _KEYS)
    if "databricks_spark_job" in data:
        message = "`databricks_spark_job` runs on Databricks alone: mlproj runs the project's entry points here"
        findings.append(document.diagnostic(message, ("databricks_spark_job",), key=True, severity="warning"))
    environment = declared_environment(document)
    findings += environment.findings
    declared: dict[str, Any] = {
        "dialect": "mlflow",
        "environment": environment.declared,
        "entry_points": dict(_entry_points(document, findings)),
    }
    if data.get("name") is not None:
        declared["name"] = _text(data["name"]) or None
    if any(each.severity == "error" and entry_point_of(document, each) is None for each in findings):
        raise ManifestError(findings)
    return declared, document, findings, environment.files


def undeclared_project(folder: Path) -> tuple[dict[str, Any], Declaration]:
    """What MLflow makes of a folder without an MLproject: no entry point is declared, its scripts can be run."""
    document = Document(folder / "MLproject", (), {}, {}, {})
    environment = declared_environment(document)
    return {"dialect": "mlflow", "environment": environment.declared, "entry_points": {}}, environment


def _entry_points(document: Document, findings: list[Diagnostic]) -> Iterator[tuple[str, dict[str, Any]]]:
    at: KeyPath = ("entry_points",)
    entry_points = document.data.get("entry_points")
    if entry_points is None:
        if "entry_points" in document.data:
            message = "`entry_points` is empty: MLflow cannot load this; mlproj runs the project's scripts (-e NAME.py)"
            findings.append(document.diagnostic(message, at, key=True, severity="warning"))
        return
    if not isinstance(entry_points, dict):
        findings.append(document.diagnostic("expected a mapping of names to entry points", at))
        return
    for name, entry_point in entry_points.items():
        place = (*at, name)
        if not isinstance(entry_point, dict):
            findings.append(document.diagnostic("expected a mapping with `command` and `parameters`", place))
            continue
        findings += _unknown_keys(document, place, _ENTRY_POINT_KEYS)
        parameters = dict(_parameters(document, place, entry_point.get("parameters"), findings))
        command = entry_point.get("command")
        if not isinstance(command, str) or not command.strip() or "\x00" in command:
            found = "there is none" if command is None else "this is none"
            where = (*place, "command") if "command" in entry_point else place
            message = f"expected a `command` as one text; {found}, so the entry point cannot be run"
            findings.append(document.diagnostic(message, where, key="command" not in entry_point))
            continue
        yield name, {"dialect": "mlflow", "command": command, "parameters": parameters}


def _parameters(
    document: Document, at: KeyPath, parameters: Any, findings: list[Diagnostic]
) -> Iterator[tuple[str, dict[str, Any]]]:
    place: KeyPath = (*at, "parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        findings.append(document.diagnostic("expected a mapping of names to parameters", place))
        return
    for name, parameter in parameters.items():
        here = (*place, name)
        if isinstance(parameter, str):
            yield name, _typed(document, here, parameter, findings)
        elif isinstance(parameter, dict):
            findings += _unknown_parameter_keys(document, here)
            declared = _typed(document, (*here, "type"), parameter.get("type"), findings)
            if parameter.get("default") is not None:
                declared["default"] = _text(parameter["default"])
            if isinstance(parameter.get("description"), str):
                declared["description"] = parameter["description"]
            yield name, declared
        else:
            found = "nothing" if parameter is None else f"`{one_line(parameter)}`"
            message = f"expected a type such as `float`, or `{{type: float, default: 0.5}}`; found {found}"
            findings.append(document.diagnostic(message, here, key=parameter is None))
            yield name, {"type": "str"}


def _typed(document: Document, at: KeyPath, kind: Any, findings: list[Diagnostic]) -> dict[str, Any]:
    if kind is None:
        return {"type": "str"}
    if kind in _PLACED_TYPES:
        return {"type": kind}
    if kind not in _TEXT_TYPES:
        message = (
            f"the type `{one_line(kind)}` is kept as a hint: like MLflow, mlproj holds no value of an MLproject to it"
        )
        findings.append(document.diagnostic(message, at, severity="hint"))
    return {"type": "str", "hint": _text(kind)}


def _text(value: Any) -> str:
    """A value of the file as MLflow puts it into a command: by Python's ``str``."""
    return str(value)


def _unknown_keys(document: Document, at: KeyPath, known: tuple[str, ...]) -> Iterator[Diagnostic]:
    value = document.data
    for part in at:
        value = value[part]
    for key in value:
        if key not in known:
            message = f"MLflow does not read `{one_line(key)}`: expected one of {', '.join(known)}."
            message += did_you_mean(key, known)
            yield document.diagnostic(message, (*at, key), key=True, severity="warning")


def _unknown_parameter_keys(document: Document, at: KeyPath) -> Iterator[Diagnostic]:
    for finding in _unknown_keys(document, at, _PARAMETER_KEYS):
        key = next(key for key, span in document.keys.items() if key[:-1] == at and span == finding.span)[-1]
        if ":" in str(key):
            spaced = str(key).replace(":", ": ", 1)
            message = f"`{one_line(key)}` is one key to YAML: with a space, `{one_line(spaced)}`, it says a type"
            yield document.diagnostic(message, (*at, key), key=True, severity="warning")
        else:
            yield finding
