"""Where mlproj keeps what it keeps: the store of runs and the cache of what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


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
