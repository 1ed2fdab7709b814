"""mlproj itself as wheels: one of what runs here, and those of all that it needs on another Python."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from mlproj import version
from mlproj.environments import lockfile
from mlproj.environments.environment import Report
from mlproj.environments.requirements import package_name
from mlproj.environments.settings import uv_variables
from mlproj.environments.uv import ToolLog, run_uv, tool_failure
from mlproj.environments.vendored import UV_PLATFORMS, Target
from mlproj.environments.wheels import choose_wheels, fetch_wheels, index_credentials
from mlproj.errors import PackagingError
from mlproj.manifest.models import Virtualenv

OLDEST_PYTHON = (3, 10)
# What builds conda environments, and nothing else: a third of what mlproj takes.
_FOR_CONDA = frozenset(("conda-lock", "py-rattler"))
_NAME = f"mlproj-{version.__version__}"
_WHEEL = "Wheel-Version: 1.0\nGenerator: mlproj\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def own_wheels(target: Target, kinds: Collection[str], cache: Path, scratch: Path, report: Report) -> dict[str, Path]:
    """The wheels of mlproj and of what it needs on ``target`` for environments of these ``kinds``, by their names.

    The others are of the versions that are installed here, where those are for the Python of ``target`` too. Raises
    ``PackagingError`` and ``EnvironmentBuildError`` when they are not to be had.
    """
    own = write_own_wheel(scratch)
    files = fetch_wheels(
        choose_wheels(_dependencies(target, kinds, cache, scratch), [target]), _credentials(), cache, report
    )
    return {own.name: own, **{PurePosixPath(name).name: path for name, path in files.items()}}


def write_own_wheel(folder: Path) -> Path:
    """A wheel of the mlproj that runs here, from its files as they are installed (or edited).

    Building it from its source would need a build backend, and there may be no source. The same files give the same
    bytes. The format: PyPA's "Binary distribution format", 1.0.
    """
    try:
        installed = importlib.metadata.distribution("mlproj")
        metadata = installed.read_text("METADATA")
    except importlib.metadata.PackageNotFoundError:
        metadata = None
    if metadata is None:
        raise PackagingError("mlproj is not installed here, so that it could not be put into an image")
    info = f"{_NAME}.dist-info"
    commands = installed.read_text("entry_points.txt") or ""
    contents = {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": _WHEEL.encode()}
    contents[f"{info}/entry_points.txt"] = commands.encode()
    package = Path(version.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            contents[f"mlproj/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    lines = [f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in sorted(contents.items())]
    contents[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    wheel = folder / f"{_NAME}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _credentials() -> dict[str, str]:
    return index_credentials(uv_variables(Virtualenv(), offline=False))


def _dependencies(target: Target, kinds: Collection[str], cache: Path, scratch: Path) -> lockfile.Document:
    needed = [each for each in importlib.metadata.requires("mlproj") or () if "extra ==" not in each]
    if "conda" not in kinds:
        needed = [each for each in needed if package_name(each) not in _FOR_CONDA]
    installed = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    installed.pop("mlproj", None)
    constraints = [f"{name}=={version}" for name, version in sorted(installed.items()) if name]
    log = ToolLog(scratch / "own.log")
    for allowed in (constraints, []):  # a version of here may be for this Python alone
        output = _resolved(target, needed, allowed, scratch, log)
        if output is not None:
            return lockfile.absolute_lock(lockfile.parse_lock(output.read_text("utf-8")), output.parent)
    raise tool_failure("what mlproj needs in the image could not be resolved", 1, log, cache)


def _resolved(
    target: Target, needed: Sequence[str], constraints: Sequence[str], scratch: Path, log: ToolLog
) -> Path | None:
    source, limits, output = scratch / "own.in", scratch / "own-constraints.txt", scratch / "pylock.own.toml"
    source.write_text("".join(f"{line}\n" for line in needed), "utf-8")
    limits.write_text("".join(f"{line}\n" for line in constraints), "utf-8")
    arguments = ["pip", "compile", "--quiet", "--format=pylock.toml", "--no-header"]
    arguments += [f"--output-file={output}", f"--constraints={limits}", f"--python-version={target.python}"]
    arguments += [f"--python-platform={UV_PLATFORMS[target.platform]}", "--only-binary=:all:", "--", str(source)]
    status = run_uv(arguments, cwd=scratch, env=uv_variables(Virtualenv(), offline=False), log=log)
    return output if status == 0 else None
