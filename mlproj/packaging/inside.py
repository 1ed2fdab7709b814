"""Run in an image's build, by the mlproj that is in it: builds the environments of its project for its runs to find."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mlproj import environments
from mlproj.environments import Environment, Policy, builds
from mlproj.files import dump_json
from mlproj.locations import cache_folder
from mlproj.manifest.models import EnvironmentSpec, manifest_from
from mlproj.packaging.inside_base import ENVIRONMENTS_MADE, forget_when_installed, settle

ENVIRONMENTS = ".mlpack/environments.json"


def main() -> None:
    """``python -m mlproj.packaging.inside PROJECT SECONDS``: build, keep what runs need, give all of it one time."""
    folder, seconds, cache = Path(sys.argv[1]), int(sys.argv[2]), cache_folder()
    os.environ |= {"UV_CACHE_DIR": str(cache / "uv"), "VIRTUALENV_OVERRIDE_APP_DATA": str(cache / "virtualenv")}
    declared = manifest_from(json.loads((folder / ENVIRONMENTS).read_bytes()))
    wanted: list[tuple[str | None, EnvironmentSpec]] = list(declared.environments.items())
    if isinstance(declared.environment, EnvironmentSpec):
        wanted.append((None, declared.environment))
    for name, spec in wanted:
        built = environments.prepare(spec, name, folder, Policy(offline=True), _say)
        if built.held is not None:
            built.held.release()
        _finish(built, seconds)
    for left in ("conda/packages", "scratch", "logs", "uv", "virtualenv"):
        shutil.rmtree(cache / left, ignore_errors=True)
    made = Path(f"{ENVIRONMENTS_MADE}{cache}")
    cache.rename(made)
    settle([ENVIRONMENTS_MADE], seconds)


def _say(phrase: str) -> None:
    sys.stdout.write(f"{phrase}\n")
    sys.stdout.flush()


def _finish(built: Environment, seconds: int) -> None:
    """Compile what was installed, as the user of the image may not; drop what differs from build to build."""
    if built.folder is None:
        return
    forget_when_installed(built.folder)
    if built.interpreter is not None:
        mode = ["--invalidation-mode", "unchecked-hash"]
        argv = [built.interpreter, "-B", "-m", "compileall", "-q", "-f", "-j0", *mode, str(built.folder / "lib")]
        subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    record = json.loads((built.folder / builds.RECORD).read_bytes())
    (built.folder / builds.RECORD).write_text(dump_json({**record, "created_at": seconds}), "utf-8")
    with contextlib.suppress(OSError):
        os.truncate(built.folder / "build.log", 0)


if __name__ == "__main__":
    main()
