"""What the kinds of environment cost: warm runs, a first conda install, a command in a container.

    python benchmarks/environments.py [--rounds 11] [--installs 5]

A conda channel is made in a folder (a real Python of about 17 MB and small packages), as the tests make theirs. Warm
runs are medians of whole processes, measured in turns. A first install starts with nothing cached, beside py-rattler's
own solve and install of the same packages. The last part needs an engine and an image (`scripts/ci-docker start`).
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

OUR_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "MLPROJ_RUN_ID", "MLPROJ_CACHE", "MLPROJ_METRICS", "CONDARC")
IMAGE = os.environ.get("MLPROJ_TEST_IMAGE", "mlproj-test/python:1")
PACKAGES = ("python", "pear", "click")
MANIFESTS = {
    "virtualenv": "environment: {virtualenv: {}}",
    "conda": f"environment: {{conda: {{channels: [conda-forge], dependencies: [{', '.join(PACKAGES[:1])}]}}}}",
    "conda, activated": "environment: {conda: {channels: [conda-forge], dependencies: [python, pear]}}",
    "docker": f"environment: {{docker: {{image: '{IMAGE}'}}}}",
}
COMMAND = "\nentry_points: {main: {command: [python, -c, pass]}}\n"

_BARE_INSTALL = """
import asyncio, os, sys
from pathlib import Path
from rattler import Gateway, MatchSpec, Platform, VirtualPackage, install, solve
channel, prefix, cache, *packages = sys.argv[1:]

async def main():
    found = await solve(
        [channel], packages, gateway=Gateway(cache_dir=Path(cache) / "repodata"),
        virtual_packages=VirtualPackage.detect(), platforms=[Platform.current(), Platform("noarch")],
    )
    await install(found, target_prefix=prefix, cache_dir=Path(cache) / "packages", show_progress=False)

asyncio.run(main())
os._exit(0)  # its threads crash an interpreter that is taken down at once
"""
_PREPARE = """
import os, sys
from pathlib import Path
from mlproj import environments
from mlproj.manifest.models import Conda, EnvironmentSpec
spec = EnvironmentSpec(conda=Conda(channels=["conda-forge"], dependencies=sys.argv[2:]))
found = environments.prepare(spec, None, Path(sys.argv[1]), environments.Policy(), lambda _: None)
assert not found.reused
os._exit(0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="warm runs of each kind")
    parser.add_argument("--installs", type=int, default=5, help="first installs of each kind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="environments-") as name:
        scratch = Path(name).resolve()
        variables = {key: value for key, value in os.environ.items() if key not in OUR_VARIABLES}
        variables |= {"MLPROJ_HOME": str(scratch / "home"), "CONDARC": str(scratch / "condarc")}
        make_channel(scratch)
        (scratch / "condarc").write_text(f"channel_alias: file://{scratch / 'alias'}\n")
        report_warm_runs(scratch, variables, arguments.rounds)
        report_first_installs(scratch, variables, arguments.installs)
        report_containers(scratch, variables, arguments.rounds)


def make_channel(scratch: Path) -> None:
    tests = runpy.run_path(str(Path(__file__).parents[1] / "tests/environments/conda_channel.py"))
    tests["build_channel"](scratch / "alias" / "conda-forge", scratch / "work")


def project(scratch: Path, kind: str) -> Path:
    folder = scratch / "projects" / kind.replace(", ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlproj.yaml").write_text(MANIFESTS[kind] + COMMAND.replace("python", "python3"))
    return folder


def mlproj(folder: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("mlproj")), "run", "-q", str(folder)]


def taken(argv: Sequence[str], variables: Mapping[str, str], cwd: Path | None = None) -> float:
    started = time.perf_counter()
    subprocess.run(argv, env=variables, cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def in_turns(commands: Mapping[str, Sequence[str]], variables: Mapping[str, str], rounds: int) -> dict[str, float]:
    """The median time of each command; the first turn does not count."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(-1, rounds):
        for name, argv in commands.items():
            took = taken(argv, variables)
            if turn >= 0:
                times[name].append(took)
    return {name: statistics.median(each) for name, each in times.items()}


def report_warm_runs(scratch: Path, variables: Mapping[str, str], rounds: int) -> None:
    kinds = ("virtualenv", "conda", "conda, activated")
    median = in_turns({kind: mlproj(project(scratch, kind)) for kind in kinds}, variables, rounds)
    print(f"{'a warm run of `python -c pass`':40}{'median':>10}{'over virtualenv':>18}")
    for kind in kinds:
        print(f"{kind:40}{median[kind]:8.3f} s{median[kind] - median['virtualenv']:16.3f} s")
    print(f"conda takes {median['conda'] - median['virtualenv']:.3f} s more than virtualenv (bar: 0.050 s)\n")


def report_first_installs(scratch: Path, variables: Mapping[str, str], rounds: int) -> None:
    times: dict[str, list[float]] = {"py-rattler": [], "mlproj": []}
    for turn in range(-1, rounds):
        for name in times if turn % 2 else reversed(times):
            place = scratch / "install"
            (place / "project").mkdir(parents=True)
            if name == "mlproj":
                argv = [sys.executable, "-c", _PREPARE, str(place / "project"), *PACKAGES]
            else:
                channel = f"file://{scratch / 'alias' / 'conda-forge'}"
                argv = [sys.executable, "-c", _BARE_INSTALL, channel, str(place / "prefix"), str(place), *PACKAGES]
            took = taken(argv, {**variables, "MLPROJ_HOME": str(place / "home")}, place)
            shutil.rmtree(place)
            if turn >= 0:
                times[name].append(took)
    median = {name: statistics.median(each) for name, each in times.items()}
    print(f"{'a first install of ' + ', '.join(PACKAGES):40}{'median':>10}")
    for name in times:
        print(f"{name:40}{median[name]:8.3f} s")
    print(f"mlproj takes {median['mlproj'] / median['py-rattler']:.2f} × py-rattler's time (bar: 1.3)\n")


def report_containers(scratch: Path, variables: Mapping[str, str], rounds: int) -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "image", "inspect", IMAGE], capture_output=True, check=False).returncode
    ):
        print(f"a command in a container: left out, there is no engine with {IMAGE}")
        return
    folder = project(scratch, "docker")
    bare = [docker, "run", "--rm", "--init", "--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{folder}:/project"]
    bare += ["--workdir", "/project", IMAGE, "python3", "-c", "pass"]
    median = in_turns({"docker run": bare, "mlproj run": mlproj(folder)}, variables, rounds)
    print(f"{'`python3 -c pass` in a container':40}{'median':>10}")
    for name, value in median.items():
        print(f"{name:40}{value:8.3f} s")
    print(f"mlproj adds {median['mlproj run'] - median['docker run']:.3f} s (bar: 0.300 s)")
    print(json.dumps({name: round(value, 3) for name, value in median.items()}))


if __name__ == "__main__":
    main()
