"""The kind ``virtualenv``: a Python environment of its own, made from a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.environments import builds
from mlproj.environments.environment import Environment, Policy, Report, own_python
from mlproj.environments.recall import Recollection, question, recall
from mlproj.environments.scratch import scratch_folder, sweep
from mlproj.environments.settings import settings_digest, uv_variables
from mlproj.errors import EnvironmentBuildError
from mlproj.files import sha256_of_text
from mlproj.locations import cache_folder

if TYPE_CHECKING:
    from mlproj.environments.kind import EnvironmentPlan, LockResult
    from mlproj.environments.resolution import Decision, Request
    from mlproj.environments.vendored import Target, Vendored
    from mlproj.manifest.models import EnvironmentSpec, Virtualenv

# An interpreter's variables that would have it look outside of its environment.
_REMOVED = ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")


def prepare(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy, report: Report) -> Environment:
    """Build the environment, or find it built, and hold it. Raises as ``environments.prepare``."""
    cache, wanted = cache_folder(), _wanted(spec)
    asked = question("virtualenv", vars(wanted), name, folder, policy.frozen)
    try:
        sweep(cache)
        ready = None if policy.refresh else _recalled(cache, asked, wanted, folder, policy, report)
        return ready or _prepare_cold(cache, asked, wanted, name, folder, policy, report)
    except OSError as error:
        raise builds.cache_error(cache, error) from error


def _prepare_cold(
    cache: Path,
    asked: str,
    wanted: Virtualenv,
    name: str | None,
    folder: Path,
    policy: Policy,
    report: Report,
) -> Environment:
    from mlproj.environments import install, resolution
    from mlproj.processes.tools import ended

    ahead = install.Ahead()
    held = builds.wait_for_question(cache, asked, report)
    try:
        ready = None if policy.refresh else _recalled(cache, asked, wanted, folder, policy, report)
        if ready is not None:
            return ready
        with scratch_folder(cache) as scratch, ended(ahead.running):
            request = resolution.read_request(
                wanted, name, folder, policy=policy, cache=cache, scratch=scratch, report=report
            )
            create = _once(lambda: install.create_virtualenv(request.interpreter, scratch, cache))
            decision, notice = resolution.lock_in_hand(request)
            if (decision or notice) and (said := decision.notice if decision else notice):
                report(said)
            decision = decision or resolution.remembered(request, notice)
            if decision is None:
                decision = _meanwhile(
                    lambda: install.start_ahead(ahead, request, create()), lambda: resolution.resolve(request, notice)
                )
            chosen, key = decision, resolution.environment_key(request, decision.document)

            def build() -> Path:
                made = create()
                install.install_lock(request, chosen.document, key, made, filled_ahead=install.finish_ahead(ahead))
                return made

            built = builds.share_or_build(cache, key, build, report)
            _remember(request, chosen, key, asked)
            return _environment(built, chosen.lock_file)
    finally:
        held.release()


def _wanted(spec: EnvironmentSpec) -> Virtualenv:
    assert spec.virtualenv is not None
    return spec.virtualenv


def _recalled(
    cache: Path, asked: str, wanted: Virtualenv, folder: Path, policy: Policy, report: Report
) -> Environment | None:
    answer = _recalled_answer(cache, asked, wanted, folder, policy)
    built = builds.open_built(cache, answer["key"]) if answer else None
    if answer is None or built is None:
        return None
    if answer["notice"] is not None:
        report(answer["notice"])
    return _environment(built, Path(answer["lock_file"]))


def _recalled_answer(cache: Path, asked: str, wanted: Virtualenv, folder: Path, policy: Policy) -> Recollection | None:
    answer = recall(cache, asked, folder, uv_variables(wanted, offline=False))
    # What is wrong with a lock is told by looking at it again.
    return None if answer is None or (policy.locked and not answer["fresh_lock"]) else answer


def _once(make: Callable[[], Path]) -> Callable[[], Path]:
    made: list[Path] = []

    def get() -> Path:
        if not made:
            made.append(make())
        return made[0]

    return get


def _meanwhile(start: Callable[[], None], resolve: Callable[[], Decision]) -> Decision:
    """Resolve while the virtualenv is being made and its filling started, since neither needs the other."""
    import threading

    def attempt() -> None:
        # One that fails is made again, and fails again, where it is needed.
        with suppress(EnvironmentBuildError, OSError):
            start()

    thread = threading.Thread(target=attempt, name="create-virtualenv")
    thread.start()
    try:
        return resolve()
    finally:
        thread.join()


def _remember(request: Request, decision: Decision, key: str, asked: str) -> None:
    from mlproj.environments import lockfile, resolution
    from mlproj.environments.recall import (
        Witnesses,
        build_files,
        file_digest,
        interpreter_file,
        listing_digest,
        remember,
        signatures_of,
    )

    folder, interpreter = request.folder, request.interpreter
    contents = resolution.local_contents(request, decision.document)
    editables = [path for path, editable in lockfile.local_places(decision.document).items() if editable]
    answer = Recollection(
        key=key,
        lock=decision.lock,
        lock_file=str(decision.lock_file),
        notice=decision.notice,
        fresh_lock=decision.fresh_lock,
    )
    witnesses = Witnesses(
        files={str(path): file_digest(path) for path in (*request.declared.files, request.lock_path)},
        contents=contents,
        signatures=signatures_of(contents),
        editables=build_files(folder, editables),
        settings=settings_digest(folder, request.env),
        find_links=request.declared.find_links,
        find_links_listing=listing_digest(folder, request.declared.find_links),
        interpreter=interpreter_file(interpreter.path),
        own_interpreter=own_python() if request.spec.python is None else None,
        variables={},
    )
    remember(request.cache, asked, folder, answer, witnesses)
    builds.note_project(builds.environment_folder(request.cache, key), folder)


def _environment(built: builds.Built, lock_file: Path) -> Environment:
    from mlproj.environments.credentials import without_credentials

    record, folder = built.record, built.folder
    lock_text = without_credentials(lock_file.read_text("utf-8"))
    return Environment(
        kind="virtualenv",
        key=record["key"],
        folder=folder,
        platform=record["platform"],
        python=record["python"],
        interpreter=str(folder / "bin" / "python"),
        packages=record["packages"],
        lock_text=lock_text,
        lock_digest=sha256_of_text(lock_text),
        lock_name="pylock.toml",
        reused=built.reused,
        variables={"VIRTUAL_ENV": str(folder)},
        removed_variables=_REMOVED,
        path_entries=(str(folder / "bin"),),
        held=built.held,
    )


def plan(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy) -> EnvironmentPlan:
    """Say what ``prepare`` would come to: resolves if it must, builds nothing.

    Raises as ``environments.plan``.
    """
    from mlproj.environments import lockfile, resolution
    from mlproj.environments.kind import EnvironmentPlan

    cache, wanted = cache_folder(), _wanted(spec)
    try:
        with scratch_folder(cache) as scratch:
            request = resolution.read_request(
                wanted, name, folder, policy=policy, cache=cache, scratch=scratch, report=lambda _: None
            )
            decision, notice = resolution.lock_in_hand(request)
            decision = decision or resolution.remembered(request, notice) or resolution.resolve(request, notice)
            key = resolution.environment_key(request, decision.document)
    except OSError as error:
        raise builds.cache_error(cache, error) from error
    place = builds.environment_folder(cache, key)
    return EnvironmentPlan(
        kind="virtualenv",
        key=key,
        built=builds.read_record(place) is not None,
        folder=place,
        platform=request.interpreter.platform,
        python=request.interpreter.version,
        interpreter=request.interpreter.path,
        lock=decision.lock,
        package_count=len(lockfile.versions(decision.document)),
        notice=decision.notice,
    )


def lock(
    spec: EnvironmentSpec,
    name: str | None,
    folder: Path,
    upgrade: bool,
    upgrade_packages: Sequence[str],
    report: Report,
) -> LockResult:
    """Write the lock beside the manifest. Raises as ``environments.lock``."""
    from mlproj.environments import lockfile, resolution
    from mlproj.environments.kind import write_lock

    cache = cache_folder()
    try:
        with scratch_folder(cache) as scratch:
            request = resolution.read_request(
                _wanted(spec), name, folder, policy=Policy(), cache=cache, scratch=scratch, report=report
            )
            document = resolution.make_lock(request, upgrade, upgrade_packages)
            before = lockfile.versions(request.lock) if request.lock else {}
            return write_lock(request.lock_path, lockfile.dump_lock(document), before, lockfile.versions(document))
    except OSError as error:
        raise builds.cache_error(cache, error) from error


def lock_path(name: str | None, folder: Path) -> Path:
    """``pylock.toml``, or ``pylock.NAME.toml`` of a named environment (PEP 751)."""
    from mlproj.environments import lockfile

    return lockfile.lock_path(folder, name)


def vendor(
    spec: EnvironmentSpec, name: str | None, folder: Path, targets: Sequence[Target], into: Path, report: Report
) -> Vendored:
    """The lock, and the wheels that it comes to on each of ``targets``. Raises as ``environments.vendor``."""
    from mlproj.environments import lockfile, resolution, vendoring

    del into  # wheels are kept in the cache
    cache = cache_folder()
    try:
        with scratch_folder(cache) as scratch:
            request = resolution.read_request(
                _wanted(spec), name, folder, policy=Policy(), cache=cache, scratch=scratch, report=report
            )
            decision, notice = resolution.lock_in_hand(request)
            if decision is not None:
                return vendoring.vendor_wheels(request, decision.document, None, targets)
            report(f"{notice}; one is made for it" if notice else "there is no lock: one is made for it")
            document = resolution.make_lock(request, False, ())
            return vendoring.vendor_wheels(request, document, lockfile.dump_lock(document), targets)
    except OSError as error:
        raise builds.cache_error(cache, error) from error


def problems(spec: EnvironmentSpec, folder: Path) -> Iterator[str]:
    """None but those that the manifest's own check finds."""
    del spec, folder
    yield from ()


def discard(record: Mapping[str, Any]) -> None:
    """Nothing to remove: a virtualenv is all in its folder."""
    del record
