"""The ``pip:`` part of a conda environment: uv resolves it beside what conda provides, and installs it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlproj.environments import lockfile as pylock
from mlproj.environments.conda_on_pypi import NAMES_ON_PYPI
from mlproj.environments.credentials import credentials_in, with_credentials, without_credentials
from mlproj.environments.environment import Report, own_python
from mlproj.environments.prefixes.lockfile import Locked
from mlproj.environments.requirements import Declared as PipPart
from mlproj.environments.requirements import normalised_name, package_name
from mlproj.environments.uv import ToolLog, reporting_downloads, run_uv, tool_failure
from mlproj.environments.vendored import wheels_in
from mlproj.environments.wheels import check_carried
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line, plural, printable

# uv's names of conda's platforms. The C library of a Linux is the one of its virtual package.
_PLATFORMS = {
    "linux-64": "x86_64-manylinux",
    "linux-aarch64": "aarch64-manylinux",
    "linux-ppc64le": "powerpc64le-unknown-linux-gnu",
    "osx-64": "x86_64-apple-darwin",
    "osx-arm64": "aarch64-apple-darwin",
    "win-64": "x86_64-pc-windows-msvc",
}
_NEWEST_MANYLINUX = 40


def provided_by_conda(packages: Iterable[Locked], part: PipPart) -> list[str]:
    """The names on PyPI of conda's Python packages, but for those that the ``pip:`` part asks for itself."""
    asked = {package_name(line) for line in part.requirements}
    names = {
        normalised_name(NAMES_ON_PYPI.get(each.name, each.name))
        for each in packages
        if each.manager == "conda" and ("python" in each.requires or "python_abi" in each.requires)
    }
    return sorted(names - asked)


def local_folders(part: PipPart, folder: Path) -> dict[str, bool]:
    """The project's folders and files that the ``pip:`` part installs, by path, with whether they are editable."""
    places: dict[str, bool] = {}
    for line in part.requirements:
        editable = line.startswith("-e ")
        path = re.sub(r"\[[^\]]*\]$", "", line.removeprefix("-e ").strip().partition(" ;")[0])
        if "://" not in path and (editable or re.match(r"\.{0,2}/|\.{1,2}$", path)):
            places[os.path.relpath(folder / path, folder)] = editable
    return places


def resolve_pip(
    part: PipPart,
    *,
    platform: str,
    where: str,
    python: str,
    glibc: str | None,
    provided: Sequence[str],
    preferred: Sequence[Locked],
    arguments: Sequence[str],
    folder: Path,
    scratch: Path,
    cache: Path,
    env: Mapping[str, str],
    report: Report,
) -> list[Locked]:
    """The exact files that the ``pip:`` part comes to on a platform, with conda's ``python`` and ``provided`` packages.

    Folders of the project are not among them, only what they need. Raises ``EnvironmentBuildError``.
    """
    work = scratch / f"pip-{platform}"
    work.mkdir(exist_ok=True)
    output, source, excluded = work / "pylock.toml", work / "requirements.in", work / "provided.txt"
    source.write_text("".join(f"{line}\n" for line in part.lines), "utf-8")
    excluded.write_text("".join(f"{name}\n" for name in provided), "utf-8")
    if preferred:
        output.write_text(pylock.dump_lock(_as_pylock(preferred)), "utf-8")
    log = ToolLog(scratch / "resolve.log")
    report(f"resolving {plural(len(part.requirements), 'requirement')} of the pip part{where}")
    status = run_uv(
        [
            "pip",
            "compile",
            "--quiet",
            "--format=pylock.toml",
            "--no-header",
            # For what has to be built to know what it needs; the environment itself is not there yet.
            f"--python={own_python()[0]}",
            f"--python-version={python}",
            f"--python-platform={_uv_platform(platform, glibc)}",
            f"--excludes={excluded}",
            f"--output-file={output}",
            *arguments,
            *part.arguments,
            "--",
            str(source),
            *map(str, part.sources),
        ],
        cwd=folder,
        env=env,
        log=log,
        on_line=reporting_downloads(report),
    )
    if status != 0:
        raise tool_failure(f"the pip part could not be resolved for {platform}", status, log, cache)
    document = pylock.relative_lock(pylock.parse_lock(output.read_text("utf-8")), output.parent, folder)
    document = pylock.only_hashed(document, part.hashes, all_hashed=part.all_hashed)
    return [_locked(package, folder) for package in document.get("packages", []) if "directory" not in package]


def _uv_platform(platform: str, glibc: str | None) -> str:
    name = _PLATFORMS[platform]
    if not name.endswith("-manylinux"):
        return name
    minor = re.fullmatch(r"2\.(\d+)(\..*)?", glibc or "")
    return f"{name}_2_{max(17, min(int(minor[1]), _NEWEST_MANYLINUX)) if minor else 28}"


def _locked(package: dict[str, Any], folder: Path) -> Locked:
    """One package as conda-lock has it: one file, the one that uv chose for the platform."""
    name = normalised_name(package["name"])
    if "vcs" in package:
        commit, url = package["vcs"]["commit-id"], package["vcs"].get("url", "")
        subdirectory = package["vcs"].get("subdirectory")
        whole = f"git+{without_credentials(url)}@{commit}" + (f"#subdirectory={subdirectory}" if subdirectory else "")
        return Locked("pip", name, package.get("version", "0.0.0"), "", whole, commit, None, {})
    files = [*package.get("wheels", []), *filter(None, [package.get("archive"), package.get("sdist")])]
    if not files:
        raise EnvironmentBuildError(f"there is no file of {one_line(name)} for the lock to name")
    chosen = files[0]
    url = chosen["url"] if "url" in chosen else _as_url(chosen["path"], folder)
    return Locked(
        manager="pip",
        name=name,
        version=package.get("version", "0.0.0"),
        build="",
        url=without_credentials(url),
        sha256=chosen.get("hashes", {}).get("sha256"),
        md5=None,
        requires={},
    )


def _as_url(path: str, folder: Path) -> str:
    """A file in the project stays relative to it; another one has but its place on this machine."""
    absolute = Path(os.path.normpath(folder / path))
    return path if absolute.is_relative_to(folder) else absolute.as_uri()


def _as_pylock(packages: Sequence[Locked]) -> pylock.Document:
    """A lock of these versions for uv to start from."""
    listed = [
        {
            "name": each.name,
            "version": each.version,
            "wheels" if each.file_name.endswith(".whl") else "sdist": _file(each),
        }
        for each in packages
        if each.url.startswith(("http://", "https://", "file://")) and each.sha256
    ]
    return {"lock-version": "1.0", "created-by": "mlproj", "packages": listed}


def _file(each: Locked) -> Any:
    file = {"url": each.url, "hashes": {"sha256": each.sha256}}
    return [file] if each.file_name.endswith(".whl") else file


def install_pip(
    packages: Sequence[Locked],
    part: PipPart,
    prefix: Path,
    *,
    folder: Path,
    scratch: Path,
    cache: Path,
    env: Mapping[str, str],
    report: Report,
) -> None:
    """Have uv install these very files into a prefix, and the project's folders. Raises ``EnvironmentBuildError``."""
    log = ToolLog(scratch / "install.log")
    folders = local_folders(part, folder)
    lines = []
    for each in packages:
        file = each.url
        if "://" not in file:
            file = Path(os.path.normpath(folder / file)).as_uri()
        pinned = "" if each.url.startswith("git+") or each.sha256 is None else f" --hash=sha256:{each.sha256}"
        lines.append((f"{each.name}=={each.version}{pinned}", f"{each.name} @ {file}{pinned}"))
    report(f"installing {plural(len(lines) + len(folders), 'package')} of the pip part")
    own = [f"{'-e ' if editable else ''}{(folder / path).resolve()}" for path, editable in sorted(folders.items())]
    credentials = {**credentials_in([line for _, line in lines]), **part.credentials}
    status = 1
    # By name first, since that is how uv has found them in its cache; an index may be out of reach, or have other
    # files by now: the lock says where its own are.
    by_name = [plain if "git+" not in whole else whole for plain, whole in lines]
    attempts: list[tuple[list[str], list[str]]] = [([], by_name), ([], [whole for _, whole in lines])]
    if (place := wheels_in(folder)) is not None:
        # Those that the project carries with it, and nothing else where those are enough.
        attempts.insert(
            0, (["--offline"], [_carried(each, place) or whole for each, (_, whole) in zip(packages, lines)])
        )
    for arguments, attempt in attempts:
        listing = scratch / "pip-part.txt"
        text = "".join(f"{line}\n" for line in [*part.index_options, *attempt])
        listing.write_text(with_credentials(text, credentials), "utf-8")
        arguments = [*arguments, "--no-deps", f"--requirements={listing}"]
        status = _install(prefix, arguments, folder, env, log, report) if lines else 0
        if status == 0 or any("Failed to build" in line for line in log.last_lines):
            break
        if place is not None:
            hashes = {unquote(each.file_name): each.sha256 for each in packages if each.sha256 is not None}
            check_carried(hashes, place)
    if status == 0 and own:
        listing = scratch / "pip-folders.txt"
        listing.write_text("".join(f"{line}\n" for line in own), "utf-8")
        # uv takes a folder's wheel from its cache for as long as its pyproject.toml has not changed.
        arguments = ["--no-deps", "--reinstall", "--no-cache", f"--requirements={listing}"]
        status = _install(prefix, arguments, folder, env, log, report)
    if status != 0:
        raise tool_failure("the pip part could not be installed", status, log, cache)
    _refuse_conflicts(packages, prefix, folder, scratch, env)


def _carried(package: Locked, place: Path) -> str | None:
    path = place / unquote(package.file_name)
    if not path.is_file() or package.sha256 is None:
        return None
    return f"{package.name} @ {path.as_uri()} --hash=sha256:{package.sha256}"


def _install(
    prefix: Path, arguments: Sequence[str], folder: Path, env: Mapping[str, str], log: ToolLog, report: Report
) -> int:
    return run_uv(
        ["pip", "install", "--break-system-packages", f"--python={_python(prefix)}", *arguments],
        cwd=folder,
        env=env,
        log=log,
        on_line=reporting_downloads(report),
    )


def _python(prefix: Path) -> Path:
    return prefix / "bin" / "python"


def _refuse_conflicts(
    packages: Sequence[Locked], prefix: Path, folder: Path, scratch: Path, env: Mapping[str, str]
) -> None:
    """Refuse a package of pip's that needs another version of what conda provides: they were solved one by one."""
    log = ToolLog(scratch / "check.log")
    lines: list[str] = []
    status = run_uv(["pip", "check", f"--python={_python(prefix)}"], cwd=folder, env=env, log=log, on_line=lines.append)
    names = {each.name for each in packages}
    found = [line for line in lines if (said := re.match(r"The package `([^`]+)`", line)) and said[1] in names]
    if status != 0 and found:
        listed = "\n".join(f"  {printable(line)}" for line in found)
        raise EnvironmentBuildError(
            f"what the pip part installs does not go with what conda provides:\n{listed}",
            hint="name a version of it in either part that suits both",
        )
