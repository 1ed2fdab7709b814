"""Installing a lock into a prefix: rattler links conda's packages, uv adds the ``pip:`` part; then the record."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlproj.environments import builds
from mlproj.environments.environment import Report, platform_name
from mlproj.environments.install import installed_packages
from mlproj.environments.prefixes import lockfile, pip_part
from mlproj.environments.prefixes.lockfile import Locked
from mlproj.environments.prefixes.resolution import Decision, Request, record_of
from mlproj.environments.prefixes.solving import wait_for_result
from mlproj.errors import EnvironmentBuildError
from mlproj.files import dump_json, human_size, sha256_of_file
from mlproj.text import one_line, plural, printable

_LARGE = 20_000_000
_ABANDONED_S = 86_400


class _Progress:
    """Reports the large downloads, and keeps which scripts failed.

    rattler calls it by these names, and gives back to the later calls what the earlier ones gave.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._names: list[str] = []
        self._told: set[int] = set()
        self._scripts: list[str] = []
        self.failed_scripts: list[str] = []

    def on_populate_cache_start(self, _operation: int, package_name: str) -> int:
        self._names.append(package_name)
        return len(self._names) - 1

    def on_download_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_download_progress(self, download_idx: int, _progress: int, total: int | None) -> None:
        if total is not None and total >= _LARGE and download_idx not in self._told:
            self._told.add(download_idx)
            self._report(one_line(f"downloading {self._names[download_idx]} ({human_size(total)})"))

    def on_post_link_start(self, package_name: str, _script_path: str) -> int:
        self._scripts.append(package_name)
        return len(self._scripts) - 1

    def on_post_link_complete(self, index: int, success: bool) -> None:
        if not success:
            self.failed_scripts.append(self._scripts[index])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *_: 0
        raise AttributeError(name)


def install_lock(request: Request, decision: Decision, key: str) -> Path:
    """Make the environment of ``key`` in the scratch folder. Gives its folder, ready to be moved to its place.

    Raises ``EnvironmentBuildError``.
    """
    folder, final = request.scratch / "environment", builds.environment_folder(request.cache, key)
    conda = [each for each in decision.packages if each.manager == "conda"]
    pip = [each for each in decision.packages if each.manager == "pip"]
    request.report(f"installing {plural(len(conda), 'package')}")
    folder.mkdir()
    if request.spec.post_link_scripts:
        # They may write down where they run, so they have to run where the environment will be.
        with _standing_at(final, folder):
            _link(request, conda, final, None)
    else:
        _link(request, conda, folder, final)
        left_out = sorted(path.name[1:].removesuffix("-post-link.sh") for path in folder.glob("bin/.*-post-link.sh"))
        if left_out:
            names = ", ".join(map(one_line, left_out))
            request.report(f"not run: the post-link scripts of {names} (`post_link_scripts: true` allows them)")
    (folder / "conda-meta").mkdir(exist_ok=True)
    packages = {each.name: each.version for each in conda}
    if pip or pip_part.local_folders(request.pip, request.folder):
        before = installed_packages(folder)
        pip_part.install_pip(
            pip,
            request.pip,
            folder,
            folder=request.folder,
            scratch=request.scratch,
            cache=request.cache,
            env=request.env,
            report=request.report,
        )
        _mend_scripts(folder, final)
        packages |= {
            name: version for name, version in installed_packages(folder).items() if before.get(name) != version
        }
    _finish(request, decision, key, folder, packages)
    return folder


@contextmanager
def _standing_at(final: Path, folder: Path) -> Iterator[None]:
    """Have ``folder`` answer to the name that it will have. Its builder alone does this, who holds the build lock."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.is_symlink():
        # A builder was killed.
        final.unlink()
    if final.exists():
        final.rename(folder.parent / "broken-before")
    final.symlink_to(folder, target_is_directory=True)
    try:
        yield
    finally:
        final.unlink()


def _link(request: Request, packages: Sequence[Locked], prefix: Path, written_as: Path | None) -> None:
    import rattler
    from rattler import exceptions

    records = [record_of(each) for each in packages]
    _refuse_other_files(packages)
    # A file of an environment that somebody wrote into is one of the cache's too, where it is a hard link.
    cache = rattler.PackageCache.new_layered(
        [request.cache / "conda" / "packages"], validation_mode=rattler.ValidationMode.full()
    )
    _sweep_unpacking(request.cache / "conda" / "packages")
    progress = _Progress(request.report)
    try:
        if request.policy.offline:
            _refuse_downloads(packages, wait_for_result(cache.index()))
        wait_for_result(
            rattler.install(
                records,
                prefix,
                installed_packages=[],
                execute_link_scripts=request.spec.post_link_scripts,
                show_progress=False,
                reporter=progress,
                client=request.client,
                alternative_target_prefix=written_as,
                package_cache=cache,
            )
        )
    except (
        exceptions.InstallerError,
        exceptions.TransactionError,
        exceptions.LinkError,
        exceptions.IoError,
        exceptions.ExtractError,
    ) as error:
        said = printable(request.channels.hide(str(error)))
        lines = [line.removeprefix("Caused by: ").strip() for line in said.splitlines() if line.strip()]
        raise EnvironmentBuildError(
            "the packages could not be installed:\n" + "\n".join(f"  {line}" for line in lines),
            hint=f"packages are kept in {request.cache / 'conda' / 'packages'}",
        ) from None
    if progress.failed_scripts:
        names = ", ".join(map(one_line, progress.failed_scripts))
        raise EnvironmentBuildError(
            f"the post-link scripts of {names} failed",
            hint="without `post_link_scripts: true` the packages are installed and no script is run",
        )


def _sweep_unpacking(packages: Path) -> None:
    """Remove what killed processes left half unpacked. Which those are, only their age tells."""
    for path in packages.glob(".*-*"):
        with suppress(OSError):
            if path.is_dir() and path.stat().st_mtime < time.time() - _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)


def _refuse_other_files(packages: Sequence[Locked]) -> None:
    """Refuse a file of a channel on this machine that is not the locked one: rattler looks at those it downloads."""
    for each in packages:
        if not each.url.startswith("file://") or each.sha256 is None:
            continue
        path = Path(unquote(urlsplit(each.url).path))
        if path.is_file() and (found := sha256_of_file(path)) != each.sha256:
            raise EnvironmentBuildError(
                f"the packages could not be installed:\n  {one_line(path)} has the SHA-256 {found},"
                f" and not {one_line(each.sha256)} as the lock says"
            )


def _refuse_downloads(packages: Sequence[Locked], index: Any) -> None:
    missing = [
        each.name
        for each in packages
        if not each.url.startswith("file://") and not index.contains_record(record_of(each))
    ]
    if missing:
        raise EnvironmentBuildError(
            f"`--offline`: not in the cache: {', '.join(map(one_line, sorted(missing)))}",
            hint="they are fetched once by the same command without `--offline`",
        )


def _mend_scripts(folder: Path, final: Path) -> None:
    """Have the commands that uv installed find the Python of the place that they will be moved to."""
    before, after = str(folder).encode(), str(final).encode()
    for path in (folder / "bin").iterdir():
        if path.is_symlink() or not path.is_file() or path.stat().st_nlink > 1:
            continue
        with path.open("rb") as stream:
            start = stream.read(4096)
        if before in start and b"\0" not in start:
            path.write_bytes(path.read_bytes().replace(before, after))


def _finish(request: Request, decision: Decision, key: str, folder: Path, packages: dict[str, str]) -> None:
    (folder / "conda-lock.yml").write_text(lockfile.dump_lock(decision.document), "utf-8")
    logs = [request.scratch / f"{name}.log" for name in ("resolve", "install", "check")]
    listed = "".join(f"{each.manager} {each.name} {each.version} {each.build}\n" for each in decision.packages)
    (folder / "build.log").write_bytes(listed.encode() + b"".join(path.read_bytes() for path in logs if path.exists()))
    (folder / "projects").mkdir()
    python = next((each for each in decision.packages if (each.manager, each.name) == ("conda", "python")), None)
    record = {
        "kind": "conda",
        "key": key,
        # As it is with a Python and without one.
        "needs": ["conda-meta", *(["bin/python"] if python is not None else [])],
        "platform": platform_name(),
        "python": python.version if python else None,
        "implementation": "cpython" if python else None,
        "interpreter": None,
        "created_at": time.time(),
        "packages": dict(sorted(packages.items())),
        "activation": {"scripts": _activation_scripts(folder), "variables": _activation_variables(folder)},
    }
    (folder / builds.RECORD).write_text(dump_json(record), "utf-8")


def _activation_scripts(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("etc/conda/activate.d/*.sh"))


def _activation_variables(folder: Path) -> dict[str, str]:
    """The variables that packages and the environment itself ask for, the latter with the last word."""
    found: dict[str, str] = {}
    for path in [*sorted(folder.glob("etc/conda/env_vars.d/*.json")), folder / "conda-meta" / "state"]:
        try:
            read = json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise EnvironmentBuildError(
                f"the variables in `{one_line(path.relative_to(folder))}` cannot be read: {one_line(error)}"
            ) from None
        variables = read.get("env_vars", {}) if path.name == "state" and isinstance(read, dict) else read
        if isinstance(variables, dict):
            found.update((str(name), str(value)) for name, value in variables.items())
    return found
