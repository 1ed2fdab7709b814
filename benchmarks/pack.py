"""How fast `mlproj pack` is beside the zstd program, which does but one part of its work: `zstd -3` of the same files.

    python benchmarks/pack.py [--megabytes 1000] [--rounds 3]

A project of --megabytes is made: half of it of numbers as text, which zstd makes smaller, half of it of random bytes,
in files of 8 MB and a thousand small ones. `zstd -3` is handed a tar of it that is made before, with one thread, as it
has by default, and with as many as there are processors (`-T0`). Times are medians of whole processes; the ratio is
that of the speeds.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MANIFEST = "name: large\nenvironment: {system: {}}\nentry_points: {main: {command: [python, train.py]}}\n"
MEGABYTE = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="the size of the project")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("zstd") is None:
        sys.exit("there is no zstd program to compare with")
    with tempfile.TemporaryDirectory(prefix="pack-") as name:
        scratch = Path(name)
        project, archive = scratch / "project", scratch / "project.tar"
        make_project(project, arguments.megabytes)
        subprocess.run(["tar", "-cf", archive, "-C", project, "."], check=True)
        size = archive.stat().st_size
        pack = [sys.executable, "-m", "mlproj", "pack", str(project), "-q", "-o", str(scratch / "it.mlpack.tar.zst")]
        environment = {**os.environ, "MLPROJ_HOME": str(scratch / "home")}
        commands = {
            "mlproj pack": pack,
            "zstd -3": ["zstd", "-3", "-q", "-f", str(archive), "-o", str(scratch / "one.zst")],
            "zstd -3 -T0": ["zstd", "-3", "-T0", "-q", "-f", str(archive), "-o", str(scratch / "all.zst")],
        }
        times = {what: timed(command, environment, arguments.rounds) for what, command in commands.items()}
        packed, plain = (scratch / "it.mlpack.tar.zst").stat().st_size, (scratch / "one.zst").stat().st_size
    print(f"{size / MEGABYTE:.0f} MB on {os.cpu_count()} processors; packed {packed / MEGABYTE:.0f} MB, ", end="")
    print(f"zstd -3 {plain / MEGABYTE:.0f} MB")
    for what, seconds in times.items():
        print(f"{what:12} {seconds:6.2f} s  {size / MEGABYTE / seconds:6.0f} MB/s")
    for what in ("zstd -3", "zstd -3 -T0"):
        print(f"mlproj pack has {times[what] / times['mlproj pack']:.2f} of the speed of {what}")


def make_project(folder: Path, megabytes: int) -> None:
    chance = random.Random(7)
    folder.mkdir()
    (folder / "mlproj.yaml").write_text(MANIFEST)
    for number in range(1000):
        (folder / f"small-{number}.py").write_text(f"print({number})\n" * 20)
    numbers = "".join(
        f"{chance.random():.6f},{chance.randrange(1000)},name-{chance.randrange(50)}\n" for _ in range(400_000)
    )
    text = numbers.encode()[: 8 * MEGABYTE]
    for number in range(max(1, megabytes // 16)):
        turned = number * 4096 % len(text)
        (folder / f"data-{number}.csv").write_bytes(text[turned:] + text[:turned])
        (folder / f"model-{number}.bin").write_bytes(chance.randbytes(8 * MEGABYTE))


def timed(command: Sequence[str], environment: dict[str, str], rounds: int) -> float:
    def once() -> float:
        begun = time.perf_counter()
        subprocess.run(command, env=environment, check=True)
        return time.perf_counter() - begun

    once()
    return statistics.median(once() for _ in range(rounds))


if __name__ == "__main__":
    main()
