"""The kind ``conda``: a conda prefix of its own, made from a lock without any conda on the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlproj.environments import builds
from mlproj.environments.environment import Environment, Policy, Report
from mlproj.environments.recall import Recollection, question, recall
from mlproj.environments.scratch import scratch_folder, sweep
from mlproj.environments.settings import settings_digest, uv_variables
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.files import sha256_of_text
from mlproj.locations import cache_folder

if TYPE_CHECKING:
    from mlproj.environments.kind import EnvironmentPlan, LockResult
    from mlproj.environments.prefixes.resolution import Decision, Request
    from mlproj.environments.vendored import Target, Vendored
    from mlproj.manifest.models import Conda, EnvironmentSpec


class _Answer(Recollection):
    """A recollection, with the variables that the project's own environment file sets."""

    variables: dict[str, str]


def prepare(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy, report: Report) -> Environment:
    """Build the environment, or find it built, and hold it. Raises as ``environments.prepare``."""
    cache, wanted = cache_folder(), _wanted(spec)
    asked = question("conda", vars(wanted), name, folder, policy.frozen)
    try:
        sweep(cache)
        ready = None if policy.refresh else _recalled(cache, asked, folder, policy, report)
        return ready or _prepare_cold(cache, asked, wanted, name, folder, policy, report)
    except OSError as error:
        raise builds.cache_error(cache, error) from error


def _prepare_cold(
    cache: Path, asked: str, wanted: Conda, name: str | None, folder: Path, policy: Policy, report: Report
) -> Environment:
    from mlproj.environments.prefixes import install, resolution

    held = builds.wait_for_question(cache, asked, report)
    try:
        ready = None if policy.refresh else _recalled(cache, asked, folder, policy, report)
        if ready is not None:
            return ready
        install.sweep_links(cache)
        with scratch_folder(cache) as scratch:
            request = resolution.read_request(
                wanted, name, folder, policy=policy, cache=cache, scratch=scratch, report=report
            )
            decision, notice = resolution.lock_in_hand(request)
            if (decision or notice) and (said := decision.notice if decision else notice):
                report(said)
            decision = decision or resolution.remembered(request, notice) or resolution.resolve(request, notice)
            chosen, key = decision, resolution.environment_key(request, decision)
            built = builds.share_or_build(cache, key, lambda: install.install_lock(request, chosen, key), report)
            _remember(request, chosen, key, asked)
            return _environment(built, chosen.lock_file, _variables(request), cache, report)
    finally:
        held.release()


def _wanted(spec: EnvironmentSpec) -> Conda:
    assert spec.conda is not None
    return spec.conda


def _variables(request: Request) -> dict[str, str]:
    return {**request.declared.variables, **request.spec.variables}


def _recalled(cache: Path, asked: str, folder: Path, policy: Policy, report: Report) -> Environment | None:
    from mlproj.manifest.models import Virtualenv

    answer = recall(cache, asked, folder, uv_variables(Virtualenv(), offline=False))
    # What is wrong with a lock is told by looking at it again.
    if answer is None or (policy.locked and not answer["fresh_lock"]):
        return None
    built = builds.open_built(cache, answer["key"])
    if built is None:
        return None
    if answer["notice"] is not None:
        report(answer["notice"])
    return _environment(built, Path(answer["lock_file"]), cast("_Answer", answer)["variables"], cache, report)


def _remember(request: Request, decision: Decision, key: str, asked: str) -> None:
    import os

    from mlproj.environments.prefixes import condarc, machine, pip_part, resolution
    from mlproj.environments.recall import (
        Witnesses,
        build_files,
        file_digest,
        interpreter_file,
        listing_digest,
        remember,
        signatures_of,
    )
    from mlproj.manifest.models import Virtualenv

    folder = request.folder
    contents = resolution.local_contents(request)
    places = pip_part.local_folders(request.pip, folder)
    answer = _Answer(
        key=key,
        lock=decision.lock,
        lock_file=str(decision.lock_file),
        notice=decision.notice,
        fresh_lock=decision.fresh_lock,
        variables=_variables(request),
    )
    listed = (*resolution.channel_listing(request), *request.pip.find_links, *map(str, condarc.fragment_folders()))
    files = (*request.declared.files, *request.pip.files, *request.condarc.files, request.lock_path)
    witnesses = Witnesses(
        files={str(path): file_digest(path) for path in files},
        contents=contents,
        signatures=signatures_of(contents),
        editables=build_files(folder, [path for path, editable in places.items() if editable]),
        settings=settings_digest(folder, uv_variables(Virtualenv(), offline=False)),
        find_links=listed,
        find_links_listing=listing_digest(folder, listed),
        interpreter=interpreter_file(""),
        own_interpreter=None,
        variables={name: os.environ.get(name) for name in (*condarc.VARIABLES, *machine.override_variables())},
    )
    remember(request.cache, asked, folder, answer, witnesses)
    builds.note_project(builds.environment_folder(request.cache, key), folder)


def _environment(
    built: builds.Built, lock_file: Path, variables: Mapping[str, str], cache: Path, report: Report
) -> Environment:
    from mlproj.environments.credentials import without_credentials
    from mlproj.environments.prefixes.activation import activate
    from mlproj.environments.prefixes.tokens import without_tokens

    record, folder = built.record, built.folder
    try:
        lock_text = without_tokens(without_credentials(lock_file.read_text("utf-8")))
        own = _activation(record, folder)
        active = activate(folder, own["scripts"], own["variables"], variables, cache=cache, report=report)
    except BaseException:
        if built.held is not None:
            built.held.release()
        raise
    return Environment(
        kind="conda",
        key=record["key"],
        folder=folder,
        platform=record["platform"],
        python=record["python"],
        interpreter=str(folder / "bin" / "python") if record["python"] is not None else None,
        packages=record["packages"],
        lock_text=lock_text,
        lock_digest=sha256_of_text(lock_text),
        lock_name="conda-lock.yml",
        reused=built.reused,
        variables=active.variables,
        removed_variables=active.removed,
        path_entries=active.path_entries,
        held=built.held,
    )


def _activation(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    own = record.get("activation")
    if (
        isinstance(own, dict)
        and isinstance(own.get("scripts"), list)
        and isinstance(own.get("variables"), dict)
        and all(isinstance(each, str) for each in [*own["scripts"], *own["variables"].values()])
    ):
        return own
    raise EnvironmentBuildError(
        f"what is kept of the environment {folder} is not what mlproj wrote", hint="`mlproj envs prune` removes it"
    )


def plan(spec: EnvironmentSpec, name: str | None, folder: Path, policy: Policy) -> EnvironmentPlan:
    """Say what ``prepare`` would come to: resolves if it must, builds nothing.

    Raises as ``environments.plan``.
    """
    from mlproj.environments.environment import platform_name
    from mlproj.environments.kind import EnvironmentPlan
    from mlproj.environments.prefixes import resolution

    cache, wanted = cache_folder(), _wanted(spec)
    try:
        with scratch_folder(cache) as scratch:
            request = resolution.read_request(
                wanted, name, folder, policy=policy, cache=cache, scratch=scratch, report=lambda _: None
            )
            decision, notice = resolution.lock_in_hand(request)
            decision = decision or resolution.remembered(request, notice) or resolution.resolve(request, notice)
            key = resolution.environment_key(request, decision)
    except OSError as error:
        raise builds.cache_error(cache, error) from error
    place = builds.environment_folder(cache, key)
    python = next((each.version for each in decision.packages if each.name == "python"), None)
    return EnvironmentPlan(
        kind="conda",
        key=key,
        built=builds.read_record(place) is not None,
        folder=place,
        platform=platform_name(),
        python=python,
        interpreter=str(place / "bin" / "python") if python is not None else None,
        lock=decision.lock,
        package_count=len(decision.packages),
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
    from mlproj.environments.kind import write_lock
    from mlproj.environments.prefixes import lockfile, resolution

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
    """``conda-lock.yml``, or that of a named environment."""
    from mlproj.environments.prefixes import lockfile

    return lockfile.lock_path(folder, name)


def vendor(
    spec: EnvironmentSpec, name: str | None, folder: Path, targets: Sequence[Target], into: Path, report: Report
) -> Vendored:
    """The lock, and the packages that it has for the platforms of ``targets``. Raises as ``environments.vendor``."""
    from mlproj.environments.prefixes import lockfile, resolution, vendoring

    cache = cache_folder()
    try:
        with scratch_folder(cache) as scratch:
            request = resolution.read_request(
                _wanted(spec), name, folder, policy=Policy(), cache=cache, scratch=scratch, report=report
            )
            fresh, notice = resolution.lock_for_others(request)
            if fresh is not None:
                return vendoring.vendor_packages(request, fresh, None, targets, into)
            report(f"{notice}; one is made for it" if notice else "there is no lock: one is made for it")
            document = resolution.make_lock(request, False, ())
            return vendoring.vendor_packages(request, document, lockfile.dump_lock(document), targets, into)
    except OSError as error:
        raise builds.cache_error(cache, error) from error


def problems(spec: EnvironmentSpec, folder: Path) -> Iterator[str]:
    """What in an environment file can be read by no tool."""
    from mlproj.environments.prefixes.declaration import read_declared_prefix
    from mlproj.environments.prefixes.machine import this_platform

    assert spec.conda is not None
    try:
        read_declared_prefix(spec.conda, folder, this_platform())
    except UsageError as error:
        yield error.message


def discard(record: Mapping[str, Any]) -> None:
    """Nothing to remove: a prefix is all in its folder, and the packages it links stay for the next one."""
    del record
