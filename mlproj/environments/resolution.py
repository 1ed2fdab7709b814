"""Deciding what a virtualenv holds: the project's lock, a resolution remembered, or a new one by uv."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.environments import lock_policy, lockfile, pyproject
from mlproj.environments.environment import Policy, Report
from mlproj.environments.interpreters import Interpreter, find_interpreter, lowest_version
from mlproj.environments.recall import listing_digest
from mlproj.environments.requirements import Declared, normalised_name, package_name, read_declared
from mlproj.environments.settings import settings_digest, uv_variables
from mlproj.environments.uv import ToolLog, reporting_downloads, run_uv, tool_failure
from mlproj.files import sha256_of_text, write_atomically
from mlproj.text import one_line, plural

if TYPE_CHECKING:
    from mlproj.manifest.models import Virtualenv


@dataclass(frozen=True)
class Request:
    """What a resolution is made from. ``env`` is uv's; ``lock`` the project's lock, where it has one."""

    spec: Virtualenv
    folder: Path
    cache: Path
    scratch: Path
    policy: Policy
    report: Report
    declared: Declared
    interpreter: Interpreter
    lock_path: Path
    lock: lockfile.Document | None
    lock_problem: str | None
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Decision:
    """A lock to build from, where it is from (``lock`` or ``resolution``), and what to tell about it."""

    document: lockfile.Document
    lock: str
    lock_file: Path
    notice: str | None
    fresh_lock: bool


def read_request(
    spec: Virtualenv,
    name: str | None,
    folder: Path,
    *,
    policy: Policy,
    cache: Path,
    scratch: Path,
    report: Report,
) -> Request:
    """Read the declaration and the lock, and find the interpreter.

    Without one asked for, the lock has a say.
    """
    lock_policy.refuse_both(policy)
    env = uv_variables(spec, offline=policy.offline)
    path = lockfile.lock_path(folder, name)
    lock, problem = None, None
    try:
        lock = lockfile.parse_lock(path.read_text("utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        problem = one_line(error)
    python = spec.python
    if python is None and lock is not None and isinstance(lock.get("requires-python"), str):
        python = lock["requires-python"]
    return Request(
        spec=spec,
        folder=folder,
        cache=cache,
        scratch=scratch,
        policy=policy,
        report=report,
        declared=read_declared(spec, folder),
        interpreter=find_interpreter(
            python,
            folder=folder,
            scratch=scratch,
            env=env,
            offline=policy.offline,
            report=report,
            nearest=spec.nearest_python,
        ),
        lock_path=path,
        lock=lock,
        lock_problem=problem,
        env=env,
    )


def lock_in_hand(request: Request) -> tuple[Decision | None, str | None]:
    """The project's lock as a decision, if it is to be used; else ``None`` and why it is not, if it is there.

    Raises ``LockError`` when the policy insists on a lock that is missing, unreadable or stale.
    """
    path, policy = request.lock_path, request.policy
    if request.lock is None or request.lock_problem is not None:
        return None, lock_policy.without_lock(path, request.lock_problem, policy)
    if policy.frozen:
        return Decision(request.lock, "lock", path, None, fresh_lock=False), None
    reasons = lockfile.staleness(request.lock, request.declared, request.spec.python, request.folder)
    foreign = lockfile.is_from_elsewhere(request.lock)
    if policy.locked and foreign:
        reasons.append(
            "another tool wrote it, and it does not say what it was made from (`--frozen` takes it as it is)"
        )
    if not reasons:
        notice = f"{path.name} was not written by mlproj: used as it is" if foreign else None
        return Decision(request.lock, "lock", path, notice, fresh_lock=not foreign), None
    return None, lock_policy.with_stale_lock(path, reasons, policy)


def _memo(request: Request) -> Path:
    """Where a resolution is remembered: by what is declared, the settings, the interpreter."""
    declared, interpreter = request.declared, request.interpreter
    decisive = [
        declared.requirements,
        declared.constraints,
        declared.options,
        [request.spec.project, request.spec.extras, request.spec.groups, request.spec.requirements],
        [interpreter.implementation, interpreter.version, interpreter.platform],
        settings_digest(request.folder, request.env),
        listing_digest(request.folder, declared.find_links),
        # The lock before is what the resolution starts from.
        lockfile.essence(request.lock) if request.lock else None,
    ]
    return request.cache / "resolutions" / f"{sha256_of_text(json.dumps(decisive))[:32]}.toml"


def remembered(request: Request, notice: str | None) -> Decision | None:
    """The resolution made before from the same, unless the policy wants another."""
    if request.policy.refresh:
        return None
    path = _memo(request)
    try:
        document = lockfile.parse_lock(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if lockfile.staleness(document, request.declared, request.spec.python, request.folder):
        return None
    return Decision(document, "resolution", path, _with_left_out(notice, document), fresh_lock=False)


def resolve(request: Request, notice: str | None) -> Decision:
    """Have uv resolve what is declared for this machine's interpreter, and remember it."""
    document = compile_lock(request, ["--refresh"] if request.policy.refresh else [])
    path = _memo(request)
    write_atomically(path, lockfile.dump_lock(document))
    return Decision(document, "resolution", path, _with_left_out(notice, document), fresh_lock=False)


def _with_left_out(notice: str | None, document: lockfile.Document) -> str | None:
    left_out = document.get("tool", {}).get("mlproj", {}).get("left-out", [])
    told = [notice] if notice else []
    told += [f"left out, as no index has them: {', '.join(map(one_line, left_out))}"] if left_out else []
    return "; ".join(told) or None


def compile_lock(request: Request, arguments: Sequence[str]) -> lockfile.Document:
    """The lock that uv makes of what is declared, starting from the project's lock.

    Packages that are dispensable and that no index has are left out, and named in it.
    """
    declared, left_out = request.declared, list[str]()
    if declared.requirements:
        request.report(f"resolving {plural(len(declared.requirements), 'requirement')}")
    while True:
        lines = [line for line in declared.lines if package_name(line) not in left_out]
        log = ToolLog(request.scratch / "resolve.log")
        status, output = _compile(request, lines, arguments, log)
        if status == 0:
            break
        unknown = [name for name in _unknown_packages(log) if name in request.spec.dispensable and name not in left_out]
        if not unknown:
            raise tool_failure("the requirements could not be resolved", status, log, request.cache)
        left_out += unknown
    document = lockfile.relative_lock(lockfile.parse_lock(output.read_text("utf-8")), output.parent, request.folder)
    document = lockfile.only_hashed(document, declared.hashes, all_hashed=declared.all_hashed)
    return lockfile.with_declaration(document, declared, request.spec.python, request.folder, left_out)


def _unknown_packages(log: ToolLog) -> list[str]:
    said = " ".join(" ".join(log.last_lines).split())
    places = "package registry|provided package locations|cache"
    return [normalised_name(name) for name in re.findall(rf"(\S+) was not found in the (?:{places})", said)]


def _compile(request: Request, lines: Sequence[str], arguments: Sequence[str], log: ToolLog) -> tuple[int, Path]:
    """uv's exit status, and the lock as it wrote it."""
    declared = request.declared
    work = request.scratch / "resolution"
    work.mkdir(exist_ok=True)
    output, source = work / "pylock.toml", work / "requirements.in"
    source.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    if request.lock is not None:
        output.write_text(lockfile.dump_lock(lockfile.absolute_lock(request.lock, request.folder)), "utf-8")
    status = run_uv(
        [
            "pip",
            "compile",
            "--quiet",
            "--format=pylock.toml",
            "--no-header",
            f"--python={request.interpreter.path}",
            f"--output-file={output}",
            *arguments,
            *declared.arguments,
            "--",
            str(source),
            *map(str, declared.sources),
        ],
        cwd=request.folder,
        env=request.env,
        log=log,
        on_line=reporting_downloads(request.report),
    )
    return status, output


def make_lock(request: Request, upgrade: bool, upgrade_packages: Sequence[str]) -> lockfile.Document:
    """The lock to stand beside the manifest: for all platforms, and all Pythons from the lowest asked for."""
    lowest = lowest_version(request.spec.python, request.interpreter)
    if request.spec.nearest_python:
        lowest = ".".join(lowest.split(".")[:2])
    arguments = ["--universal", f"--python-version={lowest}"]
    arguments += ["--upgrade"] if upgrade else []
    arguments += [f"--upgrade-package={normalised_name(package)}" for package in upgrade_packages]
    return compile_lock(request, arguments)


def local_contents(request: Request, document: lockfile.Document) -> dict[str, str]:
    """The digests of the content of the project's folders and files that a lock installs, by path."""
    return pyproject.local_contents(request.folder, lockfile.local_places(document))


def environment_key(request: Request, document: lockfile.Document) -> str:
    """The key of the environment that a lock comes to: what decides how it turns out, and nothing else."""
    interpreter = request.interpreter
    decisive = [
        "virtualenv",
        interpreter.platform,
        [interpreter.path, interpreter.implementation, interpreter.version],
        lockfile.essence(document),
        pyproject.local_identities(request.folder, lockfile.local_places(document)),
    ]
    return sha256_of_text(json.dumps(decisive))[:32]
