"""Finding the interpreter that an environment is made for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlproj.environments.environment import Report, own_python, platform_name
from mlproj.environments.uv import ToolLog, run_logged, run_uv
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line

_CLAUSE = re.compile(r"(~=|===|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+)*)(\.\*)?")
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}")
_INSTALL_HINT = "install one, or name a path to one with `python:`"
_PROBE = (
    "import sys, platform, sysconfig, json; print(json.dumps(['mlproj-probe', sys.executable,"
    " platform.python_version(), sys.implementation.name, sysconfig.get_platform()]))"
)


@dataclass(frozen=True)
class Interpreter:
    """One Python: where it is, its version (``3.11.7``), implementation (``cpython``) and platform."""

    path: str
    version: str
    implementation: str
    platform: str


def own_interpreter() -> Interpreter:
    """The Python that runs mlproj."""
    path, version = own_python()
    return Interpreter(path, version, sys.implementation.name, platform_name())


def satisfies(version: str, request: str) -> bool | None:
    """Whether a version answers to ``3.12`` or ``>=3.11,<3.13``; ``None`` for requests of other forms."""
    numbers = _numbers(version)
    if _VERSION.fullmatch(request):
        wanted = _numbers(request)
        return numbers[: len(wanted)] == wanted
    answers = []
    for clause in request.split(","):
        matched = _CLAUSE.fullmatch(clause.strip())
        if matched is None:
            return None
        answers.append(_clause_holds(numbers, matched[1], _numbers(matched[2]), wildcard=bool(matched[3])))
    return all(answers)


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _clause_holds(version: tuple[int, ...], operator: str, wanted: tuple[int, ...], *, wildcard: bool) -> bool:
    width = max(len(version), len(wanted))
    left = version + (0,) * (width - len(version))
    right = wanted + (0,) * (width - len(wanted))
    prefix = version[: len(wanted)] == wanted if wildcard else left == right
    return {
        "==": prefix,
        "===": left == right,
        "!=": not prefix,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
        "~=": left >= right and version[: len(wanted) - 1] == wanted[:-1],
    }[operator]


def lowest_version(request: str | None, interpreter: Interpreter) -> str:
    """The lowest Python (``3.11``) that a lock for ``request`` should serve, else the interpreter's own."""
    if request is not None:
        if _VERSION.fullmatch(request) and "." in request:
            return request
        for clause in request.split(","):
            matched = _CLAUSE.fullmatch(clause.strip())
            if matched and matched[1] in (">=", "~=", "==", "===") and "." in matched[2]:
                return matched[2]
    return ".".join(interpreter.version.split(".")[:2])


def find_interpreter(
    request: str | None,
    *,
    folder: Path,
    scratch: Path,
    env: Mapping[str, str],
    offline: bool,
    report: Report,
    nearest: bool = False,
) -> Interpreter:
    """The interpreter that answers to ``request``: the one that runs mlproj if it does, else what uv finds.

    A path is taken relative to the project's ``folder``. What uv does not find it downloads, where that is
    allowed. With ``nearest``, one of the same minor version will do before anything is downloaded. Raises
    ``EnvironmentBuildError`` saying what was wanted and what there is.
    """
    own = own_interpreter()
    minor = _minor(request) if nearest and request is not None else None
    if request is None or satisfies(own.version, request):
        return own
    log = ToolLog(scratch / "interpreters.log")
    if "/" in request or request.startswith("~"):
        path = Path(os.path.normpath(folder / Path(request).expanduser()))
        found = _probe(str(path), scratch, env, log) if os.access(path, os.X_OK) and path.is_file() else None
        if found is None:
            raise EnvironmentBuildError(f"`python: {one_line(request)}`: there is no Python at `{one_line(path)}`")
        return found
    env = {**env, "PATH": _search_path(env)}
    found = _find_with_uv(request, scratch, env, log)
    if found is None and minor is not None:
        found = own if satisfies(own.version, minor) else _find_with_uv(minor, scratch, env, log)
    downloads = env.get("UV_PYTHON_DOWNLOADS", "automatic").lower() in ("automatic", "true", "1")
    if found is None and downloads and not offline:
        report(one_line(f"looking for a Python {request} to download"))
        if run_uv(["python", "install", "--no-bin", "--", request], cwd=scratch, env=env, log=log) == 0:
            found = _find_with_uv(request, scratch, env, log)
    if found is None:
        there = "\n".join(f"  {one_line(line)}" for line in _installed(scratch, env, log, own))
        raise EnvironmentBuildError(
            f"`python: {one_line(request)}`: no such Python was found"
            + ("" if downloads and not offline else " (and none may be downloaded)")
            + f". There are:\n{there}",
            hint=f"install Python {minor}, of which any will do" if minor else _INSTALL_HINT,
        )
    return found


def _minor(request: str) -> str | None:
    """``3.8`` for ``3.8.13``; ``None`` for what is no exact version."""
    exact = re.fullmatch(r"={0,3}\s*(\d+\.\d+)\.\d+", request)
    return exact[1] if exact else None


def _search_path(env: Mapping[str, str]) -> str:
    """``PATH`` with pyenv's versions in place of its shims, which fail for all but the global one."""
    entries = [entry for entry in env.get("PATH", os.defpath).split(os.pathsep) if entry]
    root = Path(env.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    if not (root / "versions").is_dir():
        return os.pathsep.join(entries)
    versions = [str(path) for path in sorted((root / "versions").glob("*/bin"), reverse=True)]
    return os.pathsep.join([*(entry for entry in entries if Path(entry).name != "shims"), *versions])


def _find_with_uv(request: str, scratch: Path, env: Mapping[str, str], log: ToolLog) -> Interpreter | None:
    lines: list[str] = []
    status = run_uv(
        ["python", "find", "--system", "--no-project", "--", request],
        cwd=scratch,
        env=env,
        log=log,
        on_line=lines.append,
    )
    paths = [line.strip() for line in lines if line.startswith("/") and Path(line.strip()).is_file()]
    return _probe(paths[-1], scratch, env, log) if status == 0 and paths else None


def _probe(path: str, scratch: Path, env: Mapping[str, str], log: ToolLog) -> Interpreter | None:
    import json

    lines: list[str] = []
    try:
        run_logged([path, "-I", "-c", _PROBE], cwd=scratch, env=env, log=log, on_line=lines.append)
    except (EnvironmentBuildError, OSError):
        return None
    for line in lines:
        if line.startswith('["mlproj-probe"'):
            _, executable, version, implementation, _ = json.loads(line)
            return Interpreter(executable or path, version.rstrip("+"), implementation, platform_name())
    return None


def _installed(scratch: Path, env: Mapping[str, str], log: ToolLog, own: Interpreter) -> list[str]:
    import json

    lines: list[str] = []
    run_uv(
        ["python", "list", "--only-installed", "--output-format=json"],
        cwd=scratch,
        env=env,
        log=log,
        on_line=lines.append,
    )
    found = {own.path: own.version}
    for line in lines:
        if line.startswith("["):
            for item in json.loads(line):
                found.setdefault(os.path.realpath(item["path"]), item["version"])
    return [f"{version}  {path}" for path, version in sorted(found.items(), key=lambda item: _numbers(item[1]))]
