"""Locks (``pylock.toml``, PEP 751): reading, writing, telling whether one is stale, comparing two."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from mlproj.environments import pyproject
from mlproj.environments.credentials import without_credentials
from mlproj.environments.requirements import Declared, normalised_name, package_name
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line
from mlproj.toml import dump_toml, parse_toml

Document = dict[str, Any]

_HEADER = "# The lock of a project's packages (PEP 751), written by `mlproj lock`.\n\n"
_ARTIFACTS = ("wheels", "sdist", "archive")


def lock_path(folder: Path, name: str | None) -> Path:
    """Where the lock of an environment stands: ``pylock.toml``, or ``pylock.<name>.toml`` for a named one."""
    # PEP 751 allows no dot in the name.
    return folder / ("pylock.toml" if name is None else f"pylock.{name.replace('.', '-')}.toml")


def parse_lock(text: str) -> Document:
    """The lock that a text holds. Raises ``ValueError`` saying why it holds none."""
    document = parse_toml(text)
    version = document.get("lock-version")
    if not isinstance(version, str) or version.split(".")[0] != "1":
        raise ValueError("it has no `lock-version` of 1.x")
    packages = document.get("packages", [])
    if not isinstance(packages, list) or not all(
        isinstance(package, dict) and isinstance(package.get("name"), str) for package in packages
    ):
        raise ValueError("its `packages` are not a list of packages with a name")
    return document


def dump_lock(document: Document) -> str:
    """The text of a lock, without credentials in its URLs."""
    return _HEADER + without_credentials(dump_toml(document))


def relative_lock(document: Document, written_at: Path, folder: Path) -> Document:
    """A lock that uv wrote in ``written_at``, as it reads in the project's ``folder``.

    Files and folders within the project are named relative to it, so that the lock serves every copy of it.
    """

    def move(table: dict[str, Any]) -> dict[str, Any]:
        url = table.get("url")
        if isinstance(url, str) and url.startswith("file://"):
            path = Path(unquote(urlsplit(url).path))
            if path.is_relative_to(folder):
                rest = {key: item for key, item in table.items() if key != "url"}
                return {"path": path.relative_to(folder).as_posix(), **rest}
        if isinstance(table.get("path"), str):
            path = Path(os.path.normpath(written_at / table["path"]))
            relative = os.path.relpath(path, folder)
            return {**table, "path": Path(relative).as_posix()}
        return table

    return _with_places(document, move)


def absolute_lock(document: Document, folder: Path) -> Document:
    """A project's lock as it can be installed from anywhere: every path in it absolute."""

    def move(table: dict[str, Any]) -> dict[str, Any]:
        if isinstance(table.get("path"), str):
            return {**table, "path": os.path.normpath(folder / table["path"])}
        return table

    return _with_places(document, move)


def _with_places(document: Document, move: Any) -> Document:
    packages = []
    for package in document.get("packages", []):
        moved = dict(package)
        for key in (*_ARTIFACTS, "directory", "vcs"):
            if isinstance(moved.get(key), dict):
                moved[key] = move(moved[key])
            elif isinstance(moved.get(key), list):
                moved[key] = [move(item) for item in moved[key]]
        packages.append(moved)
    return {**document, "packages": packages}


def local_places(document: Document) -> dict[str, bool]:
    """The project's folders and files that a lock installs, by path, with whether they are editable."""
    places: dict[str, bool] = {}
    for package in document.get("packages", []):
        directory = package.get("directory")
        if isinstance(directory, dict) and isinstance(directory.get("path"), str):
            places[directory["path"]] = bool(directory.get("editable"))
        for key in _ARTIFACTS:
            tables = package.get(key, [])
            for table in tables if isinstance(tables, list) else [tables]:
                if isinstance(table.get("path"), str):
                    places[table["path"]] = False
    return places


def versions(document: Document) -> dict[str, str]:
    """The versions a lock holds, by package: several joined, ``local`` for a local one's."""
    found: dict[str, list[str]] = {}
    for package in document.get("packages", []):
        commit = package.get("vcs", {}).get("commit-id", "")[:12]
        version = package.get("version") or commit or ("local" if "directory" in package else "")
        known = found.setdefault(normalised_name(package["name"]), [])
        if version not in known:
            known.append(version)
    return {name: ", ".join(known) for name, known in sorted(found.items())}


def with_declaration(
    document: Document, declared: Declared, python: str | None, folder: Path, left_out: Sequence[str] = ()
) -> Document:
    """A lock with a ``[tool.mlproj]`` table of what it was made from, by which a later run tells it stale.

    ``left_out`` are packages that are declared and are not in it, as no index has them.
    """
    table: dict[str, Any] = {"requirements": list(declared.requirements)}
    if declared.constraints:
        table["constraints"] = list(declared.constraints)
    if declared.options:
        table["options"] = list(declared.options)
    if python is not None:
        table["python"] = python
    if left_out:
        table["left-out"] = list(left_out)
    if local := resolution_digests(document, folder):
        table["local"] = local
    return {**document, "created-by": "mlproj", "tool": {"mlproj": table}}


def resolution_digests(document: Document, folder: Path) -> dict[str, str]:
    """Digests of what the lock's local places declare, by path."""
    return {path: pyproject.resolution_digest(folder / path) for path in sorted(local_places(document))}


def staleness(document: Document, declared: Declared, python: str | None, folder: Path) -> list[str]:
    """Why a lock is not of what is declared now, a line a reason; empty for a fresh one."""
    table = document.get("tool", {}).get("mlproj")
    if not isinstance(table, dict):
        # Another tool's lock does not say what it was made from; that it lacks a package can be told all the
        # same.
        locked = versions(document)
        return [
            f"`{one_line(line)}` is not in it"
            for line in declared.requirements
            if (name := package_name(line)) is not None and ";" not in line and name not in locked
        ]
    reasons = differences("", table.get("requirements", []), declared.requirements)
    reasons += differences("constraint ", table.get("constraints", []), declared.constraints)
    reasons += differences("option ", table.get("options", []), declared.options)
    if table.get("python") != python:
        reasons.append(f"python changed: `{one_line(table.get('python'))}` → `{one_line(python)}`")
    if not reasons:
        now = resolution_digests(document, folder)
        reasons += [
            f"what `{one_line(path)}` declares changed"
            for path, digest in now.items()
            if table.get("local", {}).get(path) != digest
        ]
    return reasons


def is_from_elsewhere(document: Document) -> bool:
    """Whether another tool than mlproj wrote the lock, so that nobody can tell what it was made from."""
    return not isinstance(document.get("tool", {}).get("mlproj"), dict)


def differences(
    what: str, before: Any, after: Sequence[str], name_of: Callable[[str], str | None] = package_name
) -> list[str]:
    """How two lists of requirements differ, each difference in words that begin with ``what``.

    Two lines of which ``name_of`` gives the same name are one that changed.
    """
    before = [line for line in before if isinstance(line, str)] if isinstance(before, list) else []
    removed = [line for line in before if line not in after]
    reasons = []
    for line in after:
        if line in before:
            continue
        name = name_of(line)
        earlier = next((old for old in removed if name is not None and name_of(old) == name), None)
        if earlier is None:
            reasons.append(f"{what}added: `{one_line(line)}`")
        else:
            removed.remove(earlier)
            reasons.append(f"{what}changed: `{one_line(earlier)}` → `{one_line(line)}`")
    return reasons + [f"{what}removed: `{one_line(line)}`" for line in removed]


def only_hashed(document: Document, hashes: Mapping[str, frozenset[str]], *, all_hashed: bool) -> Document:
    """A lock with only the files whose hashes the requirements allow: uv does not look at them when it locks.

    Raises ``EnvironmentBuildError`` for a package with no such file, or, when ``all_hashed``, without any
    hash.
    """
    packages = []
    for package in document.get("packages", []):
        name = normalised_name(package["name"])
        allowed = hashes.get(name)
        if allowed is None:
            if all_hashed and "directory" not in package:
                raise EnvironmentBuildError(
                    f"`--require-hashes`: the requirements give no hash for {one_line(name)}, which is needed"
                )
            packages.append(package)
            continue
        kept = dict(package)
        for key in _ARTIFACTS:
            tables = kept.pop(key, None)
            if isinstance(tables, list):
                if fitting := [table for table in tables if _has_hash(table, allowed)]:
                    kept[key] = fitting
            elif isinstance(tables, dict) and _has_hash(tables, allowed):
                kept[key] = tables
        if not any(key in kept for key in _ARTIFACTS):
            raise EnvironmentBuildError(
                f"no file of {one_line(name)} {one_line(package.get('version', ''))} has a hash"
                " that the requirements give for it"
            )
        packages.append(kept)
    return {**document, "packages": packages}


def _has_hash(table: Mapping[str, Any], allowed: frozenset[str]) -> bool:
    found = table.get("hashes", {})
    return any(f"{algorithm}:{value}" in allowed for algorithm, value in found.items())


def essence(document: Document) -> str:
    """What of a lock decides what is installed: all but who wrote it and what it was made from."""
    import json

    decisive = {key: item for key, item in document.items() if key not in ("created-by", "tool")}
    return without_credentials(json.dumps(decisive, sort_keys=True, default=str))


def as_requirements(document: Document) -> list[str] | None:
    """A lock with absolute paths as a requirements file's lines; ``None`` if it says more than those can."""
    if document.get("extras") or document.get("dependency-groups"):
        return None
    lines = []
    for package in document.get("packages", []):
        marker = f" ; {package['marker']}" if "marker" in package else ""
        directory = package.get("directory")
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        hashes = [f"--hash={kind}:{value}" for file in files for kind, value in file.get("hashes", {}).items()]
        if directory is not None and "path" in directory and "subdirectory" not in directory:
            place = f"file://{quote(directory['path'])}"
            lines.append(f"-e {place}{marker}" if directory.get("editable") else f"{package['name']} @ {place}{marker}")
        elif hashes and "version" in package and all("url" in file for file in files):
            lines.append(" ".join([f"{package['name']}=={package['version']}{marker}", *hashes]))
        else:
            return None
    return lines
