"""The environment variables of a command, and which of them decide how a run turns out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mlproj.api.resolution import Resolved
from mlproj.environments.environment import Environment
from mlproj.sources.git.variables import REDIRECTING

# Seeds, the time that goes into files, numbers of threads, what chooses kernels and devices, locale and time zone.
_DECIDING = re.compile(
    r"PYTHONHASHSEED|SOURCE_DATE_EPOCH|((PL_)?GLOBAL_|RANDOM_)?SEED|(OMP|OPENBLAS|MKL|BLIS|NUMEXPR|VECLIB|NUMBA|POLARS|RAYON)"
    r"_(NUM|MAX|MAXIMUM)_THREADS|NUMEXPR_MAX_THREADS|TF_(INTRA|INTER)\w*|TF_DETERMINISTIC_OPS|TF_CUDNN_DETERMINISTIC"
    r"|CUBLAS_WORKSPACE_CONFIG|CUDA_VISIBLE_DEVICES|NVIDIA_TF32_OVERRIDE|MKL_CBWR|OPENBLAS_CORETYPE|NPY_DISABLE_CPU_FEATURES"
    r"|XLA_FLAGS|LANG|LANGUAGE|LC_\w+|TZ"
)
# The beginning of 1980, before which no zip file can be: what builds take that have no better time.
_WITHOUT_COMMIT = 315_532_800


def command_variables(caller: Mapping[str, str], environment: Environment, resolved: Resolved) -> dict[str, str]:
    """The environment variables of a command: the caller's, the environment's, the manifest's, and the secrets."""
    variables = {name: value for name, value in caller.items() if name not in environment.removed_variables}
    if resolved.snapshot.tree is not None:
        # A hook's variables, say, would have every git in the fetched tree work on the caller's own repository.
        variables = {name: value for name, value in variables.items() if name not in REDIRECTING}
    variables.setdefault("PYTHONUNBUFFERED", "1")
    variables |= environment.variables
    if environment.path_entries:
        path = variables.get("PATH") or os.defpath
        variables["PATH"] = os.pathsep.join([*environment.path_entries, path])
    variables |= resolved.entry_point.environment_variables
    config = resolved.config
    variables |= {config.secret_variables[name]: value for name, value in config.secrets.items()}
    return variables | resolved.command.variables


def is_deciding(name: str) -> bool:
    """Whether a variable is of those that decide how a run turns out, whatever the manifest says."""
    return _DECIDING.fullmatch(name) is not None


def deciding(variables: Mapping[str, str], resolved: Resolved) -> dict[str, str]:
    """Of a command's variables those that decide how it turns out, and those that the manifest sets or names."""
    named = (*resolved.entry_point.environment_variables, *resolved.reproducibility.variables)
    return {name: value for name, value in sorted(variables.items()) if is_deciding(name) or name in named}


def with_defaults(variables: Mapping[str, str], committed_at: int | None) -> dict[str, str]:
    """``variables`` with those that make a run repeatable, unless they are set.

    ``committed_at`` is the time of the source's commit, in seconds since 1970, for ``SOURCE_DATE_EPOCH``
    (https://reproducible-builds.org/specs/source-date-epoch/).
    """
    epoch = _WITHOUT_COMMIT if committed_at is None else committed_at
    return {"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(epoch), **variables}


def as_recorded(caller: Mapping[str, str], recorded: Mapping[str, str], resolved: Resolved) -> dict[str, str]:
    """The caller's variables with the deciding ones as a recorded run had them, and no others of those.

    Others in the record are the manifest's to set: a record from elsewhere may hold anything.
    """

    def decides(name: str) -> bool:
        return is_deciding(name) or name in resolved.reproducibility.variables

    kept = {name: value for name, value in caller.items() if not decides(name)}
    return {**kept, **{name: value for name, value in recorded.items() if decides(name)}}
