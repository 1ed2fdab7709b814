"""What it costs to run a project from a git URL: beside its own folder, and beside `git clone --depth 1`.

    python benchmarks/sources.py [--rounds 11] [--clones 5] [--history 300]

Two repositories are made: a small one, and one whose history holds --history megabytes of old, incompressible data that
its tip no longer has. Both are served over file:// and by a local `git http-backend`, as GitHub serves (with filters).
Warm runs are medians of whole processes; first fetches are measured without the run, as `git clone` is.
"""

from __future__ import annotations

import argparse
import http.server
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlproj.sources import Fetching, Snapshot, release_tree, take_snapshot

MANIFEST = """
name: trivial
environment: {system: {}}
entry_points: {main: {command: [python, train.py]}}
"""
MEGABYTE = 1_000_000
OUR_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "MLPROJ_RUN_ID", "MLPROJ_CACHE", "MLPROJ_METRICS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="warm runs of each kind")
    parser.add_argument("--clones", type=int, default=5, help="first fetches of each kind")
    parser.add_argument("--history", type=int, default=300, help="megabytes of old data in the large repository")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sources-") as name:
        scratch = Path(name).resolve()
        variables = {key: value for key, value in os.environ.items() if key not in OUR_VARIABLES}
        variables |= {"MLPROJ_HOME": str(scratch / "home"), "GIT_TERMINAL_PROMPT": "0"}
        small = make_repository(scratch / "served/small.git", history=2)
        large = make_repository(scratch / "served/large.git", history=arguments.history)
        with served(scratch / "served") as address:
            report_warm_runs(small, f"{address}/small.git", scratch, variables, arguments.rounds)
            for repository in (small, large):
                for url in (f"file://{repository}", f"{address}/{repository.name}"):
                    report_first_fetch(url, repository, scratch, arguments.clones)
            report_full_clone(f"{address}/large.git", scratch)


def make_repository(folder: Path, history: int) -> Path:
    """A bare repository of 200 small files at its tip, and of as many commits as it has megabytes of ``history``."""
    chance = random.Random(7)
    git("init", "-q", "--bare", "-b", "main", str(folder))
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.receivepack"):
        git("-C", str(folder), "config", setting, "true" if setting.startswith("upload") else "false")
    importer = subprocess.Popen(
        ["git", "-C", str(folder), "-c", "core.compression=0", "fast-import", "--quiet"], stdin=subprocess.PIPE
    )
    assert importer.stdin is not None
    for number in range(history + 1):
        files: dict[str, bytes] = {"old.bin": chance.randbytes(MEGABYTE)}
        if number == history:
            files = {f"data/{each}.csv": chance.randbytes(10_000) for each in range(200)}
            files |= {"mlproj.yaml": MANIFEST.lstrip().encode(), "train.py": b"print('trained')\n"}
        lines = [b"commit refs/heads/main\n", b"committer a <a@example.org> %d +0000\n" % (1_700_000_000 + number)]
        lines += [b"data 1\nx\n", b"deleteall\n"]
        for path, content in files.items():
            lines += [b"M 100644 inline %s\ndata %d\n" % (path.encode(), len(content)), content, b"\n"]
        importer.stdin.writelines(lines)
    importer.stdin.close()
    if importer.wait() != 0:
        raise SystemExit("git fast-import failed")
    return folder


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address at which `git http-backend` serves the repositories below ``root``."""

    class Backend(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else read_chunks(self)
            variables = {
                **os.environ,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            backend = subprocess.Popen(
                ["git", "http-backend"], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert backend.stdin is not None
            assert backend.stdout is not None
            # A request is small; its answer is not, and goes on as it comes.
            backend.stdin.write(body)
            backend.stdin.close()
            status, headers = 200, []
            while (line := backend.stdout.readline().decode().strip()) != "":
                name, _, value = line.partition(": ")
                if name == "Status":
                    status = int(value.split()[0])
                else:
                    headers.append((name, value))
            self.send_response(status)
            for header in headers:
                self.send_header(*header)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while chunk := backend.stdout.read1(1 << 17):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
            backend.wait()

        do_POST = do_GET  # noqa: N815  http.server calls it so

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def read_chunks(request: http.server.BaseHTTPRequestHandler) -> bytes:
    body = b""
    if request.headers.get("Transfer-Encoding") == "chunked":
        while size := int(request.rfile.readline(), 16):
            body += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
    return body


def report_warm_runs(repository: Path, url: str, scratch: Path, variables: Mapping[str, str], rounds: int) -> None:
    script = Path(sys.executable).parent / "mlproj"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "mlproj"]
    clone = scratch / "clone"
    git("clone", "-q", f"file://{repository}", str(clone))
    commit = subprocess.check_output(["git", "-C", str(repository), "rev-parse", "main"], text=True).strip()
    contestants: dict[str, list[str]] = {
        "the folder": [str(clone)],
        "file://, its default branch": [f"file://{repository}"],
        "file://, a commit": [f"file://{repository}", "--rev", commit],
        "http://, its default branch": [url],
        "http://, a commit": [url, "--rev", commit],
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(-2, rounds):
        for name, project in contestants.items():
            started = time.perf_counter()
            subprocess.run(
                [*command, "run", "-q", *project],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
            if turn >= 0:
                times[name].append(time.perf_counter() - started)
    folder = statistics.median(times["the folder"])
    print(f"{'a warm `mlproj run` of':44}{'median':>10}{'over the folder':>20}")
    for name, each in times.items():
        over = statistics.median(each) - folder
        print(f"{name:44}{statistics.median(each):8.3f} s{over:18.3f} s" + ("   (bar: 0.100 s)" if over else ""))


def report_first_fetch(url: str, repository: Path, scratch: Path, clones: int) -> None:
    """A source that is fetched for the first time, up to its tree being there, in turns with `git clone --depth 1`."""

    def clone(folder: Path) -> None:
        git("clone", "-q", "--depth", "1", url, str(folder / "clone"))

    def fetch(folder: Path) -> None:
        snapshots.append(take_snapshot(url, fetching=Fetching(cache=folder)))

    def clear_up(folder: Path) -> int:
        """Clear the tree away, as at the end of a run, and give the size of what stays."""
        tree = snapshots[-1].tree
        assert tree is not None
        tips.append(size_of(tree.folder))
        release_tree(tree)
        return size_of(folder)

    snapshots: list[Snapshot] = []
    tips: list[int] = []
    cloning, fetching, kept = [], [], 0
    for turn in range(-1, clones):
        cloned, _ = timed(clone, scratch / "first")
        fetched, kept = timed(fetch, scratch / "first", clear_up)
        if turn >= 0:
            cloning.append(cloned)
            fetching.append(fetched)
    ours, theirs = statistics.median(fetching), statistics.median(cloning)
    print(f"\nfirst fetch of {repository.name} ({size_of(repository) / MEGABYTE:.0f} MB) over {url.partition(':')[0]}")
    print(f"{'git clone --depth 1':44}{theirs:8.3f} s")
    print(f"{'mlproj':44}{ours:8.3f} s{ours / theirs:18.2f} ×   (bar: 1.20 ×)")
    print(f"{'the tip, and what stays of it in the cache':44}{tips[-1] / MEGABYTE:7.1f} MB{kept / MEGABYTE:15.1f} MB")


def report_full_clone(url: str, scratch: Path) -> None:
    took, size = timed(lambda folder: git("clone", "-q", url, str(folder / "clone")), scratch / "full")
    print(f"\n{'for comparison: git clone in full':44}{took:8.3f} s{size / MEGABYTE:15.1f} MB")


def timed(
    action: Callable[[Path], None], folder: Path, after: Callable[[Path], int] | None = None
) -> tuple[float, int]:
    """How long ``action`` takes in a new folder, and the bytes that it leaves there once ``after`` has cleared up."""
    folder.mkdir()
    try:
        started = time.perf_counter()
        action(folder)
        took = time.perf_counter() - started
        return took, (after or size_of)(folder)
    finally:
        shutil.rmtree(folder)


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    main()
