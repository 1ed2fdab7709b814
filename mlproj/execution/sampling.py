"""Samples of what a command's processes take while it runs, taken by a thread of their own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.runs.samples import Sample, sample_line

_SHORTEST_S, _LONGEST_S = 2.0, 30.0
# A run of hours needs no sample each two seconds: some hundreds, then ever more slowly.
_SAMPLES_IN_ALL = 500
_GPU_QUERY = ("--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits")
_GPU_PATIENCE_S = 10
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Sampling:
    """Sampling that goes on until ``end_sampling``."""

    thread: threading.Thread
    ended: threading.Event


def begin_sampling(pid: int, path: Path) -> Sampling:
    """Append samples of all processes below ``pid`` to the file ``path``: each two seconds at first, later each thirty.

    Whatever cannot be read or written ends the sampling, never the run.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_sample_until, args=(pid, path, ended), name="mlproj-sampling", daemon=True)
    thread.start()
    return Sampling(thread, ended)


def end_sampling(sampling: Sampling) -> None:
    """Take no further sample."""
    sampling.ended.set()
    sampling.thread.join(timeout=1)


def _sample_until(pid: int, path: Path, ended: threading.Event) -> None:
    import psutil

    began = time.monotonic()
    gpu = shutil.which("nvidia-smi")
    before: dict[tuple[int, float], float] = {}
    before_at = began
    with contextlib.suppress(OSError, psutil.NoSuchProcess), path.open("ab", buffering=0) as stream:
        root = psutil.Process(pid)
        while True:
            seconds, memory = _taken(psutil, root)
            now = time.monotonic()
            # What ended since took its time with it: the rest is what is known.
            used = sum(value - before.get(process, 0.0) for process, value in seconds.items())
            if before_at > began or before:
                share = 100 * max(0.0, used) / max(1e-3, now - before_at)
                busy, held = _gpus(gpu) if gpu else (None, None)
                at_ms = int(time.time() * 1000)
                stream.write(sample_line(Sample(at_ms, round(share, 1), memory, len(seconds), busy, held)))
            before, before_at = seconds, now
            elapsed = now - began
            if ended.wait(min(_LONGEST_S, max(_SHORTEST_S, elapsed / _SAMPLES_IN_ALL)) if elapsed > 1 else 1.0):
                return


def _taken(psutil: Any, root: Any) -> tuple[dict[tuple[int, float], float], int]:
    """CPU seconds of each process below ``root``, told apart by when it began, and the memory of all in bytes."""
    seconds: dict[tuple[int, float], float] = {}
    memory = 0
    for process in root.children(recursive=True):
        with contextlib.suppress(psutil.Error), process.oneshot():
            times = process.cpu_times()
            seconds[process.pid, process.create_time()] = times.user + times.system
            memory += process.memory_info().rss
    return seconds, memory


def _gpus(program: str) -> tuple[float | None, int | None]:
    """How busy the machine's GPUs are, in percent of one, and the memory held on them, in bytes."""
    try:
        ended = subprocess.run(
            [program, *_GPU_QUERY], capture_output=True, text=True, timeout=_GPU_PATIENCE_S, check=True
        )
        rows = [[float(cell) for cell in line.split(",")] for line in ended.stdout.splitlines()]
        return sum(row[0] for row in rows), int(sum(row[1] for row in rows) * _MEBIBYTE)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None, None
