"""Projects whose dependencies are taken or that are installed: what of them decides the outcome."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlproj.errors import UsageError
from mlproj.files import sha256_of_file, sha256_of_text
from mlproj.text import did_you_mean, one_line
from mlproj.toml import parse_toml

# Of `[project]`, and of the tools of `[tool]` that make packages: the rest (linters, test runners, prose)
# changes often and changes nothing that is installed.
_RESOLVING = ("name", "requires-python", "dependencies", "optional-dependencies", "dynamic")
_BUILDING = (*_RESOLVING, "version", "scripts", "gui-scripts", "entry-points")
_BUILD_TOOLS = (
    "uv",
    "setuptools",
    "setuptools_scm",
    "hatch",
    "poetry",
    "flit",
    "pdm",
    "maturin",
    "scikit-build",
)
_IGNORED_FOLDERS = frozenset(
    [".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".tox", ".nox", ".mypy_cache"]
)


@dataclass(frozen=True)
class Project:
    """A ``pyproject.toml`` as requirements: in words, and as what uv is to be given."""

    requirements: tuple[str, ...]
    sources: tuple[Path, ...]
    lines: tuple[str, ...]
    arguments: tuple[str, ...]


def read_project(folder: Path, relative: str, extras: Sequence[str], groups: Sequence[str]) -> Project:
    """Read ``relative`` in ``folder``, with some extras and dependency groups.

    A project with a ``[build-system]`` is installed itself, editable; one without (a folder of scripts with a
    list of dependencies) is not, as uv has it; ``package`` in ``[tool.uv]`` decides otherwise.
    """
    path = folder / relative
    document = _document(path)
    table = document.get("project")
    if path.name != "pyproject.toml" or (not isinstance(table, dict) and not groups):
        raise UsageError(f"`{one_line(path)}` is not a `pyproject.toml` with a `[project]` table")
    table = table if isinstance(table, dict) else {}
    requirements = list(_texts(table.get("dependencies")))
    optional = table.get("optional-dependencies", {})
    for extra in extras:
        if extra not in optional and "optional-dependencies" not in table.get("dynamic", []):
            raise UsageError(f"`{one_line(path)}` has no extra `{one_line(extra)}`.{did_you_mean(extra, optional)}")
        requirements += _texts(optional.get(extra))
    declared_groups = document.get("dependency-groups", {})
    for group in groups:
        requirements += _group(declared_groups, group, path, ())
    arguments = [f"--group={path}:{group}" for group in groups]
    if not table:
        return Project(tuple(requirements), (), (), tuple(arguments))
    installed = document.get("tool", {}).get("uv", {}).get("package", "build-system" in document)
    if installed:
        chosen = f"[{','.join(extras)}]" if extras else ""
        line = f"-e file://{quote(str(path.parent))}{chosen}"
        return Project(tuple(requirements), (), (line,), tuple(arguments))
    arguments += [f"--extra={extra}" for extra in extras]
    return Project(tuple(requirements), (path,), (), tuple(arguments))


def _document(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read `{one_line(path)}`: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"`{one_line(path)}` is not TOML: {one_line(error)}") from None


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _group(groups: Mapping[str, Any], name: str, path: Path, including: tuple[str, ...]) -> list[str]:
    """The requirements of a dependency group and of the groups it includes (PEP 735)."""
    if name not in groups:
        raise UsageError(f"`{one_line(path)}` has no dependency group `{one_line(name)}`.{did_you_mean(name, groups)}")
    if name in including:
        raise UsageError(f"the dependency group `{one_line(name)}` of `{one_line(path)}` includes itself")
    found: list[str] = []
    for item in groups[name]:
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            found += _group(groups, item["include-group"], path, (*including, name))
    return found


def resolution_digest(path: Path) -> str:
    """A digest of what in a local dependency decides what it needs. ``missing`` when it is gone."""
    if not path.is_dir():
        return sha256_of_file(path) if path.is_file() else "missing"
    return _metadata_digest(path, _RESOLVING, ("uv", "poetry"))


def editable_digest(path: Path) -> str:
    """A digest of what in an editable dependency is read when it is installed, not when it is imported."""
    return _metadata_digest(path, _BUILDING, _BUILD_TOOLS)


def _metadata_digest(folder: Path, keys: Sequence[str], tools: Sequence[str]) -> str:
    parts: list[Any] = [
        sha256_of_file(folder / name) if (folder / name).is_file() else None for name in ("setup.py", "setup.cfg")
    ]
    if (folder / "pyproject.toml").is_file():
        document = _document(folder / "pyproject.toml")
        table, tool = document.get("project", {}), document.get("tool", {})
        parts.append(document.get("build-system"))
        parts.append({key: table.get(key) for key in keys})
        parts.append({key: tool.get(key) for key in tools})
    return sha256_of_text(json.dumps(parts, sort_keys=True, default=str))


def content_digest(path: Path) -> str:
    """A digest of a local dependency's content, but for what building and version control leave there."""
    if not path.is_dir():
        return sha256_of_file(path) if path.is_file() else "missing"
    entries = [f"{file.relative_to(path).as_posix()}\0{sha256_of_file(file)}" for file in sorted(_content_files(path))]
    return sha256_of_text("\n".join(entries))


def content_signature(path: Path) -> tuple[str, int]:
    """A digest of the sizes and times of what ``content_digest`` reads, and the newest time (ns)."""
    files = sorted(_content_files(path)) if path.is_dir() else [path] if path.is_file() else []
    entries, newest = [], 0
    for file in files:
        status = file.stat()
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        entries.append(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\0{status.st_ino}")
    return sha256_of_text("\n".join(entries)), newest


def _content_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in _IGNORED_FOLDERS and not name.endswith((".egg-info", ".dist-info"))
        ]
        if Path(root) == folder:
            folders[:] = [name for name in folders if name not in ("build", "dist")]
        found += [
            Path(root, name) for name in names if not name.endswith((".pyc", ".pyo")) and Path(root, name).is_file()
        ]
    return found


def local_identities(folder: Path, places: Mapping[str, bool]) -> list[list[str]]:
    """What of a project's local dependencies decides how an environment turns out.

    ``places`` are their paths, and whether they are editable: such a one is the folder where it is; another one is its
    content, wherever that is.
    """
    identities = []
    for path, editable in sorted(places.items()):
        place = folder / path
        identities.append(
            [path, str(place.resolve()), editable_digest(place)] if editable else [path, content_digest(place)]
        )
    return identities


def local_contents(folder: Path, places: Mapping[str, bool]) -> dict[str, str]:
    """The digests of the content of a project's local dependencies that are not editable, by path."""
    return {str(folder / path): content_digest(folder / path) for path, editable in places.items() if not editable}
