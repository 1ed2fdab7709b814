"""Where mlproj keeps what it keeps: the store of runs, the cache of what can be made again; and an image's project."""

from __future__ import annotations

import os
from pathlib import Path

from mlproj.text import one_line

# Set in images that `mlproj build` makes: where their project is, and the remote and commit that it was made from.
PROJECT_VARIABLE, MADE_FROM_VARIABLE = "MLPROJ_IMAGE_PROJECT", "MLPROJ_IMAGE_MADE_FROM"
ANOTHER_CACHE = "`MLPROJ_CACHE` may name another folder."


def home_folder() -> Path | None:
    """The user's home, if there is one: in a container a user may be a number, and HOME not be set."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def store_folder() -> Path:
    """The store: ``$MLPROJ_HOME``, else the platform's folder for a user's data."""
    chosen = os.environ.get("MLPROJ_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_path("mlproj", appauthor=False))


def cache_folder() -> Path:
    """The cache: ``$MLPROJ_CACHE``, else ``cache`` in ``$MLPROJ_HOME``, else the platform's cache folder."""
    chosen = os.environ.get("MLPROJ_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if os.environ.get("MLPROJ_HOME"):
        return store_folder() / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_path("mlproj", appauthor=False))


def is_image_project(folder: Path) -> bool:
    """Whether ``folder`` is the project of the image that this process runs in."""
    return os.environ.get(PROJECT_VARIABLE) == str(folder)


def cache_trouble(error: OSError, cache: Path) -> str | None:
    """What to say of an error about a place in the cache; ``None`` for one that is about another."""
    place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    if place != str(cache) and not place.startswith(f"{cache}/"):
        return None
    return f"the cache cannot be used: {one_line(place)}: {one_line(error.strerror or error)}"
