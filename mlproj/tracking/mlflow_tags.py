"""The tags by which MLflow's clients and pages know where a run comes from (``mlflow.utils.mlflow_tags``)."""

from __future__ import annotations

from mlproj.runs.record import RunRecord
from mlproj.runs.totals import NAME_TAG

PARENT = "mlflow.parentRunId"
# A run's id here, on a server that gives it another.
OWN_ID = "mlproj.run_id"
# What a dataset was used for, such as `training`.
DATA_CONTEXT = "mlflow.data.context"


def tags_of_origin(record: RunRecord) -> dict[str, str]:
    """The tags that ``mlflow run`` would have set for what is known of a run's origin."""
    source, environment = record.source, record.environment
    place = f"#{source.subdirectory}" if source.remote and source.subdirectory else ""
    known = {
        NAME_TAG: record.name or record.id[:8],
        "mlflow.user": record.user,
        "mlflow.source.name": f"{source.remote or source.path}{place}",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": source.commit,
        "mlflow.source.git.branch": source.branch,
        "mlflow.source.git.repoURL": source.remote if source.kind == "git" else None,
        "mlflow.project.entryPoint": record.entry_point,
        "mlflow.project.backend": "local",
        "mlflow.project.env": "local" if environment.kind == "system" else environment.kind,
        "mlflow.docker.image.uri": environment.image,
        PARENT: record.parent,
    }
    return {tag: value for tag, value in known.items() if value}
