"""How long a cold environment takes with mlproj, as a multiple of `uv venv && uv pip install` of the same.

Both are measured in turns, each time into new folders, first with uv's own cache empty (everything is
downloaded) and then with it filled (everything is linked). The bar is 1.15.

    python benchmarks/env_build.py [--rounds 5] [--cached-only] [requirement …]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PREPARE = """
import json, sys, time
from pathlib import Path
from mlproj.manifest.models import EnvironmentSpec, Virtualenv
spec = EnvironmentSpec(virtualenv=Virtualenv(dependencies=json.loads(sys.argv[1])))
started = time.perf_counter()
from mlproj import environments
found = environments.prepare(spec, None, Path(sys.argv[2]), environments.Policy(), lambda _: None)
print(json.dumps([time.perf_counter() - started, found.reused]))
found.held.release()
started = time.perf_counter()
environments.prepare(spec, None, Path(sys.argv[2]), environments.Policy(), lambda _: None)
print(json.dumps(time.perf_counter() - started))
"""


def with_uv(requirements: list[str], scratch: Path, variables: dict[str, str]) -> float:
    import uv

    binary = os.fspath(uv.find_uv_bin())
    base = getattr(sys, "_base_executable", sys.executable)
    started = time.perf_counter()
    for argv in (
        [binary, "venv", "--quiet", f"--python={base}", str(scratch / "venv")],
        [binary, "pip", "install", "--quiet", f"--python={scratch / 'venv'}", "--", *requirements],
    ):
        subprocess.run(argv, cwd=scratch, env=variables, check=True)
    return time.perf_counter() - started


def with_mlproj(requirements: list[str], scratch: Path, variables: dict[str, str]) -> tuple[float, float]:
    output = subprocess.run(
        [sys.executable, "-c", _PREPARE, json.dumps(requirements), str(scratch)],
        cwd=scratch,
        env={**variables, "MLPROJ_HOME": str(scratch / "home"), "MLPROJ_CACHE": str(scratch / "cache")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    (cold, reused), warm = json.loads(output[0]), json.loads(output[1])
    assert not reused
    return cold, warm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", nargs="*", default=["scikit-learn>=1.5", "pandas>=2", "matplotlib"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cached-only", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for filled in [True] if arguments.cached_only else [False, True]:
            uv_times, mlproj_times, warm_times = [], [], []
            for turn in range(-1 if filled else 0, arguments.rounds):
                times = {}
                # Whoever comes second finds the machine's own caches filled, so they take turns at that too.
                for who in ("uv", "mlproj") if turn % 2 else ("mlproj", "uv"):
                    scratch = Path(tempfile.mkdtemp(dir=folder))
                    cache = Path(folder) / "uv-cache" if filled else scratch / "uv-cache"
                    variables = {**os.environ, "UV_CACHE_DIR": str(cache)}
                    # An installed mlproj has its bytecode.
                    variables.pop("PYTHONDONTWRITEBYTECODE", None)
                    variables["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
                    if who == "uv":
                        times[who] = with_uv(arguments.requirements, scratch, variables)
                    else:
                        times[who], warm = with_mlproj(arguments.requirements, scratch, variables)
                if turn >= 0:
                    uv_times.append(times["uv"])
                    mlproj_times.append(times["mlproj"])
                    warm_times.append(warm)
            uv_time, mlproj_time = statistics.median(uv_times), statistics.median(mlproj_times)
            state, warm_time = "filled" if filled else "empty ", statistics.median(warm_times) * 1000
            print(
                f"uv's cache {state}:  uv {uv_time:6.3f} s   mlproj {mlproj_time:6.3f} s"
                f"   ratio {mlproj_time / uv_time:.2f}   (warm {warm_time:.2f} ms)"
            )


if __name__ == "__main__":
    main()
