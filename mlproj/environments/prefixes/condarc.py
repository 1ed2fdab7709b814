"""The user's condarc: where channels are, as conda reads it from its many files and from its variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.environments.prefixes.declaration import read_yaml
from mlproj.errors import UsageError
from mlproj.locations import home_folder
from mlproj.text import one_line

_LISTS = ("channels", "default_channels")
_MAPPINGS = ("custom_channels", "custom_multichannels", "mirrored_channels")
_WORDS = ("channel_alias", "ssl_verify")
VARIABLES = tuple(f"CONDA_{key.upper()}" for key in (*_WORDS, *_LISTS)) + ("CONDARC", "MAMBARC", "CONDA_ROOT")


@dataclass(frozen=True)
class Condarc:
    """What the condarc says about channels. ``None`` or empty where it says nothing; ``files`` are those looked at."""

    channel_alias: str | None
    channels: tuple[str, ...]
    default_channels: tuple[str, ...]
    custom_channels: Mapping[str, str]
    custom_multichannels: Mapping[str, tuple[str, ...]]
    mirrored_channels: Mapping[str, tuple[str, ...]]
    ssl_verify: bool | str
    files: tuple[Path, ...]


def _roots() -> list[Path]:
    environ, home = os.environ, home_folder()
    roots = [Path("/etc/conda"), Path("/var/lib/conda")]
    roots += [Path(environ["CONDA_ROOT"])] if environ.get("CONDA_ROOT") else []
    if environ.get("XDG_CONFIG_HOME"):
        roots.append(Path(environ["XDG_CONFIG_HOME"]) / "conda")
    elif home is not None:
        roots.append(home / ".config" / "conda")
    return [*roots, home / ".conda"] if home is not None else roots


def fragment_folders() -> list[Path]:
    """The folders in which every file is one more of conda's settings."""
    return [root / "condarc.d" for root in _roots()]


def condarc_files() -> tuple[Path, ...]:
    """Every file that conda would read its settings from, whether it is there or not; the last has the last word."""
    places: list[Path] = []
    for root in _roots():
        fragments = sorted(path for path in (root / "condarc.d").glob("*") if path.suffix in (".yml", ".yaml"))
        places += [root / ".condarc", root / "condarc", *fragments]
    home = home_folder()
    places += [home / ".condarc", home / ".mambarc"] if home is not None else []
    # Not that of the active environment, which is another one than this.
    named = [os.environ.get(name) for name in ("CONDARC", "MAMBARC")]
    return (*places, *(Path(os.path.expanduser(name)) for name in named if name))  # noqa: PTH111 - which cannot fail


def read_condarc() -> Condarc:
    """Read the user's settings. Raises ``UsageError`` for a file that is not of the form it should have."""
    files = condarc_files()
    merged: dict[str, Any] = {}
    for path in files:
        for key, value in _read(path).items():
            if key in _LISTS:
                merged[key] = [*_list(path, key, value), *merged.get(key, [])]
            elif key in _MAPPINGS:
                merged[key] = {**merged.get(key, {}), **_mapping(path, key, value)}
            elif key in _WORDS:
                if isinstance(value, (list, dict)):
                    raise UsageError(f"conda's settings `{one_line(path)}`: expected a text under `{key}`")
                merged[key] = value
    for key in (*_WORDS, *_LISTS):
        if given := os.environ.get(f"CONDA_{key.upper()}"):
            words = [word.strip() for word in given.replace("&", ",").split(",")]
            merged[key] = given if key in _WORDS else [*words, *merged.get(key, [])]
    alias = merged.get("channel_alias")
    verify = merged.get("ssl_verify", True)
    if isinstance(verify, str) and verify.lower() in ("false", "no", "off", "0", "true", "yes", "on", "1"):
        verify = verify.lower() in ("true", "yes", "on", "1")
    return Condarc(
        channel_alias=None if alias is None else str(alias),
        channels=tuple(dict.fromkeys(merged.get("channels", []))),
        default_channels=tuple(dict.fromkeys(merged.get("default_channels", []))),
        custom_channels=merged.get("custom_channels", {}),
        custom_multichannels=_tuples(merged.get("custom_multichannels", {})),
        mirrored_channels=_tuples(merged.get("mirrored_channels", {})),
        ssl_verify=verify if isinstance(verify, (bool, str)) else True,
        files=files,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            return {}
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    shown = f"conda's settings `{one_line(path)}`"
    read = read_yaml(text, shown)
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise UsageError(f"{shown}: expected a mapping")
    return {key: _expanded(value) for key, value in read.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return os.path.expandvars(value)
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return {key: _expanded(each) for key, each in value.items()} if isinstance(value, dict) else value


def _list(path: Path, key: str, value: Any) -> list[str]:
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise UsageError(f"conda's settings `{one_line(path)}`: expected a list of texts under `{key}`")
    return list(value or [])


def _mapping(path: Path, key: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise UsageError(f"conda's settings `{one_line(path)}`: expected a mapping under `{key}`")
    if key == "custom_channels":
        if not all(isinstance(each, str) for each in (value or {}).values()):
            raise UsageError(f"conda's settings `{one_line(path)}`: expected a text for each name under `{key}`")
        return dict(value or {})
    return {
        name: _list(path, f"{key}: {name}", [each] if isinstance(each, str) else each)
        for name, each in (value or {}).items()
    }


def _tuples(mapping: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(each) for name, each in mapping.items()}
