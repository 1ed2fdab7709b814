"""A command in a container: the client process that stands for it, what it is told, and what it has found out.

The client is started, watched and ended as every command is; so streams, terminal, signals, timeout and log are the
same. It creates the container and passes on what comes in and out of it (``container_client``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproj.environments.environment import Container, Volume
from mlproj.errors import ExecutionError
from mlproj.execution.plan import Outcome, Plan
from mlproj.files import dump_json, write_atomically

RUN_LABEL = "mlproj.run"
STORE_LABEL = "mlproj.store"
FILES_AT = "/mlproj"
METRICS_AT = f"{FILES_AT}/metrics.jsonl"
# After the grace period the client kills the container, and has this time to see to what it left.
_MARGIN_S = 20.0
_FINDINGS = "container.json"
_FATAL = (signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)


@dataclass(frozen=True)
class Findings:
    """What the client knows of its container's end.

    ``failed`` says why the command could not be run at all, and what to do; ``not_brought_back`` what of its files an
    engine elsewhere still had; ``crash`` is the traceback of a bug.
    """

    failed: Sequence[str | None] | None = None
    not_brought_back: Sequence[str] = ()
    crash: str | None = None
    out_of_memory: bool = False
    lost: str | None = None
    notices: Sequence[str] = ()
    cpu_s: float | None = None
    max_memory_bytes: int | None = None


def inside_variables(folder: Path, run_id_variable: str, run_id: str) -> dict[str, str]:
    """What a command in a container is told of its run; makes the files that it may write to."""
    metrics, artifacts = folder / "metrics.jsonl", folder / "artifacts"
    metrics.touch()
    artifacts.mkdir(exist_ok=True)
    return {
        run_id_variable: run_id,
        "MLPROJ_PARAMS": f"{FILES_AT}/params.json",
        "MLPROJ_METRICS": METRICS_AT,
        "MLPROJ_ARTIFACTS": f"{FILES_AT}/{artifacts.name}",
    }


def waiting_client(channel: int, grace_s: float, caller: Mapping[str, str]) -> Plan:
    """The plan of a client that reads at ``channel`` what it has to do: half of its time to start is spent by then.

    ``caller`` has the variables by which the engine is found.
    """
    argv = [sys.executable, "-m", "mlproj.execution.container_client", str(channel)]
    # `-m` looks for modules where it runs: not in the project.
    return Plan(argv, Path(__file__).parents[2], caller, grace_s, margin_s=_MARGIN_S)


def within(
    plan: Plan, client: Plan, container: Container, run_id: str, folder: Path, needed: Mapping[str, str]
) -> Plan:
    """The plan by which ``client`` runs ``plan``'s command, with its variables, in ``container``.

    ``plan.cwd`` is the project, ``folder`` the run's own; ``needed`` gives for places inside the paths of this machine
    to be had there.
    """
    volumes = [
        Volume(str(plan.cwd), container.project_at),
        Volume(str(folder / "params.json"), f"{FILES_AT}/params.json", read_only=True),
        Volume(str(folder / "metrics.jsonl"), METRICS_AT),
        Volume(str(folder / "artifacts"), f"{FILES_AT}/artifacts"),
        *(Volume(source, target, read_only=True) for target, source in needed.items()),
    ]
    order = {
        **dataclasses.asdict(container),
        "argv": list(plan.argv),
        "variables": {**container.variables, **plan.variables},
        "own_volumes": [dataclasses.asdict(each) for each in volumes],
        "name": f"mlproj-{run_id}",
        "labels": {RUN_LABEL: run_id, STORE_LABEL: label_of_store(folder.parent.parent)},
        "store": str(folder.parent.parent),
        "runner": os.getpid(),
        "grace_s": client.grace_s,
        "findings": str(folder / _FINDINGS),
    }
    # Through a pipe: no secret is written to a file or shown in a list of processes.
    return replace(client, message=json.dumps(order).encode(), timeout_s=plan.timeout_s, secrets=plan.secrets)


def label_of_store(store: Path) -> str:
    """What tells the containers of one store from those of all others on an engine that several machines use."""
    return f"{os.uname().nodename}:{store.stat().st_ino}:{store}"


def explained(outcome: Outcome, run_id: str, folder: Path, memory: str | None) -> Outcome:
    """What came of a command in a container; a container that its client had to leave is ended.

    Raises ``ExecutionError`` when the command could not be run.
    """
    findings = _taken_findings(folder)
    if findings is None:
        # The client was killed: after the grace period, or by another signal.
        end_containers([run_id])
        return replace(outcome, usage=replace(outcome.usage, user_s=None, system_s=None, max_memory_bytes=None))
    if findings.crash is not None:
        raise RuntimeError(f"in the client of a container:\n{findings.crash}")
    if findings.failed is not None:
        message, hint = findings.failed
        raise ExecutionError(message or "the container could not be run", hint=hint)
    usage = replace(outcome.usage, user_s=findings.cpu_s, system_s=None, max_memory_bytes=findings.max_memory_bytes)
    outcome = replace(outcome, usage=usage, notices=(*outcome.notices, *findings.notices))
    if findings.lost is not None:
        return replace(outcome, status="failed", exit_status=outcome.exit_status or 125, reason=findings.lost)
    if findings.out_of_memory and outcome.exit_status != 0:
        limit = f", of which it may have {memory}" if memory else ""
        return replace(outcome, reason=f"out of memory{limit}: the kernel killed it")
    if findings.not_brought_back and outcome.status == "finished":
        reason = f"not all that it left could be brought back: {'; '.join(findings.not_brought_back)}"
        return replace(outcome, status="failed", exit_status=1, reason=reason)
    if outcome.status == "failed" and outcome.exit_status - 128 in _FATAL:
        # An engine gives the shell's number for a signal, and cannot tell it from the same exit status.
        return replace(outcome, status="killed", reason=f"by {signal.Signals(outcome.exit_status - 128).name}")
    return outcome


def write_findings(path: Path, findings: Findings) -> None:
    """The client's end of it: leave word of the container's end."""
    with contextlib.suppress(OSError):  # a full disk: the exit status is told all the same
        write_atomically(path, dump_json(dataclasses.asdict(findings)))


def _taken_findings(folder: Path) -> Findings | None:
    path = folder / _FINDINGS
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        found = {}
    path.unlink(missing_ok=True)
    return Findings(**found) if found else None


def end_containers(run_ids: Collection[str]) -> int:
    """Kill and remove what containers of these runs are left, if the engine can be asked; gives how many."""
    import docker.errors

    from mlproj.environments.images.engine import connect, engine_errors
    from mlproj.errors import EnvironmentBuildError

    ended = 0
    try:
        engine = connect()
        with contextlib.closing(engine.client) as client, engine_errors(engine.address):
            for run_id in run_ids:
                label = {"label": f"{RUN_LABEL}={run_id}"}
                for each in client.containers(all=True, filters=label):
                    with contextlib.suppress(docker.errors.APIError):
                        client.remove_container(each["Id"], force=True, v=True)
                        ended += 1
                for each in client.volumes(filters=label)["Volumes"] or []:
                    with contextlib.suppress(docker.errors.APIError):
                        client.remove_volume(each["Name"], force=True)
    except EnvironmentBuildError:
        return ended
    return ended
