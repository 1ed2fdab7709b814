"""The machine and the user that a run is on: what the kernel tells at once, without starting a program."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from mlproj.runs.record import MachineRecord, SupervisorRecord


def user_name() -> str | None:
    """The user's name, or the number where there is none (a container with ``--user``)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def host_name() -> str:
    """The machine's name."""
    return os.uname().nodename


def platform_name() -> str:
    """Operating system, release and architecture: ``Linux 6.1.0 x86_64``."""
    system = os.uname()
    return f"{system.sysname} {system.release} {system.machine}"


def machine() -> MachineRecord:
    """Processor, memory and GPUs. NVIDIA's driver tells of its GPUs in /proc; ``nvidia-smi`` would take a second."""
    gpus, driver = _nvidia()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return MachineRecord(cpu=_cpu_model(), cpu_count=usable, memory_bytes=memory, gpus=gpus, gpu_driver=driver)


def supervisor() -> SupervisorRecord:
    """This process, told apart from a later one of the same number by when it started."""
    return SupervisorRecord(pid=os.getpid(), pid_started=process_started(os.getpid()), host=host_name(), boot=boot_id())


def process_started(pid: int) -> str | None:
    """When a process started, as the kernel counts it; ``None`` when there is none (or no /proc)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def boot_id() -> str | None:
    """The identity of this boot of the machine, where the kernel has one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _cpu_model() -> str | None:
    try:
        with Path("/proc/cpuinfo").open() as stream:
            for line in stream:
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return os.uname().machine


def _nvidia() -> tuple[list[str], str | None]:
    folder = Path("/proc/driver/nvidia")
    if not folder.is_dir():
        return [], None
    models = []
    for information in sorted(folder.glob("gpus/*/information")):
        lines = information.read_text(errors="replace").splitlines()
        models += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    version = (folder / "version").read_text(errors="replace") if (folder / "version").exists() else ""
    words = version.split()
    return models, next((word for word in words if word[:1].isdigit() and "." in word), None)
