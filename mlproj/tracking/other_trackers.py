"""Names and folders for the runs of other trackers, by their own environment variables, so that theirs link to ours.

What a tracker keeps while it is offline goes among the run's artifacts; each variable that is set already stays.
"""

from __future__ import annotations

from collections.abc import Mapping


def tracker_variables(present: Mapping[str, str], run_id: str, name: str, artifacts: str) -> dict[str, str]:
    """What is to be added to the variables that are ``present``; ``artifacts`` is the folder as the command sees it.

    Weights & Biases: docs.wandb.ai, "Environment variables". Comet: docs of ``comet_ml``, "Configuration". Neptune:
    docs-legacy.neptune.ai, "Environment variables".
    """
    shown = name or run_id[:12]
    variables = {
        "WANDB_NAME": shown,
        "WANDB_NOTES": f"mlproj run {run_id}",
        "WANDB_DIR": artifacts,
        "COMET_EXPERIMENT_NAME": shown,
        "COMET_OFFLINE_DIRECTORY": f"{artifacts}/comet",
        "NEPTUNE_CUSTOM_RUN_ID": run_id,
        "NEPTUNE_DATA_DIRECTORY": f"{artifacts}/neptune",
    }
    return {variable: value for variable, value in variables.items() if variable not in present}
