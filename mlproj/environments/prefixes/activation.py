"""Activating a prefix: the variables that conda would set, and what its activation scripts come to."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlproj.environments.environment import Report
from mlproj.errors import EnvironmentBuildError
from mlproj.processes.tools import run_in_silence
from mlproj.text import one_line, printable

# What an active conda environment of the caller's has set; CONDARC, CONDA_OVERRIDE_… and the like are settings.
_OF_ANOTHER = (
    *("CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CONDA_PROMPT_MODIFIER", "CONDA_SHLVL", "CONDA_EXE", "CONDA_PYTHON_EXE"),
    *("_CE_CONDA", "_CE_M", "MAMBA_EXE", "MAMBA_ROOT_PREFIX", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"),
    # An interpreter's variables that would have it look outside of its environment.
    *("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"),
)
_SHOWN_LINES = 20
_PATIENCE_S, _LIMIT_S, _GRACE_S = 5.0, 60.0, 2.0
_BEGINNINGS = ("CONDA_PREFIX_", "CONDA_STACKED_", "CONDA_BACKUP_")
# Set by bash itself, or by how it is started here.
_OF_BASH = frozenset(["_", "SHLVL", "PWD", "OLDPWD", "BASHOPTS", "SHELLOPTS", "BASH_ENV"])

# No shell of the user's: functions and settings of theirs would change what the scripts do.
_SETTINGS_OF_BASH = frozenset(["BASH_ENV", "BASHOPTS", "SHELLOPTS", "ENV"])

# Sources each script as a shell of the user's would. One that ends the shell, or fails and says why, is the last;
# one that fails in silence may just end in a test that is false. The variables are not written by `env`, which not
# every system has with `-0`. What the scripts leave behind (options, separators, functions) is not to matter.
_SOURCE = """
_mlproj_output=$1; shift
_mlproj_scripts=("$@"); _mlproj_number=0; set --
for _mlproj_script in "${_mlproj_scripts[@]}"; do
  printf '%s' "$_mlproj_number" > "$_mlproj_output.number"
  . "$_mlproj_script" 2> "$_mlproj_output.errors" ||
    { _mlproj_status=$?; [ ! -s "$_mlproj_output.errors" ] || \\builtin exit "$_mlproj_status"; }
  _mlproj_number=$((_mlproj_number + 1))
done
\\builtin set +efux
\\builtin unset -f builtin compgen printf
IFS=$' \\t\\n'
\\builtin printf '%s' "$_mlproj_number" > "$_mlproj_output.number"
for _mlproj_name in $(\\builtin compgen -e); do
  [ -z "${!_mlproj_name+x}" ] || \\builtin printf '%s=%s\\0' "$_mlproj_name" "${!_mlproj_name}"
done > "$_mlproj_output"
"""


@dataclass(frozen=True)
class Activation:
    """What being active means: variables to set and to unset, and entries to put before ``PATH``."""

    variables: Mapping[str, str]
    removed: tuple[str, ...]
    path_entries: tuple[str, ...]


def activate(
    prefix: Path,
    scripts: Sequence[str],
    variables: Mapping[str, str],
    declared: Mapping[str, str],
    *,
    cache: Path,
    report: Report,
) -> Activation:
    """Activate the environment in ``prefix``: ``variables`` are its own, ``declared`` the project's.

    Scripts are run by bash, when there are any. Raises ``EnvironmentBuildError`` for one that fails, or takes for ever.
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
    plain = Activation(active, tuple(removed), entries)
    with _work_folder(cache) as work:
        return _with_scripts(prefix, scripts, plain, work, report)


@contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """A folder that the next process clears away when this one is killed; elsewhere if the cache cannot be written."""
    from tempfile import TemporaryDirectory

    from mlproj.environments.scratch import scratch_folder

    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder(cache))
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="mlproj-activation-")))
        yield folder


def _with_scripts(prefix: Path, scripts: Sequence[str], plain: Activation, work: Path, report: Report) -> Activation:
    before = {name: value for name, value in os.environ.items() if name not in plain.removed}
    before.update(plain.variables)
    callers_path = os.environ.get("PATH", os.defpath)
    before["PATH"] = os.pathsep.join([*plain.path_entries, callers_path])
    after = _run_scripts(prefix, scripts, before, work, report)
    changed = {
        name: value
        for name, value in after.items()
        if name not in _OF_BASH
        and name != "PATH"
        # They are mlproj's own.
        and not name.startswith("MLPROJ_")
        and (before.get(name) != value or name in plain.variables)
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


def _run_scripts(
    prefix: Path, scripts: Sequence[str], env: Mapping[str, str], work: Path, report: Report
) -> dict[str, str]:
    output = work / "variables"
    paths = [str(prefix / script) for script in scripts]
    argv = ["bash", "--noprofile", "--norc", "-c", _SOURCE, "activation", str(output), *paths]
    for_bash = {
        name: value
        for name, value in env.items()
        if name not in _SETTINGS_OF_BASH and not name.startswith("BASH_FUNC_")
    }
    waiting = threading.Timer(_PATIENCE_S, report, ["waiting for the activation scripts of the environment"])
    waiting.daemon = True
    waiting.start()
    try:
        events = run_in_silence(argv, cwd=prefix, env=for_bash, grace=_GRACE_S, timeout=_LIMIT_S)
    finally:
        waiting.cancel()
    if "failed" in events:
        raise EnvironmentBuildError(
            "there is no `bash` to run the activation scripts of the environment",
            hint=f"they are {', '.join(map(one_line, scripts))}",
        )
    status = int(events.get("exited", -9))
    if status == 0 and output.is_file():
        parts = output.read_bytes().split(b"\0")
        pairs = (os.fsdecode(part).partition("=") for part in parts if part)
        return {name: value for name, _, value in pairs}
    # A full disk is nobody's fault here, and told by another.
    with suppress(FileNotFoundError):
        (work / "room").write_bytes(bytes(65536))
    raise EnvironmentBuildError(
        _told(scripts, work, status, timed_out=bool(events.get("timed_out"))),
        hint=f"it is a package's own, in {prefix}",
    )


def _told(scripts: Sequence[str], work: Path, status: int, *, timed_out: bool) -> str:
    """What went wrong, as far as the scripts let it be known."""
    try:
        number = int((work / "variables.number").read_text("utf-8"))
        said = (work / "variables.errors").read_text("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
    except (OSError, ValueError):
        number, said = -1, []
    if not 0 <= number < len(scripts):
        return "the environment's activation scripts leave a shell in which nothing can be read"
    script = f"the environment's activation script `{one_line(scripts[number])}`"
    if timed_out:
        return f"{script} did not end within {_LIMIT_S:.0f} s"
    if status == 0:
        return f"{script} ended the shell (by `exit` or `exec`), so that nothing that it set is known"
    shown = status if status > 0 else 128 - status
    lines = "\n".join(f"  {printable(line)}" for line in said)
    return f"{script} failed (exit status {shown})" + (f":\n{lines}" if lines else "")
