"""What it costs to push a run of many small files: beside fsspec's plain `put` of the same folder, to the same server.

    python benchmarks/sharing.py [--files 10000] [--size 1000] [--rounds 3]

The server is moto's, which speaks S3's protocol on loopback; each round puts into an empty bucket of its own, the two
in turns, as whole processes. It needs the test dependencies: pip install -e . --group test.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlproj.files import sha256_of_file
from mlproj.runs.record import FileRecord, OutputRecord, RunRecord
from mlproj.runs.store import begin, finish, new_run_id, open_store
from mlproj.runs.times import now_text

PLAIN_PUT = "import sys, s3fs; s3fs.S3FileSystem().put(sys.argv[1], sys.argv[2], recursive=True)"
MAKE_BUCKET = "import sys, s3fs; s3fs.S3FileSystem().mkdir(sys.argv[1])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="files of the run")
    parser.add_argument("--size", type=int, default=1_000, help="bytes of each, about")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sharing-") as name, server() as address:
        scratch = Path(name)
        artifacts = record_run(scratch / "home", arguments.files, arguments.size)
        variables = {
            **os.environ,
            "MLPROJ_HOME": str(scratch / "home"),
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
        }
        plain, pushed, again, pulled = [], [], [], []
        for number in range(arguments.rounds):
            for bucket in (f"plain-{number}", f"push-{number}"):
                timed([sys.executable, "-c", MAKE_BUCKET, bucket], variables)
            plain.append(timed([sys.executable, "-c", PLAIN_PUT, str(artifacts), f"plain-{number}/run"], variables))
            push = [sys.executable, "-m", "mlproj", "push", f"s3://push-{number}/runs"]
            pushed.append(timed(push, variables))
            again.append(timed(push, variables))
            other = {**variables, "MLPROJ_HOME": str(scratch / f"home-{number}")}
            pulled.append(timed([*push[:3], "pull", push[-1]], other))
        ours, theirs = statistics.median(pushed), statistics.median(plain)
        print(f"{arguments.files} files of about {arguments.size} bytes, medians of {arguments.rounds}")
        print(f"{'fsspec, put':44}{theirs:8.2f} s")
        print(f"{'mlproj push':44}{ours:8.2f} s{ours / theirs:12.2f} ×   (bar: 1.00 ×)")
        print(f"{'mlproj push, again':44}{statistics.median(again):8.2f} s")
        print(f"{'mlproj pull, every digest checked':44}{statistics.median(pulled):8.2f} s")


def record_run(home: Path, files: int, size: int) -> Path:
    """A finished run with so many artifacts, in a store of its own; gives their folder."""
    store = open_store(home)
    begun = RunRecord(id=new_run_id(store), project="benchmark", started_at=now_text(), host="here")
    live = begin(store, begun)
    chance, kept = random.Random(7), []
    for number in range(files):
        path = live.files.artifacts / f"part-{number % 100:02}" / f"{number}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randint(1, 2 * size)))
        kept.append(FileRecord(f"{path.parent.name}/{path.name}", path.stat().st_size, sha256_of_file(path)))
    output = OutputRecord("parts", "parts", size=sum(each.size for each in kept), files=kept)
    finish(live, replace(begun, status="finished", exit_status=0, ended_at=now_text(), outputs=[output]))
    return live.files.artifacts


def timed(command: list[str], variables: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


@contextmanager
def server() -> Iterator[str]:
    """moto's S3, in a process of its own."""
    script = (
        "import sys, logging; logging.disable(); from moto.server import ThreadedMotoServer; "
        "s = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); s.start(); "
        "print(s.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
