"""Deciding what a conda environment holds: the project's lock, a resolution remembered, or a new one by rattler."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.environments import lock_policy, pyproject
from mlproj.environments.environment import Policy, Report
from mlproj.environments.prefixes import lockfile, pip_part, solving
from mlproj.environments.prefixes.channels import Channels, extended, find_channels, make_client
from mlproj.environments.prefixes.condarc import Condarc, read_condarc
from mlproj.environments.prefixes.declaration import (
    Declared,
    pip_specification,
    read_declared_prefix,
    read_pip_part,
)
from mlproj.environments.prefixes.lockfile import Locked
from mlproj.environments.prefixes.machine import this_platform, unmet, virtual_packages
from mlproj.environments.prefixes.packages import Shelf, pinned
from mlproj.environments.prefixes.reading import Document, read_lock
from mlproj.environments.prefixes.records import locked_of, record_of
from mlproj.environments.recall import file_digest, listing_digest
from mlproj.environments.requirements import Declared as PipPart
from mlproj.environments.requirements import normalised_name
from mlproj.environments.settings import settings_digest, uv_variables
from mlproj.environments.vendored import conda_in
from mlproj.errors import EnvironmentBuildError, LockError
from mlproj.files import sha256_of_text, write_atomically
from mlproj.text import one_line, plural

if TYPE_CHECKING:
    from rattler import Client

    from mlproj.manifest.models import Conda


@dataclass(frozen=True)
class Request:
    """What a resolution is made from. ``env`` is uv's; ``lock`` the project's lock, where it has one."""

    spec: Conda
    folder: Path
    cache: Path
    scratch: Path
    policy: Policy
    report: Report
    platform: str
    declared: Declared
    condarc: Condarc
    channels: Channels
    pip: PipPart
    lock_path: Path
    lock: Document | None
    lock_problem: str | None
    env: Mapping[str, str] = field(repr=False)

    @cached_property
    def client(self) -> Client:
        """What packages and indexes are fetched with."""
        return make_client(self.channels, self.scratch)

    @property
    def shelf(self) -> Shelf:
        """Where conda's packages are kept, and what they are fetched with."""
        folder = self.cache / "conda" / "packages"
        vendored = conda_in(self.folder)
        return Shelf(folder, self.scratch, self.channels, self.client, self.policy.offline, self.report, vendored)

    @cached_property
    def pip_digests(self) -> dict[str, str]:
        """What the ``pip:`` part depends on besides its lines: requirements files, what local folders declare."""
        found = {}
        for path in self.pip.files:
            found[_relative(path, self.folder)] = file_digest(path) or ""
        for place in pip_part.local_folders(self.pip, self.folder):
            found[place] = pyproject.resolution_digest(self.folder / place)
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Decision:
    """A lock to build from, where it is from (``lock`` or ``resolution``), and what to tell about it."""

    document: Document
    packages: tuple[Locked, ...]
    lock: str
    lock_file: Path
    notice: str | None
    fresh_lock: bool


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def read_request(
    spec: Conda,
    name: str | None,
    folder: Path,
    *,
    policy: Policy,
    cache: Path,
    scratch: Path,
    report: Report,
) -> Request:
    """Read the declaration, the user's condarc and the lock."""
    lock_policy.refuse_both(policy)
    platform = this_platform()
    declared = read_declared_prefix(spec, folder, platform)
    condarc = read_condarc()
    channels = find_channels(declared.channels, condarc, folder)
    named = [solving.named_channel(each) for lines in declared.dependencies.values() for each in lines]
    path = lockfile.lock_path(folder, name)
    lock, problem = None, None
    try:
        lock = read_lock(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        problem = one_line(error)
    return Request(
        spec=spec,
        folder=folder,
        cache=cache,
        scratch=scratch,
        policy=policy,
        report=report,
        platform=platform,
        declared=declared,
        condarc=condarc,
        channels=extended(channels, [each for each in named if each is not None], condarc, folder),
        pip=read_pip_part(declared, platform, folder),
        lock_path=path,
        lock=lock,
        lock_problem=problem,
        env=uv_variables(pip_specification(declared, platform), offline=policy.offline),
    )


def lock_in_hand(request: Request) -> tuple[Decision | None, str | None]:
    """The project's lock as a decision, if it is to be used; else ``None`` and why it is not, if it is there.

    Raises ``LockError`` when the policy insists on a lock that is missing, unreadable or stale, and when a lock that
    is to be used is not for this platform, or not for this machine.
    """
    path, policy = request.lock_path, request.policy
    if request.lock is None or request.lock_problem is not None:
        return None, lock_policy.without_lock(path, request.lock_problem, policy)
    if policy.frozen:
        return _decision_of_lock(request, request.lock, None, fresh=False), None
    reasons = _staleness(request, request.lock)
    foreign = lockfile.is_from_elsewhere(request.lock)
    if not reasons:
        notice = f"{path.name} was not written by mlproj: it is of what is declared" if foreign else None
        return _decision_of_lock(request, request.lock, notice, fresh=True), None
    return None, lock_policy.with_stale_lock(path, reasons, policy)


def _staleness(request: Request, lock: Document) -> list[str]:
    reasons = lockfile.staleness(lock, request.declared, request.pip_digests, request.scratch)
    if not reasons and request.platform in lockfile.platforms(lock):
        there = lockfile.packages_for(lock, request.platform, request.declared.categories)
        reasons = lockfile.missing(there, request.declared, request.platform)
    return reasons


def lock_for_others(request: Request) -> tuple[Document | None, str | None]:
    """The project's lock, whichever machines it is for, unless it is stale or not there; then why, if it is there."""
    path = request.lock_path
    if request.lock is None or request.lock_problem is not None:
        return None, lock_policy.without_lock(path, request.lock_problem, request.policy)
    reasons = _staleness(request, request.lock)
    return (request.lock, None) if not reasons else (None, lock_policy.with_stale_lock(path, reasons, request.policy))


def _decision_of_lock(request: Request, lock: Document, notice: str | None, *, fresh: bool) -> Decision:
    platform, path = request.platform, request.lock_path
    if platform not in lockfile.platforms(lock):
        there = ", ".join(map(one_line, lockfile.platforms(lock)))
        raise LockError(
            f"the lock `{one_line(path)}` is for {there}, and not for this platform, {platform}",
            hint=f"add {platform} to `platforms` of the environment and write it anew by `mlproj lock`",
        )
    packages = lockfile.packages_for(lock, platform, request.declared.categories)
    if names := lockfile.unverifiable(packages):
        raise LockError(
            f"the lock `{one_line(path)}` has no digest of {', '.join(map(one_line, names))}: any file could be taken"
            " for it",
            hint="delete the lock, and write it anew by `mlproj lock`",
        )
    _refuse_another_machine(request, packages)
    return Decision(lock, tuple(packages), "lock", path, notice, fresh_lock=fresh)


def _refuse_another_machine(request: Request, packages: Sequence[Locked]) -> None:
    needed = {
        name: wanted for each in packages for name, wanted in each.requires.items() if name.startswith("__") and wanted
    }
    if not needed:
        return
    there = virtual_packages(request.platform, request.declared.virtual_packages)
    missing = unmet(needed, there)
    if missing:
        has = ", ".join(f"{name}={version.partition(' ')[0]}" for name, version in sorted(there.items()))
        raise LockError(
            f"the lock `{one_line(request.lock_path)}` needs what this machine does not have: {', '.join(missing)}",
            hint=f"it has {has}; `mlproj lock` makes a lock for it, CONDA_OVERRIDE_… and `virtual_packages` overrule",
        )


def channel_listing(request: Request) -> tuple[str, ...]:
    """The folders of the channels that are on this machine, as ``recall.listing_digest`` takes them."""
    return tuple(
        str(folder / subdir) for folder in request.channels.local_folders for subdir in (request.platform, "noarch")
    )


def _memo(request: Request) -> Path:
    """Where a resolution is remembered: by what is declared, the channels, the settings, the machine."""
    places = channel_listing(request)
    decisive = [
        lockfile.declaration_of(request.declared, request.pip_digests),
        [request.declared.dependencies[request.platform], request.declared.pip[request.platform]],
        [[source.name, source.urls] for source in request.channels.sources],
        [request.platform, virtual_packages(request.platform, request.declared.virtual_packages)],
        settings_digest(request.folder, request.env) if request.pip.requirements else "",
        listing_digest(request.folder, places),
        listing_digest(request.folder, request.pip.find_links),
        # The lock before is what the resolution starts from.
        [lockfile.essence(_before(request, request.platform, ()))] if request.lock else None,
    ]
    return request.cache / "resolutions" / f"{sha256_of_text(json.dumps(decisive))[:32]}.conda-lock.yml"


def remembered(request: Request, notice: str | None) -> Decision | None:
    """The resolution made before from the same, unless the policy wants another."""
    if request.policy.refresh:
        return None
    path = _memo(request)
    try:
        document = read_lock(path)
    except (OSError, ValueError):
        return None
    packages = lockfile.packages_for(document, request.platform, request.declared.categories)
    return Decision(document, tuple(packages), "resolution", path, notice, fresh_lock=False)


def resolve(request: Request, notice: str | None) -> Decision:
    """Have rattler and uv resolve what is declared for this platform, and remember it."""
    packages = _resolved(request, request.platform, ())
    document = lockfile.document_of(
        {request.platform: packages}, request.declared, _channel_names(request), request.pip_digests
    )
    path = _memo(request)
    write_atomically(path, lockfile.dump_lock(document))
    read = lockfile.packages_for(document, request.platform, request.declared.categories)
    return Decision(document, tuple(read), "resolution", path, notice, fresh_lock=False)


def make_lock(request: Request, upgrade: bool, upgrade_packages: Sequence[str]) -> Document:
    """The lock to stand beside the manifest: for all the platforms that are declared."""
    anew = ("*",) if upgrade else tuple(upgrade_packages)
    packages = {platform: _resolved(request, platform, anew) for platform in request.declared.platforms}
    there = {normalised_name(each.name) for locked in packages.values() for each in locked}
    for name in upgrade_packages:
        if normalised_name(name) not in there:
            request.report(f"nothing to upgrade: there is no package {one_line(name)} in this environment")
    packages = {platform: pinned(locked, _without_md5(locked), request.shelf) for platform, locked in packages.items()}
    if names := sorted({name for locked in packages.values() for name in lockfile.unverifiable(locked)}):
        raise EnvironmentBuildError(
            f"there is no SHA-256 of {', '.join(map(one_line, names))} for the lock to hold",
            hint="an index that gives the digests of its files is needed",
        )
    document = lockfile.document_of(packages, request.declared, _channel_names(request), request.pip_digests)
    return lockfile.by_conda_lock(document, request.declared, request.scratch)


def _channel_names(request: Request) -> list[str]:
    return list(request.declared.channels) or [source.name for source in request.channels.sources]


def _before(request: Request, platform: str, anew: Sequence[str]) -> list[Locked]:
    """The packages of the project's lock that the resolution is to keep where it can."""
    if request.lock is None or "*" in anew:
        return []
    names = {normalised_name(name) for name in anew}
    kept = lockfile.packages_for(request.lock, platform, request.declared.categories)
    return [each for each in kept if normalised_name(each.name) not in names]


def _without_digest(packages: Sequence[Locked]) -> list[Locked]:
    """Those that could be compared with nothing."""
    return [each for each in packages if each.sha256 is None and each.md5 is None]


def _without_md5(packages: Sequence[Locked]) -> list[Locked]:
    """Those that conda-lock has no place for."""
    return [each for each in packages if each.manager == "conda" and each.md5 is None]


def _resolved(request: Request, platform: str, anew: Sequence[str]) -> list[Locked]:
    declared, policy = request.declared, request.policy
    specifications = declared.dependencies[platform]
    where = "" if platform == request.platform and len(declared.platforms) == 1 else f" for {platform}"
    request.report(f"resolving {plural(len(specifications), 'specification')}{where}")
    before = _before(request, platform, anew)
    virtual = virtual_packages(platform, declared.virtual_packages)
    solved = solving.solve(
        specifications,
        request.channels,
        platform,
        virtual=virtual,
        preferred=[record_of(each) for each in before if each.manager == "conda"],
        client=request.client,
        index_cache=request.cache / "conda" / "repodata",
        offline=policy.offline,
        fresh=policy.refresh,
        report=request.report,
    )
    packages = sorted((locked_of(record) for record in solved), key=lambda each: each.name)
    packages = pinned(packages, _without_digest(packages), request.shelf)
    part = request.pip if platform == request.platform else read_pip_part(declared, platform, request.folder)
    if not part.requirements:
        return packages
    python = next((each.version for each in packages if each.name == "python"), None)
    if python is None:
        raise EnvironmentBuildError("the pip part needs a `python` among the conda packages, and there is none")
    preferred = [each for each in before if each.manager == "pip"]
    return packages + pip_part.resolve_pip(
        part,
        platform=platform,
        where=where,
        python=python,
        glibc=virtual.get("__glibc"),
        provided=pip_part.provided_by_conda(packages, part),
        preferred=preferred,
        arguments=["--refresh"] if policy.refresh else [],
        folder=request.folder,
        scratch=request.scratch,
        cache=request.cache,
        env=request.env,
        report=request.report,
    )


def local_contents(request: Request) -> dict[str, str]:
    """The digests of the content of the project's folders that the ``pip:`` part installs, by path."""
    return pyproject.local_contents(request.folder, pip_part.local_folders(request.pip, request.folder))


def environment_key(request: Request, decision: Decision) -> str:
    """The key of the environment that a decision comes to: what decides how it turns out, and nothing else."""
    decisive = [
        "conda",
        request.platform,
        lockfile.essence(decision.packages),
        pyproject.local_identities(request.folder, pip_part.local_folders(request.pip, request.folder)),
        request.spec.post_link_scripts,
    ]
    return sha256_of_text(json.dumps(decisive))[:32]
