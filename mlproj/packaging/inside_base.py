"""Run in an image's build by the Python of the image that is built on: puts mlproj into it, and makes its user.

It stands alone: mlproj is not installed there yet. ``uv`` lies beside it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# An owner of files and processes who is nobody in particular, with a name for what asks for one.
USER = 1000
HOME = Path("/home/mlproj")
# Where a volume for the records of runs may be put: a new one has the owner of the folder that it covers.
RUNS = Path("/runs")
OWN = Path("/opt/mlproj")
# What is to be copied into the image, each into a layer of its own: folders of the same names as in the image. Copied
# so, all in a layer has the time and the owner that it has here; a step leaves its own time on the folders around.
MADE, ENVIRONMENTS_MADE = Path("/mlproj-made"), Path("/mlproj-environments")
_UV = ("--quiet", "--no-config", "--no-cache", "--offline")


def main() -> None:
    """``inside_base.py WHEELS SECONDS``."""
    wheels, seconds = Path(sys.argv[1]), int(sys.argv[2])
    install(wheels, seconds)
    own = Path(f"{MADE}{OWN}")
    own.parent.mkdir(parents=True)
    OWN.rename(own)
    OWN.symlink_to(own)  # for the step that comes next
    add_user()
    for folder in (Path(f"{MADE}{HOME}/runs"), Path(f"{MADE}{RUNS}"), Path(f"{ENVIRONMENTS_MADE}{HOME}"), HOME):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, USER, USER)
    os.chown(f"{MADE}{HOME}", USER, USER)
    settle([MADE, ENVIRONMENTS_MADE], seconds)


def install(wheels: Path, seconds: int) -> None:
    """Put mlproj into a virtual environment of its own, compiled so that it is the same every time."""
    uv = Path(__file__).with_name("uv")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(seconds), "PYC_INVALIDATION_MODE": "UNCHECKED_HASH"}
    subprocess.run([uv, "venv", *_UV, "--python", sys.executable, OWN], env=environment, check=True)
    options = ["--no-index", "--no-deps", "--link-mode=copy", "--compile-bytecode", f"--python={OWN}"]
    files = sorted(wheels.glob("*.whl"))
    subprocess.run([uv, "pip", "install", *_UV, *options, "--", *files], env=environment, check=True)
    forget_when_installed(OWN)


def forget_when_installed(folder: Path) -> None:
    """Remove what uv keeps of when a wheel was written, which it asks itself when it installs another one there."""
    for path in folder.glob("lib*/python*/site-packages/*.dist-info/uv_cache.json"):
        path.unlink()
        record = path.with_name("RECORD")
        lines = record.read_text("utf-8").splitlines(keepends=True)
        kept = (line for line in lines if not line.startswith(f"{path.parent.name}/{path.name},"))
        record.write_text("".join(kept), "utf-8")


def add_user() -> None:
    """Have the user be known by name, unless the image knows one of its number."""
    for name, line in (("group", f"mlproj:x:{USER}:"), ("passwd", f"mlproj:x:{USER}:{USER}::{HOME}:/bin/sh")):
        path, made = Path("/etc", name), Path(f"{MADE}/etc", name)
        known = path.read_text("utf-8", "surrogateescape") if path.exists() else ""
        if any(each.split(":")[2:3] == [str(USER)] for each in known.splitlines()):
            continue
        ended = known if known.endswith("\n") or not known else f"{known}\n"
        made.parent.mkdir(exist_ok=True)
        for place in (path, made):
            place.write_text(f"{ended}{line}\n", "utf-8", "surrogateescape")


def settle(places: Iterable[Path], seconds: int) -> None:
    """Give everything below ``places``, and them, one time."""
    for place in places:
        for root, folders, files in os.walk(place, topdown=False):
            for name in (*files, *folders):
                _give_time(Path(root, name), seconds)
        _give_time(place, seconds)


def _give_time(path: Path, seconds: int) -> None:
    with contextlib.suppress(OSError):
        os.utime(path, (seconds, seconds), follow_symlinks=False)


if __name__ == "__main__":
    main()
