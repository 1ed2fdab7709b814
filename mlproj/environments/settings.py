"""uv's settings: the variables it gets, and what of the user's own settings a resolution depends on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.environments.credentials import without_credentials
from mlproj.errors import UsageError
from mlproj.locations import home_folder

if TYPE_CHECKING:
    from mlproj.manifest.models import Virtualenv

# What would have uv work on another environment, interpreter or project than the one it is told to.
_REMOVED = (
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_WORKING_DIR",
    "VIRTUAL_ENV",
)

# Of uv's variables, those that say how it works rather than what it finds, and those that hold credentials.
_INDIFFERENT = frozenset(
    [
        "UV_CACHE_DIR",
        "UV_LINK_MODE",
        "UV_NO_PROGRESS",
        "UV_OFFLINE",
        "UV_PREVIEW_FEATURES",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_PUBLISH_PASSWORD",
        "UV_PUBLISH_TOKEN",
        "UV_PYTHON",
        "UV_RUN_RECURSION_DEPTH",
        "UV_SYSTEM_PYTHON",
        "UV_WORKING_DIR",
    ]
)
_SECRET_ENDINGS = ("_PASSWORD", "_TOKEN", "_USERNAME")
_FILES = ("UV_BUILD_CONSTRAINT", "UV_CONFIG_FILE", "UV_CONSTRAINT", "UV_EXCLUDE", "UV_OVERRIDE")


def uv_variables(spec: Virtualenv, *, offline: bool) -> dict[str, str]:
    """The environment variables that uv gets: the caller's, with the indexes that ``spec`` names.

    Indexes travel as variables, not as arguments, since everybody on a machine can read arguments.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _REMOVED}
    variables["NO_COLOR"] = variables["UV_NO_PROGRESS"] = "1"
    variables["UV_PREVIEW_FEATURES"] = ",".join(filter(None, [variables.get("UV_PREVIEW_FEATURES"), "pylock"]))
    if offline:
        variables["UV_OFFLINE"] = "1"
    if spec.index_url is not None:
        variables["UV_DEFAULT_INDEX"] = spec.index_url
        variables.pop("UV_INDEX_URL", None)
    if spec.extra_index_urls:
        variables["UV_INDEX"] = " ".join([*spec.extra_index_urls, variables.get("UV_INDEX", "")]).strip()
    if spec.find_links:
        if any("," in place for place in spec.find_links):
            raise UsageError("`find_links`: uv takes no place with a comma in its name")
        variables["UV_FIND_LINKS"] = ",".join([*spec.find_links, *filter(None, [variables.get("UV_FIND_LINKS")])])
    return variables


def settings_digest(folder: Path, environ: Mapping[str, str]) -> str:
    """A digest of the settings of uv that hold in the project's ``folder``. Credentials do not enter it."""
    parts: list[object] = [
        (name, without_credentials(value))
        for name, value in sorted(environ.items())
        if name.startswith("UV_") and name not in _INDIFFERENT and not name.endswith(_SECRET_ENDINGS)
    ]
    paths = [Path(path) for name in _FILES for path in environ.get(name, "").split()]
    configuration = Path(environ.get("XDG_CONFIG_HOME") or (home_folder() or Path("/")) / ".config")
    paths += [configuration / "uv" / "uv.toml", Path("/etc/uv/uv.toml")]
    paths += [parent / "uv.toml" for parent in (folder, *folder.parents)]
    parts += [(str(path), content) for path in paths if (content := _content(path)) is not None]
    for parent in (folder, *folder.parents):
        content = _content(parent / "pyproject.toml")
        if content is not None and "[tool.uv" in content:
            parts.append((str(parent), content[content.index("[tool.uv") :]))
    parts.append(listing(folder, environ.get("UV_FIND_LINKS", "").split(",")))
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _content(path: Path) -> str | None:
    try:
        return without_credentials(path.read_text("utf-8", "surrogateescape"))
    except OSError:
        return None


def listing(folder: Path, places: Iterable[str]) -> list[tuple[str, int, int]]:
    """What is in those of ``places`` that are folders: name, size and time (ns) of each file."""
    found: list[tuple[str, int, int]] = []
    for place in places:
        path = _folder_of(folder, place)
        if path is None or not path.is_dir():
            continue
        with os.scandir(path) as entries:
            for entry in entries:
                status = entry.stat()
                found.append((entry.path, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _folder_of(folder: Path, place: str) -> Path | None:
    if place.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(place).path))
    return folder / Path(place).expanduser() if place and "://" not in place else None
