"""A hermetic run: nothing of the caller's environment but what is declared, and nothing of the machine that is not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mlproj.api.resolution import Resolved
from mlproj.environments.environment import Environment
from mlproj.environments.scratch import scratch_folder
from mlproj.execution.plan import Plan
from mlproj.locations import cache_folder
from mlproj.runs.layout import RunFiles

# The same wherever it runs.
_FIXED = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = ("TERM", "COLUMNS", "LINES")


@dataclass
class Seal:
    """What a hermetic run has of its own for as long as it goes on; ``held`` is to be closed at its end.

    ``reason`` says why it is not cut off from network and disk, if it is not.
    """

    scratch: Path
    reason: str | None
    held: ExitStack

    @property
    def home(self) -> Path:
        """The run's ``HOME``, empty at first and gone afterwards."""
        return self.scratch / "home"


def open_seal(in_container: bool) -> Seal:
    """Begin what a hermetic run needs; a container is a sandbox of its own. Raises OSError."""
    from mlproj.execution.sandbox import why_not

    held = ExitStack()
    scratch = held.enter_context(scratch_folder(cache_folder()))
    for name in ("home", "tmp"):
        (scratch / name).mkdir()
    return Seal(scratch, None if in_container else why_not(), held)


def notice_of(seal: Seal) -> str | None:
    """What to tell when the run is not cut off from network and files."""
    if seal.reason is None:
        return None
    return f"hermetic: its environment is cleared, but the network is there and the disk can be written: {seal.reason}"


def hermetic_variables(caller: Mapping[str, str], resolved: Resolved, seal: Seal) -> dict[str, str]:
    """What of the caller's variables a hermetic run has: those that the manifest names, and fixed ones."""
    declared = (*resolved.reproducibility.variables, *resolved.entry_point.secret_variables, *_KEPT)
    kept = {name: caller[name] for name in declared if name in caller}
    own = {"HOME": str(seal.home), "TMPDIR": str(seal.scratch / "tmp")}
    # The environment of the kind `system` is the caller's: it is found by the caller's PATH.
    path = caller.get("PATH", _PATH) if resolved.environment.kind == "system" else _PATH
    return {"PATH": path, **_FIXED, **own, **kept}


def sealed_plan(
    plan: Plan, seal: Seal, resolved: Resolved, environment: Environment, files: RunFiles, port: int | None
) -> Plan:
    """The plan cut off from the machine, as far as that is possible here; MLflow's clients still find ``port``."""
    from mlproj.execution.sandbox import Sandbox, sealed
    from mlproj.tracking.gateway.passage import close_passage, open_passage

    if seal.reason is not None:
        return plan
    door = None
    if port is not None:
        passage = open_passage(seal.scratch, port)
        seal.held.callback(close_passage, passage)
        door = (port, passage.place)
    import sys

    visible = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent.parent, *_needed(resolved)]
    visible += [Path(each) for each in environment.path_entries]
    visible += [environment.folder] if environment.folder is not None else []
    visible += [_base_of(environment.interpreter)] if environment.interpreter else []
    writable = [resolved.loaded.folder, files.folder, seal.scratch]
    return sealed(plan, Sandbox(writable, visible, door))


def _base_of(interpreter: str) -> Path:
    """The installation that an interpreter belongs to, behind the links of a virtual environment."""
    return Path(os.path.realpath(interpreter)).parent.parent


def _needed(resolved: Resolved) -> list[Path]:
    """Places outside of the project that parameters and inputs name."""
    values = [
        item for value in resolved.config.values.values() for item in (value if isinstance(value, list) else [value])
    ]
    texts = [*resolved.entry_point.inputs, *(item for item in values if isinstance(item, str))]
    return [Path(each) for each in texts if each.startswith("/")]
