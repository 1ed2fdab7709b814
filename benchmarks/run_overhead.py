"""What a run costs: warm `mlproj run` beside the bare command, and beside the tools that do the like.

    python benchmarks/run_overhead.py [--rounds 15] [--cache FOLDER] [--peers mlflow,dvc,guild]

The same trivial script is run, in turns, by every tool: in one git repository that holds an mlproj.yaml, an MLproject
and a pyproject.toml. Peers are installed into virtual environments of their own below --cache (which is worth naming:
MLflow is large); one that cannot be installed, or that fails, is told and left out. Medians of whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uv

SCRIPT = 'import sys\nprint("trained with", *sys.argv[1:])\n'
FILES = {
    "train.py": SCRIPT,
    "mlproj.yaml": """
name: trivial
environment: {virtualenv: {}}
environments: {here: {system: {}}}
entry_points:
  main:
    command: [python, train.py, --alpha, "{alpha}"]
    parameters: {alpha: {type: float, default: 0.5}}
  print:
    environment: here
    command: [cat, "{file}"]
    parameters: {file: {type: path}}
""",
    "MLproject": """
name: trivial
entry_points:
  main:
    parameters: {alpha: {type: float, default: 0.5}}
    command: "python train.py --alpha {alpha}"
""",
    "pyproject.toml": '[project]\nname = "trivial"\nversion = "1"\nrequires-python = ">=3.10"\n',
    ".gitignore": ".venv/\nuv.lock\n",
}
MEGABYTE = 1_000_000
OUR_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "MLPROJ_RUN_ID", "MLPROJ_CACHE", "MLPROJ_METRICS")


@dataclass
class Contestant:
    """A command line, where and how it is run, and how long it took."""

    argv: list[str]
    folder: Path
    variables: dict[str, str]
    times: list[float] = field(default_factory=list)

    def run(self) -> float:
        started = time.perf_counter()
        subprocess.run(
            self.argv, cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
        return time.perf_counter() - started

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cache", type=Path, help="where the peers are installed [default: a temporary folder]")
    parser.add_argument("--peers", default="mlflow,dvc,guild", help="the peers to install; an empty text: none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="run-overhead-") as name:
        scratch = Path(name).resolve()
        cache = (arguments.cache or scratch / "peers").resolve()
        variables = {key: value for key, value in os.environ.items() if key not in OUR_VARIABLES}
        variables["MLPROJ_HOME"] = str(scratch / "home")
        project = write_project(scratch / "trivial", variables)
        contestants = ours(project, variables)
        for peer in filter(None, arguments.peers.split(",")):
            contestants |= PEERS[peer](project, variables, cache, scratch)
        measure(contestants, arguments.rounds)
        report_runs(contestants)
        report_startup(variables, arguments.rounds)
        report_output(project, variables, scratch, max(7, arguments.rounds // 2))


def write_project(folder: Path, variables: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text.lstrip())
    git = ["git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Trivial"]):
        subprocess.run([*git, *command], cwd=folder, env=dict(variables), check=True)
    return folder


def mlproj_command() -> list[str]:
    script = Path(sys.executable).parent / "mlproj"
    return [str(script)] if script.exists() else [sys.executable, "-m", "mlproj"]


def ours(project: Path, variables: dict[str, str]) -> dict[str, Contestant]:
    """The bare command with the environment's own Python, mlproj, and `uv run`, which every mlproj has beside it."""
    first = subprocess.run(
        [*mlproj_command(), "run", "--json"], cwd=project, env=variables, capture_output=True, text=True, check=True
    )
    python = json.loads(first.stdout)["environment"]["interpreter"]
    return {
        "bare command": Contestant([python, "train.py", "--alpha", "0.5"], project, variables),
        "mlproj run": Contestant([*mlproj_command(), "run", "-P", "alpha=0.5"], project, variables),
        "uv run": Contestant([uv.find_uv_bin(), "run", "train.py", "--alpha", "0.5"], project, variables),
    }


def installed(name: str, requirements: Sequence[str], cache: Path, variables: dict[str, str]) -> Path | None:
    """The folder of programs of a peer, in a virtual environment of its own; none when it does not install."""
    folder = cache / name
    python = folder / "bin" / "python"
    base = getattr(sys, "_base_executable", sys.executable)
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for argv in (
            [uv.find_uv_bin(), "venv", "--quiet", f"--python={base}", str(folder)],
            [
                uv.find_uv_bin(),
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                f"--python={python}",
                "--",
                *requirements,
            ],
        ):
            ended = subprocess.run(argv, env=variables, capture_output=True, text=True)
            if ended.returncode != 0:
                reason = " ".join(ended.stderr.split())[:300]
                print(f"{name} does not install and is left out: {reason}")
                return None
        (folder / "installed").touch()
    return folder / "bin"


def with_programs(variables: dict[str, str], programs: Path, **more: str) -> dict[str, str]:
    return {**variables, "PATH": f"{programs}{os.pathsep}{variables.get('PATH', os.defpath)}", **more}


def with_mlflow(project: Path, variables: dict[str, str], cache: Path, scratch: Path) -> dict[str, Contestant]:
    programs = installed("mlflow", ["mlflow"], cache, variables)
    if programs is None:
        return {}
    argv = [str(programs / "mlflow"), "run", str(project), "--env-manager", "local", "-P", "alpha=0.5"]
    folder = scratch / "mlflow"
    folder.mkdir()
    return {"mlflow run": Contestant(argv, folder, with_programs(variables, programs))}


def with_dvc(_: Path, variables: dict[str, str], cache: Path, scratch: Path) -> dict[str, Contestant]:
    programs = installed("dvc", ["dvc"], cache, variables)
    if programs is None:
        return {}
    quiet = with_programs(variables, programs, DVC_NO_ANALYTICS="1", DVC_SITE_CACHE_DIR=str(scratch / "dvc"))
    # In a repository of its own, since it leaves files behind that git then sees.
    own = write_project(scratch / "dvc-project", variables)
    (own / "dvc.yaml").write_text("stages: {main: {cmd: python train.py --alpha 0.5, deps: [train.py]}}\n")
    subprocess.run([programs / "dvc", "init", "--quiet"], cwd=own, env=quiet, capture_output=True)
    return {"dvc repro": Contestant([str(programs / "dvc"), "repro", "--force"], own, quiet)}


def with_guild(project: Path, variables: dict[str, str], cache: Path, scratch: Path) -> dict[str, Contestant]:
    # guild still imports pkg_resources, which newer setuptools have no more.
    programs = installed("guild", ["guildai", "setuptools<80"], cache, variables)
    if programs is None:
        return {}
    home = scratch / "guild"
    home.mkdir()
    argv = [str(programs / "guild"), "run", "train.py", "-y"]
    return {"guild run": Contestant(argv, project, with_programs(variables, programs, GUILD_HOME=str(home)))}


PEERS: dict[str, Callable[[Path, dict[str, str], Path, Path], dict[str, Contestant]]] = {
    "mlflow": with_mlflow,
    "dvc": with_dvc,
    "guild": with_guild,
}


def measure(contestants: dict[str, Contestant], rounds: int) -> None:
    """Run all in turns; the first two rounds warm what there is to warm."""
    for turn in range(-2, rounds):
        for name, contestant in list(contestants.items()):
            try:
                took = contestant.run()
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or str(error).encode()
                last = said.decode(errors="replace").strip().splitlines()[-1:]
                print(f"{name} fails and is left out: {''.join(last)[:300]}")
                del contestants[name]
                continue
            if turn >= 0:
                contestant.times.append(took)


def report_runs(contestants: dict[str, Contestant]) -> None:
    bare, mlproj = contestants["bare command"].median, contestants["mlproj run"].median
    print(f"\n{'a warm run of a trivial script':32}{'median':>10}{'adds':>10}{'× mlproj run':>14}")
    for name, contestant in contestants.items():
        adds = contestant.median - bare
        print(f"{name:32}{contestant.median:8.3f} s{adds:8.3f} s{contestant.median / mlproj:14.2f}")
    print(f"mlproj adds {mlproj - bare:.3f} s (bar: 0.250 s)")
    if "mlflow run" in contestants:
        mlflow = contestants["mlflow run"].median
        print(f"mlproj run : mlflow run = 1 : {mlflow / mlproj:.1f} (bar: 1 : 15)")


def report_startup(variables: dict[str, str], rounds: int) -> None:
    words = ("--version", "--help")
    contestants = {f"mlproj {word}": Contestant([*mlproj_command(), word], Path.cwd(), variables) for word in words}
    contestants["python -c pass"] = Contestant([sys.executable, "-c", "pass"], Path.cwd(), variables)
    measure(contestants, rounds)
    print(f"\n{'whole processes':32}{'median':>10}")
    for name, contestant in contestants.items():
        print(f"{name:32}{contestant.median:8.3f} s" + ("   (bar: 0.100 s)" if name.startswith("mlproj") else ""))


def report_output(project: Path, variables: dict[str, str], scratch: Path, rounds: int) -> None:
    """100 MB of lines through a pipe, from `cat` and from a run of `cat`, and the memory that mlproj took for it."""
    files = {size: scratch / f"{size}.txt" for size in (1, 100)}
    line = b"step 1234567  loss 0.123456789  accuracy 0.987654321\n"
    for size, path in files.items():
        with path.open("wb") as file:
            for _ in range(size):
                file.write((line * (MEGABYTE // len(line) + 1))[:MEGABYTE])
    log = scratch / "tee.log"
    commands: dict[str, Callable[[Path], str]] = {
        "cat": lambda path: f"cat {path}",
        "cat | tee LOG": lambda path: f"cat {path} | tee {log}",
        "mlproj run": lambda path: " ".join(
            [*mlproj_command(), "run", str(project), "-q", "-e", "print", "-P", f"file={path}"]
        ),
    }
    times: dict[tuple[str, int], list[float]] = {}
    memory: dict[int, list[int]] = {}
    for turn in range(-1, rounds):
        for name, command in commands.items():
            for size, path in files.items():
                # The logs of earlier turns give their memory back: on a virtual machine the first touch of a page that
                # the host has not lent yet costs more than writing a log does (`dd` of 100 MB: 0.04 s, and 0.2 s then).
                for earlier in [log, *Path(variables["MLPROJ_HOME"]).glob("runs/*/output.log")]:
                    earlier.unlink(missing_ok=True)
                took, largest = through_a_pipe(command(path), variables)
                if turn >= 0:
                    times.setdefault((name, size), []).append(took)
                    if name == "mlproj run":
                        memory.setdefault(size, []).append(largest)
    print(f"\n{'100 MB of output, piped':32}{'median':>10}{'× cat':>10}{'less 1 MB':>12}{'× cat':>10}")
    median = {key: statistics.median(each) for key, each in times.items()}
    for name in commands:
        whole, net = median[name, 100], median[name, 100] - median[name, 1]
        base, base_net = median["cat", 100], median["cat", 100] - median["cat", 1]
        print(f"{name:32}{whole:8.3f} s{whole / base:10.2f}{net:10.3f} s{net / base_net:10.2f}")
    small, large = (statistics.median(memory[size]) / 1000 for size in (1, 100))
    print(f"memory of mlproj: {small:.1f} MB for 1 MB, {large:.1f} MB for 100 MB (ratio {large / small:.2f})")


def through_a_pipe(command: str, variables: dict[str, str]) -> tuple[float, int]:
    """How long a command took whose output another process reads, and the largest memory of its processes in kB."""
    started = time.perf_counter()
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    writer = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=reader.stdin, env=variables)
    assert reader.stdin is not None
    reader.stdin.close()
    _, status, usage = os.wait4(writer.pid, 0)
    writer.returncode = os.waitstatus_to_exitcode(status)
    reader.wait()
    took = time.perf_counter() - started
    if writer.returncode != 0:
        raise SystemExit(f"failed: {command}")
    return took, usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss // 1000


if __name__ == "__main__":
    main()
