"""What ``--dry-run`` shows: a resolved plan as data, with secrets masked."""

from __future__ import annotations

from typing import Any

from mlproj.api.recording import masked_value
from mlproj.api.resolution import Resolved
from mlproj.environments.kind import EnvironmentPlan


def plan_as_json(resolved: Resolved, environment: EnvironmentPlan) -> dict[str, Any]:
    """What ``--dry-run`` prints: the resolved plan, secrets masked."""
    config = resolved.config
    added = {
        **_additions(resolved),
        **dict.fromkeys(config.secret_variables.values(), "•••"),
    }
    plan = {
        "project": resolved.project_name,
        "entry_point": resolved.entry_point_name,
        "parameters": config.recorded,
        "source": {
            "kind": resolved.snapshot.kind,
            "path": str(resolved.snapshot.folder),
            "identity": resolved.snapshot.identity,
            "commit": resolved.snapshot.commit,
            "branch": resolved.snapshot.branch,
            "revision": resolved.snapshot.revision,
            "remote": resolved.snapshot.remote,
            "dirty": resolved.snapshot.dirty,
            "digest": resolved.snapshot.digest,
        },
        "environment": {
            "kind": environment.kind,
            "key": environment.key,
            "built": environment.built,
            "folder": str(environment.folder) if environment.folder else None,
            "python": environment.python,
            "interpreter": environment.interpreter,
            "lock": environment.lock,
            "packages": environment.package_count,
            "notice": environment.notice,
        },
        "argv": list(resolved.command.shown),
        "shell": resolved.command.interpreter,
        "cwd": str(resolved.loaded.folder),
        "environment_variables": added,
        "inputs": list(resolved.entry_point.inputs),
        "outputs": {name: each.path for name, each in resolved.entry_point.outputs.items()},
        "timeout_s": resolved.timeout_s,
    }
    result: dict[str, Any] = masked_value(plan, resolved.secrets)
    return result


def _additions(resolved: Resolved) -> dict[str, str]:
    """The variables that a run would add and whose values are known beforehand, secrets masked."""
    secret_values = set(resolved.config.secrets.values())
    from_command = {
        name: "•••" if value in secret_values else value for name, value in resolved.command.variables.items()
    }
    return {**resolved.entry_point.environment_variables, **from_command}
