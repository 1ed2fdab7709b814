"""A conda channel in a folder: a real Python made from the interpreter at hand, and small packages around it.

It is built once and kept beside pytest's cache.
"""

from __future__ import annotations

import asyncio
import compileall
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

PYTHON = ".".join(map(str, sys.version_info[:3]))
PLACEHOLDER = "/opt/" + "_placeholder" * 20 + "_"
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64")
_LEFT_OUT = (
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "site-packages",
    "__pycache__",
)


def this_platform() -> str:
    from rattler import Subdir

    return str(Subdir.current())


def write_package(
    channel: Path,
    name: str,
    version: str,
    files: Mapping[str, bytes | Path] | None = None,
    *,
    subdir: str = "noarch",
    depends: tuple[str, ...] = (),
    entry_points: tuple[str, ...] = (),
    python: bool = False,
    build: str = "0",
    executable: tuple[str, ...] = (),
    **index: Any,
) -> Path:
    """Write a `.conda` file. ``python``: a noarch Python package, whose paths begin with ``site-packages``."""
    import zstandard

    paths, package = [], io.BytesIO()
    with tarfile.open(fileobj=package, mode="w") as archive:
        for path, content in sorted((files or {}).items()):
            entry: dict[str, Any] = {"_path": path, "path_type": "hardlink"}
            data = content if isinstance(content, bytes) else b""
            info = tarfile.TarInfo(path)
            info.mode = 0o755 if path in executable else 0o644
            info.mtime = 1_700_000_000
            if isinstance(content, Path) and content.is_symlink():
                entry["path_type"], info.type, info.linkname = "softlink", tarfile.SYMTYPE, str(content.readlink())
                data = b""
            elif isinstance(content, Path):
                data = content.read_bytes()
                info.mode = content.stat().st_mode & 0o755
            if PLACEHOLDER.encode() in data:
                entry["prefix_placeholder"] = PLACEHOLDER
                entry["file_mode"] = "binary" if b"\0" in data else "text"
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            entry.update(sha256=hashlib.sha256(data).hexdigest(), size_in_bytes=len(data))
            paths.append(entry)
    about: dict[str, Any] = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "subdir": subdir,
        "depends": list(depends),
        "timestamp": 1_700_000_000_000,
        "license": "MIT",
        **index,
    }
    if subdir == "noarch":
        about["noarch"] = "python" if python else "generic"
    info_files = {"index.json": about, "paths.json": {"paths": paths, "paths_version": 1}, "about.json": {}}
    if python:
        link = {"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1}
        info_files["link.json"] = link
    information = io.BytesIO()
    with tarfile.open(fileobj=information, mode="w") as archive:
        for path, value in info_files.items():
            data = json.dumps(value).encode()
            info = tarfile.TarInfo(f"info/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    full = f"{name}-{version}-{build}"
    target = channel / subdir / f"{full}.conda"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(f"pkg-{full}.tar.zst", zstandard.compress(package.getvalue(), 3))
        archive.writestr(f"info-{full}.tar.zst", zstandard.compress(information.getvalue(), 3))
    return target


def write_module(
    channel: Path, name: str, version: str, depends: tuple[str, ...] = (), files: Mapping[str, bytes] | None = None
) -> Path:
    """Write a noarch Python package of one module ``name``, and a command of that name which prints both."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    return write_package(
        channel,
        name,
        version,
        {
            f"site-packages/{name}.py": f"def main():\n    print('{name} {version}')\n".encode(),
            f"site-packages/{name}-{version}.dist-info/METADATA": metadata,
            f"site-packages/{name}-{version}.dist-info/INSTALLER": b"conda\n",
            **(files or {}),
        },
        depends=("python", *depends),
        entry_points=(f"{name} = {name}:main",),
        python=True,
    )


def index_channel(channel: Path) -> None:
    from rattler.index import index_fs

    for subdir in ("noarch", this_platform()):
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    # Without shards, which a `file://` channel has no use for.
    asyncio.run(index_fs(channel, write_zst=False, write_shards=False, force=True))


def build_channel(channel: Path, work: Path) -> None:
    """Write the channel and its index into ``channel``; ``work`` is an empty folder that may be thrown away."""
    write_python(channel, work)
    for platform in PLATFORMS:
        if platform != this_platform():
            # Never installed here: locks for other platforms are made from it.
            write_package(channel, "python", PYTHON, subdir=platform, depends=_system_of(platform))
    write_package(channel, "pip", "24.0", depends=("python",), python=True)
    write_module(channel, "apple", "1.0")
    write_module(channel, "apple", "2.0")
    write_module(channel, "pear", "1.0", ("apple >=1",), _activated("pear"))
    write_module(channel, "medlar", "1.0", ("apple <2",))
    write_module(channel, "quince", "1.0", ("apple >=2",))
    write_module(channel, "cherry", "1.0", ("__cuda >=12",))
    write_module(channel, "damson", "1.0", (), {"site-packages/damson.pth": b"import sys; sys.damson = 'ripe'\n"})
    write_package(
        channel, "plum", "1.0", {"bin/.plum-post-link.sh": b'touch "$PREFIX/plum-was-here"\n', "share/plum": b"plum\n"}
    )
    write_package(
        channel,
        "fig",
        "1.0",
        {
            "bin/fig": f"#!/bin/sh\necho {PLACEHOLDER}/share\n".encode(),
            "share/fig.bin": b"\x7fFIG\0" + PLACEHOLDER.encode() + b"/share/fig\0" + b"\1" * 8,
        },
        executable=("bin/fig",),
        subdir=this_platform(),
    )
    write_package(channel, "grape", "1.0", subdir="osx-64")
    write_package(channel, "melon", "1.0", subdir="linux-64", depends=("__glibc >=2.17",))
    write_installed(channel, "click")
    index_channel(channel)


def _system_of(platform: str) -> tuple[str, ...]:
    return ("__osx >=11.0",) if platform.startswith("osx") else ("__glibc >=2.17",)


def _activated(name: str) -> dict[str, bytes]:
    """A script and variables for activation. In a noarch Python package what is not in `site-packages` stays as it is."""
    script = (
        f'export {name.upper()}_HOME="$CONDA_PREFIX/share/{name}"\nexport PATH="$CONDA_PREFIX/share/{name}/bin:$PATH"\n'
    )
    return {
        f"etc/conda/activate.d/{name}.sh": script.encode(),
        f"etc/conda/deactivate.d/{name}.sh": f"unset {name.upper()}_HOME\n".encode(),
        f"etc/conda/env_vars.d/{name}.json": json.dumps({f"{name.upper()}_COLOUR": "green"}).encode(),
    }


def write_installed(channel: Path, name: str) -> Path:
    """Write a noarch package of a pure Python distribution that is installed where the tests run."""
    distribution = importlib.metadata.distribution(name)
    files: dict[str, bytes | Path] = {}
    for path in distribution.files or []:
        if path.parts[0] not in ("..", "bin") and "__pycache__" not in path.parts:
            files[f"site-packages/{path}"] = Path(str(distribution.locate_file(path)))
    return write_package(channel, name, distribution.version, files, depends=("python >=3.10",), python=True)


def write_python(channel: Path, work: Path) -> Path:
    """Write a package of the running Python, without its tests, its libraries found where it is unpacked."""
    base, minor = Path(sys.base_prefix), "python{}.{}".format(*sys.version_info)
    prefix = work / "prefix"
    (prefix / "bin").mkdir(parents=True)
    shutil.copyfile(Path(os.path.realpath(sys.executable)), prefix / "bin" / minor)
    library = base / "lib" / minor
    shutil.copytree(
        library,
        prefix / "lib" / minor,
        symlinks=False,
        ignore_dangling_symlinks=True,
        ignore=lambda _, names: [name for name in names if name in _LEFT_OUT or name.startswith("config-")],
    )
    shared = [path for path in (base / "lib").glob(f"lib{minor}*") if path.suffix != ".a"]
    for path in shared:
        shutil.copyfile(path, prefix / "lib" / path.name)
    for path in [prefix / "bin" / minor, *prefix.rglob("*.so*")]:
        path.chmod(0o755)
        if shutil.which("strip"):
            subprocess.run(["strip", "-g", str(path)], check=False, capture_output=True)
        _find_libraries_nearby(path, base)
    for path in prefix.rglob("_sysconfigdata*.py"):
        path.write_bytes(path.read_bytes().replace(os.fsencode(base) + b"/", PLACEHOLDER.encode() + b"/"))
    (prefix / "lib" / minor / "site-packages").mkdir()
    (prefix / "lib" / minor / "site-packages" / "README.txt").write_text("Packages go here.\n")
    compileall.compile_dir(
        prefix / "lib", quiet=2, workers=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH, stripdir=str(prefix)
    )
    for path in prefix.rglob("*.pyc"):
        if PLACEHOLDER.encode() in path.read_bytes():
            # Another length of it would be no bytecode any more.
            path.unlink()
    for name in ("python", "python3"):
        (prefix / "bin" / name).symlink_to(minor)
    files: dict[str, bytes | Path] = {
        str(path.relative_to(prefix)): path for path in prefix.rglob("*") if path.is_symlink() or path.is_file()
    }
    return write_package(channel, "python", PYTHON, files, subdir=this_platform(), depends=_system_of(this_platform()))


def _find_libraries_nearby(path: Path, base: Path) -> None:
    """Have a program look for its libraries beside itself: in the place of the longer path that it was built with."""
    built, nearby = os.fsencode(base / "lib") + b"\0", b"$ORIGIN/../lib\0"
    content = path.read_bytes()
    if len(built) >= len(nearby) and path.parent.name == "bin":
        path.write_bytes(content.replace(built, nearby.ljust(len(built), b"\0")))


@pytest.fixture(scope="session")
def conda_channel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the channel alias: it holds the channel `conda-forge`."""
    from mlproj.locks import exclusive

    if "deb_system" in sysconfig.get_scheme_names():
        answer = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        answer("Debian's own Python looks for packages elsewhere than conda's: run the tests by another one")
    made_of = [Path(__file__).read_text(), sys.version, sys.base_prefix, importlib.metadata.version("click")]
    digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]
    kept = getattr(request.config, "cache", None)
    # Of all workers of one session: each has a folder of its own in that of the session.
    root = kept.mkdir("conda-channel") if kept is not None else tmp_path_factory.getbasetemp().parent
    alias = Path(root) / digest
    with exclusive(Path(root) / f"{digest}.lock"):
        if not alias.is_dir():
            for old in Path(root).glob("*"):
                # Another session may be at work with that of another Python.
                if old.is_dir() and old.stat().st_mtime < time.time() - 7 * 86400:
                    shutil.rmtree(old, ignore_errors=True)
            work = tmp_path_factory.mktemp("conda-channel")
            build_channel(work / "alias" / "conda-forge", work / "python")
            shutil.copytree(work / "alias", alias.with_name(f"{digest}.part"), dirs_exist_ok=True)
            alias.with_name(f"{digest}.part").rename(alias)
    return alias
