"""What reproducing adds to a run, and what taking a finished run for another costs, as whole processes.

    python benchmarks/reproduce.py [--rounds 9]

A trivial script in a git repository, in a virtualenv that is built: `mlproj run`, `mlproj reproduce` of that run, and
`mlproj run --reuse` of it, measured in turns; and a hermetic run beside one that is not.
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

MANIFEST = """\
name: bench
environment: {virtualenv: {dependencies: []}}
entry_points:
  main:
    command: [python, train.py]
    outputs: {model: model.txt, metrics: {path: metrics.json, kind: metrics}}
"""
TRAIN = "open('model.txt', 'w').write('x' * 1000)\nopen('metrics.json', 'w').write('{\"rmse\": 1.5}')\n"


def timed(*words: str, folder: Path, variables: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mlproj", *words], cwd=folder, env=variables, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        (folder / "mlproj.yaml").write_text(MANIFEST)
        (folder / "train.py").write_text(TRAIN)
        (folder / ".gitignore").write_text("model.txt\nmetrics.json\n")
        git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder)]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
            subprocess.run([*git, *words], check=True)
        variables = {**os.environ, "MLPROJ_HOME": f"{scratch}/home"}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)

        def once(*words: str) -> float:
            return timed(*words, folder=folder, variables=variables)

        once("run", ".")
        shown = subprocess.run(
            [sys.executable, "-m", "mlproj", "show", "--json"],
            cwd=folder,
            env=variables,
            check=True,
            capture_output=True,
        )
        first = json.loads(shown.stdout)["id"]
        once("reproduce", first)
        plain, again, reused, hermetic = [], [], [], []
        for _ in range(rounds):
            plain.append(once("run", "."))
            again.append(once("reproduce", first))
            reused.append(once("run", ".", "--reuse"))
            hermetic.append(once("run", ".", "--hermetic"))
        run, reproduced, reuse, sealed = map(statistics.median, (plain, again, reused, hermetic))
        print(f"warm `mlproj run`                       {run:.3f} s")
        print(f"`mlproj reproduce` of it                {reproduced:.3f} s   adds {reproduced - run:.3f} s (bar 0.5)")
        print(f"`mlproj run --reuse`, a hit             {reuse:.3f} s   (bar 0.3)")
        print(f"`mlproj run --hermetic`                 {sealed:.3f} s   adds {sealed - run:.3f} s")


if __name__ == "__main__":
    main()
