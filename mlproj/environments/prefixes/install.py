"""Installing a lock into a prefix: rattler links conda's packages, uv adds the ``pip:`` part; then the record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlproj.environments import builds
from mlproj.environments.environment import Report, platform_name
from mlproj.environments.install import installed_packages
from mlproj.environments.prefixes import lockfile, pip_part
from mlproj.environments.prefixes.contents import refuse_ways_out
from mlproj.environments.prefixes.declaration import variable_problem
from mlproj.environments.prefixes.lockfile import Locked
from mlproj.environments.prefixes.packages import fetch_packages, lay_out
from mlproj.environments.prefixes.records import record_of, site_packages
from mlproj.environments.prefixes.resolution import Decision, Request
from mlproj.environments.prefixes.solving import wait_for_result
from mlproj.errors import EnvironmentBuildError
from mlproj.files import dump_json
from mlproj.text import one_line, plural, printable


class _Progress:
    """Keeps which scripts failed.

    rattler calls it by these names, and gives back to the later calls what the earlier ones gave.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._scripts: list[str] = []
        self.failed_scripts: list[str] = []

    def on_post_link_start(self, package_name: str, _script_path: str) -> int:
        self._report(one_line(f"running the post-link script of {package_name}"))
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


def sweep_links(cache: Path) -> None:
    """Remove the names that builders had for environments of theirs when they were killed."""
    with suppress(OSError):
        for path in (cache / "environments").iterdir():
            # That of a builder at work leads somewhere; what comes in its place is a folder, which is not unlinked.
            if path.is_symlink() and not path.exists():
                with suppress(OSError):
                    path.unlink()


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
    shelf = request.shelf
    unpacked = fetch_packages(packages, shelf)
    python = next((each for each in packages if each.name == "python"), None)
    refuse_ways_out([each.contents for each in unpacked], site_packages(python) if python else None)
    links = request.scratch / "packages"
    lay_out(unpacked, links)
    # They were compared with their digests when they were taken from the shelf.
    cache = rattler.PackageCache.new_layered([links], validation_mode=rattler.ValidationMode.skip())
    progress = _Progress(request.report)
    try:
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
            hint=f"packages are kept in {shelf.folder}",
        ) from None
    if progress.failed_scripts:
        names = ", ".join(map(one_line, progress.failed_scripts))
        raise EnvironmentBuildError(
            f"the post-link scripts of {names} failed",
            hint="without `post_link_scripts: true` the packages are installed and no script is run",
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
        except (OSError, ValueError, RecursionError) as error:
            raise EnvironmentBuildError(
                f"the variables in `{one_line(path.relative_to(folder))}` cannot be read: {one_line(error)}"
            ) from None
        variables = read.get("env_vars", {}) if path.name == "state" and isinstance(read, dict) else read
        for name, value in variables.items() if isinstance(variables, dict) else ():
            if (problem := variable_problem(name, value)) is not None:
                raise EnvironmentBuildError(
                    f"the variable `{one_line(name)}` in `{one_line(path.relative_to(folder))}` {problem}"
                )
            found[name] = str(value)
    return found
