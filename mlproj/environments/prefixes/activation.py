"""Activating a prefix: the variables that conda would set, and what its activation scripts come to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line, printable

# What an active conda environment of the caller's has set; CONDARC, CONDA_OVERRIDE_… and the like are settings.
_OF_ANOTHER = (
    *("CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CONDA_PROMPT_MODIFIER", "CONDA_SHLVL", "CONDA_EXE", "CONDA_PYTHON_EXE"),
    *("_CE_CONDA", "_CE_M", "MAMBA_EXE", "MAMBA_ROOT_PREFIX", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"),
    # An interpreter's variables that would have it look outside of its environment.
    *("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"),
)
_SHOWN_LINES = 20
_BEGINNINGS = ("CONDA_PREFIX_", "CONDA_STACKED_", "CONDA_BACKUP_")
# Set by bash itself, or by how it is started here.
_OF_BASH = frozenset(["_", "SHLVL", "PWD", "OLDPWD", "BASHOPTS", "SHELLOPTS", "BASH_ENV"])

# Sources each script as a shell of the user's would. One that ends the shell, or fails and says why, is the last;
# one that fails in silence may just end in a test that is false. The variables are not written by `env`, which not
# every system has with `-0`.
_SOURCE = """
_mlproj_output=$1; shift
_mlproj_scripts=("$@"); set --
for _mlproj_script in "${_mlproj_scripts[@]}"; do
  printf '%s' "$_mlproj_script" > "$_mlproj_output.script"
  . "$_mlproj_script" 2> "$_mlproj_output.errors" ||
    { _mlproj_status=$?; [ ! -s "$_mlproj_output.errors" ] || exit "$_mlproj_status"; }
done
for _mlproj_name in $(compgen -e); do
  printf '%s=%s\\0' "$_mlproj_name" "${!_mlproj_name}"
done > "$_mlproj_output"
"""


@dataclass(frozen=True)
class Activation:
    """What being active means: variables to set and to unset, and entries to put before ``PATH``."""

    variables: Mapping[str, str]
    removed: tuple[str, ...]
    path_entries: tuple[str, ...]


def activate(
    prefix: Path, scripts: Sequence[str], variables: Mapping[str, str], declared: Mapping[str, str]
) -> Activation:
    """Activate the environment in ``prefix``: ``variables`` are its own, ``declared`` the project's.

    Scripts are run by bash, when there are any. Raises ``EnvironmentBuildError`` for one that fails.
    """
    active = {
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": str(prefix),
        "CONDA_SHLVL": "1",
        "CONDA_PROMPT_MODIFIER": "",
        # The packages in the user's home are none of the environment's.
        "PYTHONNOUSERSITE": "1",
        **variables,
        **declared,
    }
    removed = [name for name in os.environ if name in _OF_ANOTHER or name.startswith(_BEGINNINGS)]
    removed = sorted(name for name in {*removed, "PYTHONHOME", "PYTHONPATH"} if name not in active)
    entries = (str(prefix / "bin"),)
    if not scripts:
        return Activation(active, tuple(removed), entries)
    return _with_scripts(prefix, scripts, Activation(active, tuple(removed), entries))


def _with_scripts(prefix: Path, scripts: Sequence[str], plain: Activation) -> Activation:
    before = {name: value for name, value in os.environ.items() if name not in plain.removed}
    before.update(plain.variables)
    callers_path = os.environ.get("PATH", os.defpath)
    before["PATH"] = os.pathsep.join([*plain.path_entries, callers_path])
    after = _run_scripts(prefix, scripts, before)
    changed = {
        name: value
        for name, value in after.items()
        if name not in _OF_BASH and name != "PATH" and (before.get(name) != value or name in plain.variables)
    }
    # What is no name to bash goes through it unseen.
    unset = [name for name in before if name not in after and name not in _OF_BASH and name.isidentifier()]
    path = after.get("PATH", "")
    if path.endswith(f"{os.pathsep}{callers_path}"):
        entries = tuple(path.removesuffix(f"{os.pathsep}{callers_path}").split(os.pathsep))
    else:
        # A script has rewritten it as a whole.
        entries, changed["PATH"] = (), path
    return Activation(changed, tuple(sorted({*plain.removed, *unset} - set(changed))), entries)


def _run_scripts(prefix: Path, scripts: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    from tempfile import TemporaryDirectory

    from mlproj.processes.tools import run_tool

    paths = [str(prefix / script) for script in scripts]
    # Not in the cache, which may be one that cannot be written.
    with TemporaryDirectory(prefix="mlproj-activation-") as folder:
        output = Path(folder) / "variables"
        argv = ["bash", "--noprofile", "--norc", "-c", _SOURCE, "activation", str(output), *paths]
        try:
            with Path(os.devnull).open("wb") as nowhere:
                status = run_tool(argv, cwd=prefix, env=env, log=nowhere)
        except FileNotFoundError:
            raise EnvironmentBuildError(
                "there is no `bash` to run the activation scripts of the environment",
                hint=f"they are {', '.join(map(one_line, scripts))}",
            ) from None
        if status == 0 and output.is_file():
            parts = output.read_bytes().split(b"\0")
            pairs = (os.fsdecode(part).partition("=") for part in parts if part)
            return {name: value for name, _, value in pairs}
        script = Path((Path(folder) / "variables.script").read_text("utf-8")).relative_to(prefix)
        said = (Path(folder) / "variables.errors").read_text("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
    lines = "\n".join(f"  {printable(line)}" for line in said)
    raise EnvironmentBuildError(
        f"the environment's activation script `{one_line(script)}` failed (exit status {status})"
        + (f":\n{lines}" if lines else ""),
        hint=f"it is a package's own, in {prefix}",
    )
