"""What a virtualenv takes with it: the wheels of its lock, and what the project's own folders are built with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlproj.environments import lockfile
from mlproj.environments.credentials import credentials_in
from mlproj.environments.resolution import Request
from mlproj.environments.uv import ToolLog, run_uv, tool_failure
from mlproj.environments.vendored import UV_PLATFORMS, Target, Vendored
from mlproj.environments.wheels import Wheel, choose_wheels, fetch_wheels, index_credentials
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line
from mlproj.toml import dump_toml, parse_toml

# What a build backend asks for besides when it is asked (PEP 517, get_requires_for_build_…), which needs it installed.
_ALSO_NEEDED = {"hatchling": "editables>=0.3", "setuptools": "wheel"}
_DEFAULT_BACKEND = ["setuptools>=40.8"]  # PEP 518


def vendor_wheels(
    request: Request, document: lockfile.Document, lock_text: str | None, targets: Sequence[Target]
) -> Vendored:
    """The wheels that a lock comes to on ``targets``; a target without a Python has the environment's.

    Raises ``EnvironmentBuildError`` for a package without a wheel.
    """
    interpreter = request.interpreter
    if interpreter.implementation != "cpython":
        raise EnvironmentBuildError(f"only wheels for CPython are vendored, and this is {interpreter.implementation}")
    known = [each if each.python else replace(each, python=interpreter.version) for each in targets]
    whole = lockfile.absolute_lock(document, request.folder)
    wheels = [each for each in choose_wheels(whole, known) if not _is_in(each, request.folder)]
    places = list(lockfile.local_places(document))
    own = [path for path in places if (request.folder / path).is_dir()]
    for path in own:
        wheels += _build_wheels(request, path, known)
    credentials = {**index_credentials(request.env), **credentials_in([dump_toml(document)])}
    credentials |= request.declared.credentials
    files = fetch_wheels(wheels, credentials, request.cache, request.report)
    return Vendored(
        request.lock_path.name,
        lock_text,
        files,
        tuple(each.shown for each in known),
        declared_in=request.declared.files,
        installs_project=any((request.folder / path).resolve().is_relative_to(request.folder) for path in places),
    )


def _is_in(wheel: Wheel, folder: Path) -> bool:
    return "://" not in wheel.place and Path(wheel.place).is_relative_to(folder)


def _build_wheels(request: Request, path: str, targets: Sequence[Target]) -> list[Wheel]:
    """The wheels of what builds a folder of the project where it is installed."""
    folder = request.folder / path
    try:
        table = parse_toml((folder / "pyproject.toml").read_text("utf-8")).get("build-system", {})
        requires = list(table.get("requires", _DEFAULT_BACKEND))
    except (OSError, ValueError, AttributeError, TypeError):
        requires = list(_DEFAULT_BACKEND)
    names = {re.split(r"[^A-Za-z0-9_.-]", each.strip(), maxsplit=1)[0].lower() for each in requires}
    requires += [also for backend, also in _ALSO_NEEDED.items() if backend in names]
    source, output = request.scratch / "build.in", request.scratch / "pylock.build.toml"
    source.write_text("".join(f"{each}\n" for each in requires), "utf-8")
    found: list[Wheel] = []
    for target in targets:
        log = ToolLog(request.scratch / "resolve.log")
        arguments = ["pip", "compile", "--quiet", "--format=pylock.toml", "--no-header", f"--output-file={output}"]
        arguments += [f"--python-version={target.python}", f"--python-platform={UV_PLATFORMS[target.platform]}"]
        status = run_uv([*arguments, "--", str(source)], cwd=request.scratch, env=request.env, log=log)
        if status != 0:
            what = f"what `{one_line(path)}` is built with could not be resolved for {target.shown}"
            raise tool_failure(what, status, log, request.cache)
        found += choose_wheels(lockfile.parse_lock(output.read_text("utf-8")), [target])
        output.unlink()
    return found
