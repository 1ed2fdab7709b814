"""The environment of an MLproject: `python_env`, `conda_env`, `docker_env`, or what MLflow takes without one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproj.manifest.diagnostics import Diagnostic, ManifestError
from mlproj.manifest.document import Document, KeyPath, Rules, read_document
from mlproj.manifest.finding import CONDA_FILE, PYTHON_ENV_FILE
from mlproj.manifest.legacy_scalars import resolve_legacy_scalar
from mlproj.manifest.models import Conda
from mlproj.text import one_line

KEYS = ("python_env", "conda_env", "docker_env")
# How PyYAML reads for MLflow.
RULES = Rules(resolve_legacy_scalar, lenient_keys=True)
_PACKAGE = re.compile(r"[A-Za-z0-9._-]+")
_PYTHON = re.compile(r"=?=?\s*\d+(\.\d+){0,2}(\.\*)?|[<>!~]=?\s*[\d.]+(\s*,\s*[<>=!~]+\s*[\d.*]+)*")
_EXPECTED_PYTHON = 'expected a version of Python, such as "3.11" or "3.8.13", or a range such as ">=3.9,<3.13"'
# Where the images that `mlflow run` makes have the project.
_MLFLOWS_FOLDER = "/mlflow/projects/code"
_CONDA_PACKAGE = re.compile(r"[A-Za-z0-9_.:/-]*[A-Za-z0-9_][^\x00\n]*")


@dataclass(frozen=True)
class Declaration:
    """An environment in the form that ``models.manifest_from`` takes, what was read for it, and the findings."""

    declared: dict[str, Any]
    files: tuple[Path, ...] = ()
    findings: list[Diagnostic] = field(default_factory=list)


def declared_environment(document: Document) -> Declaration:
    """The environment that an MLproject asks for; without a key, its folder's usual file, else an empty virtualenv."""
    data, folder = document.data, document.path.parent
    given = [key for key in KEYS if key in data]
    if len(given) > 1:
        message = f"one environment: MLflow takes only one of {', '.join(f'`{key}`' for key in given)}"
        return Declaration({}, findings=[document.diagnostic(message, (given[1],), key=True)])
    if data.get("docker_env"):
        return _docker(document)
    for key, read in (("python_env", _python_env), ("conda_env", _conda_env)):
        name = data.get(key)
        if not name:
            continue
        problem = _problem(folder, name)
        if problem is not None:
            return Declaration({}, findings=[document.diagnostic(f"`{key}`: {problem}", (key,))])
        return _read(read, folder, name)
    for usual, read in ((PYTHON_ENV_FILE, _python_env), (CONDA_FILE, _conda_env)):
        if (folder / usual).is_file():
            return _read(read, folder, usual)
    return Declaration({"virtualenv": {}})


def _problem(folder: Path, name: Any) -> str | None:
    if not isinstance(name, str):
        return f"expected the path of a file; found {one_line(name)}"
    if not (folder / name).exists():
        return f"no file `{one_line(name)}` in the project"
    if not (folder / name).is_file() or not (folder / name).resolve().is_relative_to(folder.resolve()):
        return f"`{one_line(name)}` is no file inside the project's folder"
    return None


def _read(read: Any, folder: Path, name: str) -> Declaration:
    path = folder / name
    try:
        document = read_document(path, RULES)
    except ManifestError as error:
        return Declaration({}, (path,), list(error.diagnostics))
    findings = list(document.findings)
    if document.data is None:
        document = Document(document.path, document.lines, {}, document.values, document.keys)
    if not isinstance(document.data, dict):
        return Declaration({}, (path,), [*findings, document.diagnostic("expected a mapping")])
    return Declaration(read(document, name, findings), (path,), findings)


def _python_env(document: Document, _: str, findings: list[Diagnostic]) -> dict[str, Any]:
    """MLflow's own format: ``python``, ``build_dependencies``, ``dependencies`` (pip's, ``-r FILE`` among them)."""
    data = document.data
    for key in data:
        if key not in ("python", "build_dependencies", "dependencies"):
            message = f"unknown key `{one_line(key)}`: expected `python`, `build_dependencies` or `dependencies`"
            findings.append(document.diagnostic(message, (key,), key=True))
    python = data.get("python")
    if isinstance(python, (list, dict)):
        findings.append(document.diagnostic(_EXPECTED_PYTHON, ("python",)))
        python = None
    elif python is not None and not isinstance(python, str):
        span = document.values[("python",)]
        python = document.lines[span.line - 1][span.column - 1 : span.column - 1 + span.length]
        message = f'a number to YAML: write it in quotes, "{python}", since MLflow refuses it as it stands'
        findings.append(document.diagnostic(message, ("python",), severity="warning"))
    dependencies = _pip_lines(document, ("dependencies",), data.get("dependencies"), findings)
    named = {_name(line) for line in dependencies}
    # MLflow installs the two one after the other, so that the later one has the last word.
    first = [
        line
        for line in _pip_lines(document, ("build_dependencies",), data.get("build_dependencies"), findings)
        if _name(line) not in named
    ]
    virtualenv: dict[str, Any] = {"lines": [*first, *dependencies]}
    if python is not None:
        virtualenv |= {"python": re.sub(r"^={1,2}\s*|\.\*$", "", python.strip()), "nearest_python": True}
        if not _PYTHON.fullmatch(python.strip()):
            message = f"{_EXPECTED_PYTHON}; found `{one_line(python)}`"
            findings.append(document.diagnostic(message, ("python",)))
    return {"virtualenv": virtualenv}


def _name(line: str) -> str:
    matched = _PACKAGE.match(line)
    return re.sub(r"[-_.]+", "-", matched[0]).lower() if matched else line


def _conda_env(document: Document, name: str, findings: list[Diagnostic]) -> dict[str, Any]:
    """Conda's environment file: https://docs.conda.io/projects/conda/en/latest/user-guide/tasks/manage-environments.html."""
    data = document.data
    conda: dict[str, Any] = {"file": name, "channels": [], "dependencies": [], "pip": []}
    for key in ("channels", "dependencies"):
        value = data.get(key)
        if value is not None and not isinstance(value, list):
            findings.append(document.diagnostic(f"expected a list under `{key}`", (key,)))
            continue
        for index, item in enumerate(value or []):
            if key == "channels":
                if isinstance(item, str) and item.strip() and not item.startswith("-"):
                    conda[key].append(item.strip())
                else:
                    message = "expected a channel: a name such as `conda-forge`, a URL or a folder"
                    findings.append(document.diagnostic(message, (key, index)))
            elif isinstance(item, str) and not item.startswith("-") and _CONDA_PACKAGE.fullmatch(item.strip()):
                conda[key].append(item.strip())
            elif isinstance(item, dict) and list(item) == ["pip"]:
                conda["pip"] += _pip_lines(document, (key, index, "pip"), item["pip"], findings)
            else:
                message = "expected a package such as `numpy=1.26`, or `pip:` with a list of requirements"
                findings.append(document.diagnostic(message, (key, index)))
    variables = data.get("variables")
    if variables is not None and not isinstance(variables, dict):
        findings.append(document.diagnostic("expected a mapping of names to values under `variables`", ("variables",)))
    elif variables:
        conda["variables"] = {str(name): str(value) for name, value in variables.items()}
    return {"conda": conda}


def read_conda_file(folder: Path, name: str) -> Conda:
    """What a conda environment file in a project's folder asks for. Raises ``ManifestError``."""
    problem = _problem(folder, name)
    if problem is not None:
        raise ManifestError([Diagnostic("error", problem, str(folder / name))])
    declaration = _read(_conda_env, folder, name)
    errors = [each for each in declaration.findings if each.severity == "error"]
    if errors:
        raise ManifestError(errors)
    return Conda(**declaration.declared["conda"])


def _pip_lines(document: Document, at: KeyPath, value: Any, findings: list[Diagnostic]) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        findings.append(document.diagnostic(f"expected a list of requirements under `{at[-1]}`", at))
        return []
    lines = []
    for index, line in enumerate(value):
        if isinstance(line, str) and "\n" not in line.strip():
            lines.append(line.strip())
        else:
            message = "expected one requirement, such as `scikit-learn==1.5` or `-r requirements.txt`"
            findings.append(document.diagnostic(message, (*at, index)))
    return lines


def _docker(document: Document) -> Declaration:
    at, docker = ("docker_env",), document.data["docker_env"]
    findings: list[Diagnostic] = []
    if not isinstance(docker, dict) or not docker.get("image"):
        return Declaration({}, findings=[document.diagnostic("expected a mapping with an `image`", at)])
    volumes, variables = docker.get("volumes") or [], docker.get("environment") or []
    if not isinstance(volumes, list) or not all(isinstance(each, str) for each in volumes):
        message = 'expected a list of texts, such as ["/data:/data"]'
        findings.append(document.diagnostic(message, (*at, "volumes")))
    if not isinstance(variables, list) or not all(_is_variable(each) for each in variables):
        message = 'expected a list of names to copy and of pairs to set, such as [["NAME", "value"], "NAME_TO_COPY"]'
        findings.append(document.diagnostic(message, (*at, "environment")))
    if findings:
        return Declaration({}, findings=findings)
    pairs = [[str(part) for part in each] if isinstance(each, list) else each for each in variables]
    found = {"image": str(docker["image"]), "volumes": volumes, "environment": pairs, "project_at": _MLFLOWS_FOLDER}
    return Declaration({"docker": found})


def _is_variable(value: Any) -> bool:
    return isinstance(value, (str, list))
