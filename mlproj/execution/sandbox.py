"""A command cut off from the network and from writing elsewhere, by bubblewrap (https://github.com/containers/bubblewrap)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj.execution.plan import Plan
from mlproj.text import one_line

PROGRAM = "bwrap"
# Places that programs write to without asking, of which a command gets empty ones of its own.
_SCRATCH_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  their names, nothing is made in them
# Where engines of containers have mounts that come and go.
_CONTAINERS_AT = ("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/run/docker", "/run/containerd")
_OF_THE_LOADER = ("LD_", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_")
_PATIENCE_S = 10
# Opens a port in the sandbox's network, hands the socket out, and becomes the command. It says nothing of its own.
_DOOR = """\
import array, os, socket, sys
port, place, *command = sys.argv[1:]
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("127.0.0.1", int(port)))
door.listen(128)
folder = os.open(os.path.dirname(place), os.O_RDONLY)
way = socket.socket(socket.AF_UNIX)
way.connect(f"/proc/self/fd/{folder}/{os.path.basename(place)}")
way.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [door.fileno()]))])
way.recv(1)
os.execvp(command[0], command)
"""


@dataclass(frozen=True)
class Sandbox:
    """What a command may write to, and what it must see that lies where its own scratch places will be.

    ``door`` is a port on loopback that it is to find open, and the Unix socket over which the listening socket is
    handed out (``tracking.gateway.passage``).
    """

    writable: Sequence[Path]
    visible: Sequence[Path] = ()
    door: tuple[int, Path] | None = None


def why_not() -> str | None:
    """Why no command can be cut off on this machine; ``None`` when one can."""
    if sys.platform != "linux":
        return "that is possible on Linux only"
    program = shutil.which(PROGRAM)
    if program is None:
        return "bubblewrap is not installed (Debian: `apt install bubblewrap`)"
    try:
        words = [program, *_whole_disk(), "--unshare-net", "--", "/bin/true"]
        tried = subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {one_line(error)}"
    if tried.returncode != 0:
        return f"bubblewrap does not work here: {one_line(tried.stderr.decode('utf-8', 'replace').strip())}"
    return None


def sealed(plan: Plan, sandbox: Sandbox) -> Plan:
    """The plan of the same command within a sandbox; one whose program is not there stays as it is, and fails so."""
    places = plan.variables.get("PATH", os.defpath)
    program = plan.argv[0] if "/" in plan.argv[0] else shutil.which(plan.argv[0], path=places)
    bubblewrap = shutil.which(PROGRAM)
    if program is None or bubblewrap is None or not os.access(plan.cwd / program, os.X_OK):
        return plan
    words = [bubblewrap, "--die-with-parent", "--unshare-net", *_whole_disk(), "--dev-bind", "/dev", "/dev"]
    words += ["--proc", "/proc"]
    for each in _SCRATCH_PLACES:
        words += ["--tmpfs", each] if Path(each).is_dir() else []
    for seen in dict.fromkeys(os.path.realpath(each) for each in sandbox.visible):
        hidden = seen.startswith(tuple(f"{each}/" for each in _SCRATCH_PLACES))
        words += ["--ro-bind-try", seen, seen] if hidden else []
    for folder in sandbox.writable:
        words += ["--bind", str(folder), str(folder)]
    # What has the loader run somebody's code would have it run in bubblewrap itself, outside of the sandbox.
    inside = {name: value for name, value in plan.variables.items() if name.startswith(_OF_THE_LOADER)}
    for name, value in inside.items():
        words += ["--setenv", name, value]
    words += ["--chdir", str(plan.cwd), "--"]
    if sandbox.door is not None:
        port, place = sandbox.door
        words += [sys.executable, "-I", "-S", "-c", _DOOR, str(port), str(place)]
    outside = {name: value for name, value in plan.variables.items() if name not in inside}
    return replace(plan, argv=[*words, program, *plan.argv[1:]], variables=outside)


def _whole_disk() -> list[str]:
    """The words that show a command all of the disk, read-only, but for where containers come and go.

    Their mounts may be gone between bubblewrap's finding them and its making them read-only, which is an error to it.
    """
    unsteady = {place for place in _CONTAINERS_AT if os.path.isdir(place)} | _overlays()  # noqa: PTH112  texts
    return _shown_below("/", unsteady) if unsteady else ["--ro-bind", "/", "/"]


def _overlays() -> set[str]:
    """Folders in which an engine of containers has its mounts: ``…/overlay2`` of ``…/overlay2/ID/merged``."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        mounted, _, kind = line.partition(" - ")
        place = mounted.split(" ")[4]
        if kind.startswith("overlay ") and place.count("/") > 2:
            found.add(os.path.dirname(os.path.dirname(place)))  # noqa: PTH120  texts
    return found


def _shown_below(folder: str, unsteady: set[str]) -> list[str]:
    words: list[str] = []
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        path = os.path.join(folder, entry.name)  # noqa: PTH118  texts
        if path in unsteady or path in ("/proc", "/dev"):
            continue
        if entry.is_symlink():
            words += ["--symlink", os.readlink(path), path]  # noqa: PTH115  texts
        elif any(each.startswith(f"{path}/") for each in unsteady):
            words += ["--dir", path, *_shown_below(path, unsteady)]
        else:
            words += ["--ro-bind-try", path, path]
    return words
