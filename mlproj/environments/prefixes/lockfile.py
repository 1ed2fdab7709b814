"""Locks (``conda-lock.yml``): telling whether one is stale, what one holds, and writing it by conda-lock."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.environments.credentials import without_credentials
from mlproj.environments.lockfile import differences
from mlproj.environments.prefixes.declaration import Declared
from mlproj.environments.prefixes.reading import Document
from mlproj.environments.prefixes.tokens import bare, without_secrets
from mlproj.environments.requirements import normalised_name
from mlproj.errors import EnvironmentBuildError
from mlproj.files import sha256_of_text
from mlproj.text import one_line

_HEADER = "# The lock of a conda environment, in conda-lock's format, written by mlproj.\n\n"
_OWN = "mlproj"
# No option of pip's and no path.
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*\s*($|[\[;@=<>!~(])")


@dataclass(frozen=True)
class Locked:
    """One package of a lock, for one platform. ``requires`` gives the names and versions of what it needs."""

    manager: str
    name: str
    version: str
    build: str
    url: str
    sha256: str | None
    md5: str | None
    requires: Mapping[str, str]

    @property
    def file_name(self) -> str:
        """The last part of its URL."""
        return self.url.rstrip("/").rpartition("/")[2].partition("#")[0]


def lock_path(folder: Path, name: str | None) -> Path:
    """Where the lock of an environment stands: ``conda-lock.yml``, or ``NAME.conda-lock.yml`` for a named one."""
    return folder / ("conda-lock.yml" if name is None else f"{name}.conda-lock.yml")


def dump_lock(document: Document) -> str:
    """The text of a lock, without credentials in its URLs."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return _HEADER + without_credentials(text)


def platforms(document: Document) -> list[str]:
    """The platforms that a lock is for."""
    return [str(platform) for platform in document["metadata"]["platforms"]]


def packages_for(document: Document, platform: str, categories: frozenset[str]) -> list[Locked]:
    """The packages that a lock has for a platform in any of ``categories``, conda's first, by name."""
    found: dict[tuple[str, str], Locked] = {}
    for package in document["package"]:
        if package["platform"] != platform or package.get("category", "main") not in categories:
            continue
        hashes = package["hash"]
        found[package["manager"], package["name"]] = Locked(
            manager=package["manager"],
            name=package["name"],
            version=package["version"],
            build=str(package.get("build") or _build_in(package)),
            url=bare(package["url"]) if package["manager"] == "conda" else package["url"],
            sha256=hashes.get("sha256"),
            md5=hashes.get("md5"),
            requires={str(name): str(wanted) for name, wanted in (package.get("dependencies") or {}).items()},
        )
    return [found[key] for key in sorted(found)]


def _build_in(package: Mapping[str, Any]) -> str:
    """The build in a conda package's file name, which locks of older versions of conda-lock do not repeat."""
    stem = file_stem(package["url"].partition("#")[0].rpartition("/")[2])
    return stem.rsplit("-", 2)[-1] if package["manager"] == "conda" and stem.count("-") >= 2 else ""


def file_stem(file_name: str) -> str:
    """The name of a conda package's file without its ending."""
    return re.sub(r"(\.conda|\.tar\.bz2)$", "", file_name)


def unverifiable(packages: Sequence[Locked]) -> list[str]:
    """The names of those whose files could not be told from any others: without a SHA-256, of conda's without MD5."""
    return [each.name for each in packages if not each.sha256 and not (each.md5 and each.manager == "conda")]


def versions(document: Document) -> dict[str, str]:
    """The versions a lock holds, by package: several joined, where platforms differ."""
    found: dict[str, list[str]] = {}
    for package in document["package"]:
        known = found.setdefault(package["name"], [])
        if package["version"] not in known:
            known.append(package["version"])
    return {name: ", ".join(sorted(known)) for name, known in sorted(found.items())}


def essence(packages: Sequence[Locked]) -> list[list[str | None]]:
    """What of a lock decides what is installed: which files, wherever they come from."""
    return [
        [each.manager, each.name, each.version, each.build, each.sha256 or each.md5 or each.url] for each in packages
    ]


def declaration_of(declared: Declared, pip_digests: Mapping[str, str]) -> dict[str, Any]:
    """What a lock was made from, as it is kept in it: what holds for all platforms, and what only for some."""
    lists = {platform: [_shown(line) for line in declared.dependencies[platform]] for platform in declared.platforms}
    pip = {platform: declared.pip[platform] for platform in declared.platforms}
    return {
        "channels": [_without_credentials(channel) for channel in declared.channels],
        "dependencies": _compact(lists),
        "pip": _compact({platform: [without_credentials(line) for line in lines] for platform, lines in pip.items()}),
        "pip-files": dict(pip_digests),
        "pip-repositories": [without_credentials(url) for url in declared.pip_repositories],
        "platforms": list(declared.platforms),
        "virtual-packages": dict(declared.virtual_packages),
        "category": declared.category,
    }


def _shown(specification: str) -> str:
    channel, separator, rest = specification.partition("::")
    return f"{_without_credentials(channel)}{separator}{rest}"


def _without_credentials(channel: str) -> str:
    """A channel as it stands in a lock's text, which ``dump_lock`` leaves all users out of."""
    return without_credentials(without_secrets(channel))


def _compact(lists: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    every = [line for line in next(iter(lists.values()), ()) if all(line in others for others in lists.values())]
    rest = {platform: [line for line in lines if line not in every] for platform, lines in lists.items()}
    return {"all": every, **{platform: lines for platform, lines in rest.items() if lines}}


def staleness(document: Document, declared: Declared, pip_digests: Mapping[str, str], scratch: Path) -> list[str]:
    """Why a lock is not of what is declared now, a line a reason; empty for a fresh one."""
    before = _declaration_in(document)
    if before is None:
        return _staleness_by_conda_lock(document, declared, scratch)
    now = declaration_of(declared, pip_digests)
    reasons = differences("channel ", before.get("channels"), now["channels"], _name)
    for key, kind in (("dependencies", ""), ("pip", "pip: ")):
        old = before.get(key) if isinstance(before.get(key), dict) else {}
        assert isinstance(old, dict)
        for platform in dict.fromkeys([*old, *now[key]]):
            where = kind if platform == "all" else f"{kind}{platform}: "
            reasons += differences(where, old.get(platform), now[key].get(platform, []), _name)
    reasons += differences("platform ", before.get("platforms"), now["platforms"], _name)
    if before.get("channels") != now["channels"] and not reasons:
        reasons.append("the order of the channels changed")
    for key in ("virtual-packages", "pip-repositories", "category", "pip-files"):
        if before.get(key) != now[key]:
            said = {"pip-files": "what the files of the `pip:` part say"}.get(key, f"`{key}`")
            reasons.append(f"{said} changed")
    return reasons


def missing(packages: Sequence[Locked], declared: Declared, platform: str) -> list[str]:
    """What is declared by name for a platform, and is not among a lock's packages: somebody edited it."""
    # What a requirement of pip's names may be a package of conda's.
    names = {each.name.lower() for each in packages if each.manager == "conda"}
    every = {normalised_name(each.name) for each in packages}
    conda = [_name(line) for line in declared.dependencies[platform] if "/" not in line.rpartition("::")[2]]
    # A marker may say that it is not for this platform.
    pip = [_name(line) for line in declared.pip[platform] if _REQUIREMENT.match(line) and ";" not in line]
    gone = [name for name in conda if name not in names] + [name for name in pip if normalised_name(name) not in every]
    return [f"`{one_line(name)}` is not in it" for name in gone]


def _name(line: str) -> str:
    return re.split(r"[\s=<>!~\[;@]", line.rpartition("::")[2], maxsplit=1)[0].lower()


def is_from_elsewhere(document: Document) -> bool:
    """Whether another tool than mlproj wrote the lock."""
    return _declaration_in(document) is None


def _declaration_in(document: Document) -> dict[str, Any] | None:
    kept = document["metadata"].get("custom_metadata")
    try:
        read = json.loads(kept[_OWN]) if isinstance(kept, dict) else None
    except (KeyError, TypeError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _staleness_by_conda_lock(document: Document, declared: Declared, scratch: Path) -> list[str]:
    """conda-lock's own check of a lock that it, or pixi or another tool, wrote: a digest a platform."""
    kept = document["metadata"].get("content_hash")
    kept = kept if isinstance(kept, dict) else {}
    specification = conda_lock_specification(declared, scratch)
    from conda_lock.content_hash import backwards_compatible_content_hashes

    repository = _virtual_packages(declared, scratch)
    return [
        f"what is declared for {platform} is not what it was made from"
        for platform in platforms(document)
        if platform in specification.dependencies
        and kept.get(platform) not in backwards_compatible_content_hashes(specification, repository, platform)
    ]


def conda_lock_specification(declared: Declared, scratch: Path) -> Any:
    """What is declared, read by conda-lock's own parser. Raises ``EnvironmentBuildError`` where it cannot."""
    from conda_lock.src_parser.environment_yaml import parse_environment_file

    source, names = scratch / "environment.yml", scratch / "names.json"
    # Names on PyPI by names in conda, which it would fetch from the network; it is asked for `pip` alone.
    names.write_text("{}", "utf-8")
    every = list(dict.fromkeys([*declared.platforms, *declared.dependencies]))
    # It tells of every line that a platform leaves out.
    logging.getLogger("conda_lock").setLevel(logging.ERROR)
    read: Any = None
    try:
        for platforms, text in _texts_for_conda_lock(declared, every):
            source.write_text(text, "utf-8")
            with contextlib.redirect_stderr(io.StringIO()):
                part = parse_environment_file(source, platforms, mapping_url=str(names))
            if read is None:
                read = part
            else:
                read.dependencies.update(part.dependencies)
    except Exception as error:  # the parsers of conda and poetry in it raise whatever they meet
        raise EnvironmentBuildError(f"conda-lock cannot read what is declared: {one_line(error)}") from None
    return read


def _texts_for_conda_lock(declared: Declared, every: Sequence[str]) -> list[tuple[list[str], str]]:
    """The environment file; where its ``pip:`` part has what only pip understands, one without that a platform."""
    import yaml

    known = {platform: [line for line in declared.pip[platform] if _REQUIREMENT.match(line)] for platform in every}
    if all(len(known[platform]) == len(declared.pip[platform]) for platform in every):
        return [(list(every), declared.text)]
    made = []
    for platform in every:
        pip: list[Any] = [{"pip": known[platform]}] if known[platform] else []
        text = {"channels": list(declared.channels), "dependencies": [*declared.dependencies[platform], *pip]}
        made.append(([platform], yaml.safe_dump(text, width=10_000)))
    return made


def _virtual_packages(declared: Declared, scratch: Path) -> Any:
    """conda-lock's virtual packages, with what the manifest says instead; they enter its digest of a platform."""
    import yaml
    from conda_lock.virtual_package import (
        DEFAULT_VIRTUAL_PACKAGES_YAML_PATH,
        default_virtual_package_repodata,
        virtual_package_repo_from_specification,
    )

    if not declared.virtual_packages:
        return default_virtual_package_repodata()
    usual = yaml.safe_load(DEFAULT_VIRTUAL_PACKAGES_YAML_PATH.read_text("utf-8"))
    for each in usual["subdirs"].values():
        each["packages"].update(declared.virtual_packages)
    path = scratch / "virtual-packages.yml"
    path.write_text(yaml.safe_dump(usual), "utf-8")
    return virtual_package_repo_from_specification(path)


def document_of(
    packages: Mapping[str, Sequence[Locked]],
    declared: Declared,
    channels: Sequence[str],
    pip_digests: Mapping[str, str],
) -> Document:
    """A lock of these packages, by platform, with what it was made from."""
    declaration = json.dumps(declaration_of(declared, pip_digests), ensure_ascii=False)
    entries = []
    for platform in sorted(packages):
        for each in packages[platform]:
            entry: dict[str, Any] = {
                "name": each.name,
                "version": each.version,
                "manager": each.manager,
                "platform": platform,
                "dependencies": dict(sorted(each.requires.items())),
                "url": each.url,
                "hash": {key: value for key, value in (("md5", each.md5), ("sha256", each.sha256)) if value},
                "category": declared.category,
                "optional": declared.category != "main",
            }
            if each.build:
                entry["build"] = each.build
            entries.append(entry)
    return {
        "version": 1,
        "metadata": {
            "content_hash": {platform: sha256_of_text(declaration) for platform in sorted(packages)},
            "channels": [{"url": without_secrets(channel), "used_env_vars": []} for channel in channels],
            "platforms": sorted(packages),
            "sources": [declared.source] if declared.source is not None else [],
            "custom_metadata": {_OWN: declaration},
        },
        "package": entries,
    }


def by_conda_lock(document: Document, declared: Declared, scratch: Path) -> Document:
    """A lock as conda-lock's own models write it, with its digests of what is declared."""
    from conda_lock.content_hash import compute_content_hashes
    from conda_lock.lockfile.v1.models import Lockfile as WrittenLock
    from conda_lock.lockfile.v2prelim.models import lockfile_v1_to_v2

    specification = conda_lock_specification(declared, scratch)
    hashes = compute_content_hashes(specification, _virtual_packages(declared, scratch))
    metadata = {
        **document["metadata"],
        "content_hash": {platform: hashes[platform] for platform in document["metadata"]["platforms"]},
        # Variables stand for credentials, so these may say which.
        "channels": [each["url"] for each in document["metadata"]["channels"]],
    }
    lock = lockfile_v1_to_v2(WrittenLock.model_validate({**document, "metadata": metadata}))
    lock.alphasort_inplace()
    written: Document = lock.to_v1().dict_for_output()
    return written
