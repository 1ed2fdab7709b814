"""What a run's processes took at moments of its time: the samples in its ``resources.jsonl``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sample:
    """What all processes of a run together took at one moment.

    ``cpu_percent`` is since the sample before: 100 is one core busy. Memory is resident, in bytes. The GPU's
    are summed over the machine's GPUs (``nvidia-smi``), ``None`` where there is none.
    """

    at_ms: int
    cpu_percent: float
    memory_bytes: int
    processes: int = 1
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


def sample_line(sample: Sample) -> bytes:
    """A sample as a line of the file."""
    return json.dumps({key: value for key, value in asdict(sample).items() if value is not None}).encode() + b"\n"


def read_samples(path: Path) -> list[Sample]:
    """The samples in the file, in the order of time; none when there is no file. A torn line is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [sample for line in lines if (sample := _sample(line)) is not None]


def _sample(line: bytes) -> Sample | None:
    known = {field.name for field in fields(Sample)}
    try:
        mapping: Any = json.loads(line)
        return Sample(**{key: value for key, value in mapping.items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None
