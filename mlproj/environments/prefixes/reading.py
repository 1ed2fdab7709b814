"""Reading a lock (``conda-lock.yml``) that anybody may have written: within bounds, and only what has its form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlproj.files import human_size

Document = dict[str, Any]

_LARGEST, _DEEPEST = 50_000_000, 20
# They become names of folders and lines of a requirements file.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.!+~-]*")
_FORMS = {
    "name": _WORD,
    "version": _WORD,
    "build": _WORD,
    "manager": re.compile("conda|pip"),
    "platform": re.compile(r"[a-z]+-[a-z0-9_]+"),
    "url": re.compile(r"[^\s\x00-\x1f]+"),
}
# What pip takes from a repository has its commit there.
_DIGESTS = {"sha256": re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}"), "md5": re.compile(r"[0-9a-fA-F]{32}")}


def read_lock(path: Path) -> Document:
    """The lock in a file. Raises ``OSError``, and ``ValueError`` saying why it holds none."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    with path.open("rb") as stream:
        return parse_lock(stream.read(_LARGEST + 1).decode("utf-8"))


def parse_lock(text: str) -> Document:
    """The lock that a text holds. Raises ``ValueError`` saying why it holds none."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_unbounded(text, loader)
        document = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # libyaml has a limit of its own, which it comes to first
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep") from None
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())[:500]}") from None
    if not isinstance(document, dict) or document.get("version") != 1:
        raise ValueError("it is no lock of conda-lock's version 1")
    metadata, packages = document.get("metadata"), document.get("package")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("platforms"), list):
        raise ValueError("its `metadata` do not say for which platforms it is")
    if not isinstance(packages, list) or not all(_is_package(package) for package in packages):
        raise ValueError("its `package` is no list of packages with name, version, manager, platform, url and hash")
    return document


def _refuse_unbounded(text: str, loader: Any) -> None:
    """Refuse what would cost more to read than any lock, or end the process: libyaml is not asked how deep it is."""
    import yaml

    if len(text) > _LARGEST:
        raise ValueError(f"it is larger than {human_size(_LARGEST)}")
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases (`*name`)")


def _is_package(package: Any) -> bool:
    if not isinstance(package, dict):
        return False
    texts = {"build": "0", **package}
    hashes = package.get("hash")
    return (
        all(isinstance(texts.get(key), str) and form.fullmatch(texts[key]) for key, form in _FORMS.items())
        and isinstance(hashes, dict)
        and all(
            hashes.get(key) is None or (isinstance(hashes[key], str) and form.fullmatch(hashes[key]))
            for key, form in _DIGESTS.items()
        )
        and isinstance(package.get("dependencies") or {}, dict)
        and isinstance(package.get("category", "main"), str)
        and (package["manager"] == "pip" or _is_package_url(package["url"]))
    )


def _is_package_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.scheme and (parts.hostname or parts.scheme == "file")) and parts.path.count("/") >= 2
