"""Making a virtualenv: virtualenv creates it, uv installs a lock into it, and it is made fit to be moved."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlproj.environments import builds, lockfile
from mlproj.environments.credentials import credentials_in, with_credentials
from mlproj.environments.interpreters import Interpreter, satisfies
from mlproj.environments.requirements import normalised_name, package_name
from mlproj.environments.resolution import Request
from mlproj.environments.uv import (
    ToolLog,
    reporting_downloads,
    run_logged,
    run_uv,
    tool_failure,
    uv_executable,
)
from mlproj.environments.vendored import wheels_in
from mlproj.errors import EnvironmentBuildError
from mlproj.files import dump_json
from mlproj.locations import home_folder
from mlproj.processes.guarded import Guardian
from mlproj.processes.tools import finish_tool, run_tool, start_tool
from mlproj.text import plural
from mlproj.toml import dump_toml

# A name, extras, versions, a marker: no URL and no path, whose building would be done twice.
_PLAIN_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*\s*(\[[\w., -]*\])?\s*[\w.,<>=!~*+ ()-]*(;[^@]*)?")


def create_virtualenv(interpreter: Interpreter, scratch: Path, cache: Path) -> Path:
    """Create an empty virtualenv in ``scratch``, whose scripts will find it wherever it is moved to."""
    folder = scratch / "environment"
    log = ToolLog(scratch / "create.log")
    # The user's defaults for virtualenv (system site-packages, seeds) would make the same key two
    # environments.
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUALENV_")}
    if app_data := os.environ.get("VIRTUALENV_OVERRIDE_APP_DATA"):
        env["VIRTUALENV_OVERRIDE_APP_DATA"] = app_data
    env["VIRTUALENV_CONFIG_FILE"] = os.devnull
    status = run_logged(
        [
            sys.executable,
            "-m",
            "virtualenv",
            "--quiet",
            "--no-download",
            "--no-periodic-update",
            "--without-pip",
            f"--python={interpreter.path}",
            "--",
            str(folder),
        ],
        # Not the project: `-m` looks for modules where it runs.
        cwd=scratch,
        env=env,
        log=log,
    )
    if status != 0:
        raise tool_failure(f"no virtual environment could be made with {interpreter.path}", status, log, cache)
    with (folder / "pyvenv.cfg").open("a", encoding="utf-8") as stream:
        stream.write("relocatable = true\n")
    return folder


@dataclass
class Ahead:
    """What is installed while the lock is still being made: the tool that runs, and whether one has done it all."""

    running: list[Guardian] = field(default_factory=list)
    filled: bool = False


def start_ahead(ahead: Ahead, request: Request, folder: Path) -> None:
    """Have uv install what is declared while it is still being resolved for the lock: mostly it comes to the same.

    So nothing waits for two resolutions in a row. Where uv's cache has everything, that takes a fifth of a second
    without asking the index; the lock, for which the index is asked, then says whether it is what is wanted. Only for
    plain names from an index; ``install_lock`` looks at what came of it.
    """
    declared = request.declared
    plain = all(_PLAIN_REQUIREMENT.fullmatch(line) for line in declared.requirements)
    if not plain or not declared.lines or declared.sources or declared.constraints or declared.all_hashed:
        return
    if declared.hashes or declared.credentials or request.lock is not None or request.policy.refresh:
        return
    source = request.scratch / "ahead.in"
    source.write_text("".join(f"{line}\n" for line in declared.lines), "utf-8")
    python = folder / "bin" / "python"
    argv = [uv_executable(), "pip", "install", "--quiet", f"--python={python}", *declared.arguments]
    argv += [f"--requirements={source}"]
    if _perhaps_cached(declared.requirements, request.env):
        with Path(os.devnull).open("wb") as nowhere:
            ahead.filled = run_tool([*argv, "--offline"], cwd=request.folder, env=request.env, log=nowhere) == 0
    if not ahead.filled:
        with (request.scratch / "ahead.log").open("wb") as log:
            ahead.running.append(start_tool(argv, cwd=request.folder, env=request.env, log=log))


def _perhaps_cached(requirements: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether uv's cache seems to hold wheels of all these. A guess from its folders: if wrong, it costs time alone."""
    user_cache = env.get("XDG_CACHE_HOME") or (home_folder() or Path("/")) / ".cache"
    cache = Path(env.get("UV_CACHE_DIR") or Path(user_cache) / "uv")
    wheels = [*cache.glob("wheels-v*/pypi"), *cache.glob("wheels-v*/index/*")]
    return all(any((folder / (package_name(each) or "")).is_dir() for folder in wheels) for each in requirements)


def finish_ahead(ahead: Ahead) -> bool:
    """Wait for what was started ahead, and say whether it came to its end without an error."""
    while ahead.running:
        ahead.filled = finish_tool(ahead.running.pop()) == 0
    return ahead.filled


def install_lock(request: Request, document: lockfile.Document, key: str, folder: Path, *, filled_ahead: bool) -> None:
    """Have uv install a lock into the virtualenv in ``folder``, and make it the environment of ``key``.

    With ``filled_ahead`` it may all be there already: then every package has the version that the lock says.
    """
    packages = document.get("packages", [])
    built_here = [
        normalised_name(package["name"])
        for package in packages
        if "directory" in package and not package["directory"].get("editable")
    ]
    if packages:
        request.report(f"installing {plural(len(packages), 'package')}")
    if filled_ahead and installed_packages(folder) == lockfile.versions(document):
        _finish(request, document, key, folder)
        return
    whole = lockfile.absolute_lock(document, request.folder)
    if _install_vendored(request, whole, folder):
        _finish(request, document, key, folder)
        return
    credentials = {**credentials_in([dump_toml(document)]), **request.declared.credentials}
    log = ToolLog(request.scratch / "install.log")
    # uv takes a folder's wheel from its cache for as long as its pyproject.toml has not changed.
    refreshed = [f"--refresh-package={name}" for name in built_here]
    locked = request.scratch / "pylock.toml"
    locked.write_text(with_credentials(lockfile.dump_lock(whole), credentials), "utf-8")
    lines = _requirements(request, whole)
    status = 1
    if lines is not None:
        # The same files by the same hashes. uv keeps what it downloads for a lock apart from what it
        # downloads by name, so that with the lock alone it would download everything once more.
        by_name = request.scratch / "locked.txt"
        by_name.write_text(with_credentials("".join(f"{line}\n" for line in lines), credentials), "utf-8")
        status = _sync(request, folder, by_name, refreshed, log)
    if status != 0 and not any("Failed to build" in line for line in log.last_lines):
        # An index may be out of reach, or have other files by now: the lock says where its own are.
        status = _sync(request, folder, locked, refreshed, log)
    if status != 0:
        raise tool_failure("the packages could not be installed", status, log, request.cache)
    _finish(request, document, key, folder)


def _install_vendored(request: Request, whole: lockfile.Document, folder: Path) -> bool:
    """Install from the wheels that the project carries with it and nothing else; gives whether that could be done.

    They are for the machines that they were packed for. On another one the lock says where its files are. Raises
    ``EnvironmentBuildError`` for one that is not what the lock says.
    """
    place = wheels_in(request.folder)
    if place is None:
        return False
    from mlproj.environments.wheels import check_vendored, with_vendored

    locked, log = request.scratch / "pylock.vendored.toml", ToolLog(request.scratch / "vendored.log")
    locked.write_text(lockfile.dump_lock(with_vendored(whole, place)), "utf-8")
    request.report("installing what the project carries with it")
    arguments = ["--offline", "--no-index", f"--find-links={place}"]
    status = _sync(request, folder, locked, arguments, log)
    if status == 0:
        return True
    check_vendored(whole, place)
    if request.policy.offline:
        failed = tool_failure(
            "the packages that the project carries with it are not enough", status, log, request.cache
        )
        hint = f"{failed.hint}; `mlproj pack --vendor --platform … --python …` packs those for another machine"
        raise EnvironmentBuildError(failed.message, hint=hint)
    request.report("that is not all that this machine needs: the rest is fetched")
    return False


def _requirements(request: Request, whole: lockfile.Document) -> list[str] | None:
    required = whole.get("requires-python")
    if isinstance(required, str) and not satisfies(request.interpreter.version, required):
        return None
    lines = lockfile.as_requirements(whole)
    return None if lines is None else [*request.declared.index_options, *lines]


def _sync(request: Request, folder: Path, source: Path, arguments: Sequence[str], log: ToolLog) -> int:
    return run_uv(
        [
            "pip",
            "sync",
            "--allow-empty-requirements",
            f"--python={folder / 'bin' / 'python'}",
            *arguments,
            "--",
            str(source),
        ],
        cwd=request.folder,
        env=request.env,
        log=log,
        on_line=reporting_downloads(request.report),
    )


def _finish(request: Request, document: lockfile.Document, key: str, folder: Path) -> None:
    final = builds.environment_folder(request.cache, key)
    for script in [*(folder / "bin").glob("activate*"), folder / "pyvenv.cfg"]:
        text = script.read_text("utf-8")
        script.write_text(text.replace(str(folder), str(final)), "utf-8")
    (folder / "pylock.toml").write_text(lockfile.dump_lock(document), "utf-8")
    logs = [
        request.scratch / f"{name}.log"
        for name in ("interpreters", "resolve", "create", "ahead", "vendored", "install")
    ]
    (folder / "build.log").write_bytes(b"".join(path.read_bytes() for path in logs if path.exists()))
    (folder / "projects").mkdir()
    record = {
        "kind": "virtualenv",
        "key": key,
        "needs": ["bin/python"],
        "platform": request.interpreter.platform,
        "python": request.interpreter.version,
        "implementation": request.interpreter.implementation,
        "interpreter": request.interpreter.path,
        "created_at": time.time(),
        "packages": installed_packages(folder),
    }
    (folder / builds.RECORD).write_text(dump_json(record), "utf-8")


def installed_packages(folder: Path) -> dict[str, str]:
    """The versions of what is installed in a virtualenv, by normalised name."""
    found = {}
    for path in folder.glob("lib/python*/site-packages/*.dist-info"):
        name, _, version = path.name.removesuffix(".dist-info").partition("-")
        found[normalised_name(name)] = version
    return dict(sorted(found.items()))
