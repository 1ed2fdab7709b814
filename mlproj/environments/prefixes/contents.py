"""What a package would put into an environment: refused where it would write, or have others write, outside of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.environments.builds import RECORD
from mlproj.errors import EnvironmentBuildError
from mlproj.files import sha256_of_file
from mlproj.text import brief, is_text, one_line

_DEEPEST = 100
_LONGEST, _LONGEST_NAME = 1000, 255
_MOST_LINKS = 40
# The top of an environment that is mlproj's.
_OWN = frozenset([RECORD, "projects", "build.log", "conda-lock.yml"])
# What conda itself reads there, and a package may set.
_IN_CONDA_META = frozenset(["state", "pinned"])
_COMMAND = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Entry:
    """One path of a package; ``target`` is what a symbolic link leads to."""

    path: str
    kind: str
    sha256: str | None
    target: str | None


@dataclass(frozen=True)
class Contents:
    """A package's paths. ``is_python`` is for one whose paths are partly relative to where Python has its packages."""

    name: str
    entries: tuple[Entry, ...]
    is_python: bool


def read_contents(name: str, folder: Path) -> Contents:
    """What the unpacked package in ``folder`` would install.

    Raises ``EnvironmentBuildError`` for paths that are absolute, lead upwards, go through links, or are mlproj's own.
    """
    real: set[Path] = {folder}
    entries = []
    for path, kind, sha256 in _listed(name, folder):
        _refuse_path(name, path)
        place = folder / path
        for parent in place.parents:
            if parent in real:
                break
            if parent.is_symlink():
                raise _refused(name, path, "goes through a symbolic link")
            real.add(parent)
        is_link = place.is_symlink()
        if is_link and kind != "softlink":
            raise _refused(name, path, "is a symbolic link and not the file that it is said to be")
        entries.append(Entry(path, kind, sha256, str(place.readlink()) if is_link else None))
    return Contents(name, tuple(entries), _is_python(name, folder))


def _listed(name: str, folder: Path) -> Iterator[tuple[str, str, str | None]]:
    listing = _json(name, folder / "info" / "paths.json")
    if listing is None:
        # Packages of many years ago have but the names.
        try:
            names = (folder / "info" / "files").read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise _broken(name, "it does not say which files it has") from None
        yield from ((each, "softlink" if (folder / each).is_symlink() else "hardlink", None) for each in names if each)
        return
    paths = listing.get("paths") if isinstance(listing, dict) else None
    if not isinstance(paths, list):
        raise _broken(name, "its paths.json is no list of paths")
    for each in paths:
        path = each.get("_path") if isinstance(each, dict) else None
        if not isinstance(path, str):
            raise _broken(name, "its paths.json is no list of paths")
        if each.get("prefix_placeholder") == "":
            raise _broken(name, f"`{brief(path)}` has an empty text for the prefix")
        sha256 = each.get("sha256")
        # What a prefix was put into before the package was made has another digest as well.
        kept = each.get("sha256_in_prefix") is None and isinstance(sha256, str)
        yield path, str(each.get("path_type")), sha256.lower() if kept else None


def _json(name: str, path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        raise _broken(name, f"its {path.name} cannot be read") from None


def _refuse_path(name: str, path: str) -> None:
    parts = path.split("/")
    if (
        path.startswith("/")
        or ".." in parts
        or "." in parts
        or "" in parts[:-1]
        or not path
        or "\0" in path
        or not is_text(path)
    ):
        raise _refused(name, path, "is no path inside of an environment")
    if len(parts) > _DEEPEST or len(path) > _LONGEST or any(len(os.fsencode(each)) > _LONGEST_NAME for each in parts):
        raise _refused(name, path, "is too long or too deep")
    top = parts[0].casefold()
    if top in _OWN or (top == "conda-meta" and (len(parts) != 2 or parts[1] not in _IN_CONDA_META)):
        raise _refused(name, path, "is where mlproj and conda keep what they know of an environment")


def _is_python(name: str, folder: Path) -> bool:
    link = _json(name, folder / "info" / "link.json")
    noarch = link.get("noarch") if isinstance(link, dict) else None
    if not isinstance(noarch, dict) or noarch.get("type") != "python":
        return False
    for each in noarch.get("entry_points") or []:
        command = str(each).partition("=")[0].strip()
        if not _COMMAND.fullmatch(command) or command in (".", ".."):
            raise _broken(name, f"its command `{brief(command)}` is no name of one")
    return True


def refuse_another_package(folder: Path, name: str, version: str, build: str) -> None:
    """Refuse an unpacked package that says of itself to be another one than it is locked as."""
    index = _json(name, folder / "info" / "index.json")
    found = [str(index.get(key)) for key in ("name", "version", "build")] if isinstance(index, dict) else []
    if not found or [found[0].lower(), *found[1:]] != [name.lower(), version, build]:
        raise _broken(name, f"it is {brief(' '.join(found)) or 'none'}, and not {brief(f'{name} {version} {build}')}")


def is_spoilt(folder: Path, contents: Contents) -> bool:
    """Whether a file of an unpacked package is gone, or is not what it was."""
    for entry in contents.entries:
        place = folder / entry.path
        if entry.kind == "directory":
            continue
        if entry.kind == "softlink":
            if entry.target is None:
                return True
        elif not place.is_file() or (entry.sha256 is not None and sha256_of_file(place) != entry.sha256):
            return True
    return False


def refuse_ways_out(packages: Sequence[Contents], site_packages: str | None) -> None:
    """Refuse packages by whose symbolic links another one, or a tool, would write outside of the environment."""
    links: dict[str, str] = {}
    owners: dict[str, str] = {}
    used: dict[str, str] = dict.fromkeys(("bin", "conda-meta", "etc/conda/activate.d", "etc/conda/env_vars.d"), "")
    if site_packages is not None:
        used[site_packages] = ""
    for package in packages:
        for entry in package.entries:
            path = _installed_at(entry.path, package, site_packages).casefold()
            folder = path.rpartition("/")[0]
            if entry.target is not None:
                links[path], owners[path] = entry.target.casefold(), package.name
            else:
                used.setdefault(path, package.name)
            used.setdefault(folder, package.name)
            if path.endswith(".py"):
                used.setdefault(f"{folder}/__pycache__", package.name)
    if not links:
        return
    known: dict[str, bool] = {"": False}
    for path in used:
        found = _way_out(path, links, known)
        if found is not None:
            raise _refused(owners[found], found, "is a symbolic link out of the environment, where files would go")


def _installed_at(path: str, package: Contents, site_packages: str | None) -> str:
    first, _, rest = path.partition("/")
    if package.is_python and first == "python-scripts":
        return f"bin/{rest}"
    if package.is_python and first == "site-packages" and site_packages is not None:
        return f"{site_packages}/{rest}"
    return path


def _way_out(path: str, links: Mapping[str, str], known: dict[str, bool]) -> str | None:
    """The link by which a path is outside of the environment."""
    if not _meets_link(path, links, known):
        return None
    todo, done, through, followed = list(reversed(path.split("/"))), list[str](), "", 0
    while todo:
        part = todo.pop()
        if part == "..":
            if not done:
                return through
            done.pop()
        elif part not in ("", "."):
            done.append(part)
            target = links.get("/".join(done))
            if target is not None:
                through, followed = "/".join(done), followed + 1
                if target.startswith("/") or followed > _MOST_LINKS:
                    return through
                done.pop()
                todo.extend(reversed(target.split("/")))
    return None


def _meets_link(path: str, links: Mapping[str, str], known: dict[str, bool]) -> bool:
    if path not in known:
        known[path] = path in links or _meets_link(path.rpartition("/")[0], links, known)
    return known[path]


def _refused(name: str, path: str, why: str) -> EnvironmentBuildError:
    return _broken(name, f"its path `{brief(path)}` {why}")


def _broken(name: str, why: str) -> EnvironmentBuildError:
    return EnvironmentBuildError(
        f"the package {one_line(name)} is not installed: {why}",
        hint="nothing of it was put into an environment; tell those who keep its channel",
    )
