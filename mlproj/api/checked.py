"""Manifests that are known to be valid: checked in full once for each content, and remembered in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlproj.errors import UsageError
from mlproj.files import sha256_of_text, write_atomically
from mlproj.locations import cache_folder
from mlproj.manifest.diagnostics import ManifestError
from mlproj.manifest.entry_points import entry_point_of, is_script
from mlproj.manifest.environment_files import environments_of, files_of_environments
from mlproj.manifest.finding import (
    CONDA_FILE,
    MANIFEST_NAME,
    MLFLOW_NAME,
    PYTHON_ENV_FILE,
    NoManifestError,
    find_manifest,
    is_mlproject,
)
from mlproj.manifest.models import Manifest, manifest_from
from mlproj.sources.local import project_folder
from mlproj.text import one_line
from mlproj.version import __version__

if TYPE_CHECKING:
    from mlproj.manifest.diagnostics import Diagnostic
    from mlproj.manifest.load import LoadedManifest

_LARGEST_REMEMBERED = 1 << 20
_CREDENTIALS = re.compile(rb"://[^/\s]*@|(?i:token|key|secret|sig\w*|passw\w*)=")  # in a URL: not to be copied


@dataclass(frozen=True)
class CheckedManifest:
    """A manifest that can be run, and its warnings, each with the entry point it is about (``None``: all of them).

    ``broken`` says what is wrong with those entry points of an MLproject that cannot be run.
    """

    path: Path
    manifest: Manifest
    warnings: tuple[tuple[str | None, str], ...]
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.path.parent

    @property
    def name(self) -> str:
        """The project's name: as declared, else its folder's."""
        return self.manifest.name or self.folder.resolve().name or "project"


def manifest_folder(project: str) -> Path:
    """The folder of a project named by it, or by a file in it.

    Raises ``UsageError`` for a YAML file that is not the manifest: to run another one would surprise.
    """
    path = Path(project)
    if path.suffix in (".yaml", ".yml") and path.name != MANIFEST_NAME and path.is_file():
        raise UsageError(f"{one_line(project)} is no manifest: that is called {MANIFEST_NAME} or {MLFLOW_NAME}")
    return project_folder(project)


def checked_manifest(folder: Path, cache: Path) -> CheckedManifest:
    """``checked_manifest_file`` of a folder's manifest. Raises ``NoManifestError`` too."""
    return checked_manifest_file(find_manifest(folder), cache)


def checked_manifest_file(path: Path, cache: Path) -> CheckedManifest:
    """A manifest, which is not checked again while the file and those that it names are the same.

    Raises ``ManifestError`` with all findings when one of them is an error; in an MLproject those of one entry point
    leave the others to be run.
    """
    memo, folder = _memo(path, cache), path.parent
    if memo is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(memo.read_text("utf-8"))
            manifest = manifest_from(known["manifest"])
            unchanged = all(_digest(folder / name) == digest for name, digest in known["files"].items())
            if unchanged and all((folder / name).is_file() for name in files_of_environments(manifest)):
                warnings = tuple((about, text) for about, text in known["warnings"])
                return CheckedManifest(path, manifest, warnings, known["broken"])
    try:
        loaded, findings = load_checked_file(path)
    except ManifestError as error:
        findings = list(error.diagnostics)
        if error.remainder is None or not _others_can_run(error.remainder, findings):
            raise
        loaded = error.remainder
    warnings = tuple(
        (entry_point_of(loaded.document, each), str(each)) for each in findings if each.severity == "warning"
    )
    broken = _broken(loaded, findings)
    if memo is not None:
        files = {name: _digest(folder / name) for name in _files_read(loaded, path)}
        known = {"manifest": loaded.declared, "warnings": warnings, "broken": broken, "files": files}
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time alone
            write_atomically(memo, json.dumps(known))
    return CheckedManifest(path, loaded.manifest, warnings, broken)


def undeclared_manifest(folder: Path) -> CheckedManifest:
    """What can be run of a folder without a manifest, as MLflow has it: its scripts.

    Raises ``ManifestError`` when the environment file that it uses is broken.
    """
    from mlproj.manifest.mlproject import undeclared_project

    declared, environment = undeclared_project(folder)
    if any(each.severity == "error" for each in environment.findings):
        raise ManifestError(environment.findings)
    warnings = tuple((None, str(each)) for each in environment.findings if each.severity == "warning")
    return CheckedManifest(folder / MLFLOW_NAME, manifest_from(declared), warnings)


def manifest_to_run(folder: Path, entry_point: str | None) -> CheckedManifest:
    """The manifest by which an entry point of a folder is run; a script can be run without one, as MLflow has it.

    Raises ``ManifestError``, and ``NoManifestError`` where there is none and it is no script.
    """
    try:
        return checked_manifest(folder, cache_folder())
    except NoManifestError:
        if is_script(entry_point):
            return undeclared_manifest(folder)
        raise


def _others_can_run(loaded: LoadedManifest, findings: Sequence[Diagnostic]) -> bool:
    errors = [each for each in findings if each.severity == "error"]
    return loaded.manifest.dialect == "mlflow" and all(entry_point_of(loaded.document, each) for each in errors)


def _broken(loaded: LoadedManifest, findings: Sequence[Diagnostic]) -> dict[str, str]:
    broken: dict[str, str] = {}
    for each in findings:
        if each.severity == "error" and (name := entry_point_of(loaded.document, each)) is not None:
            broken[name] = f"{broken[name]}\n{each}" if name in broken else str(each)
    return broken


def _files_read(loaded: LoadedManifest, path: Path) -> Iterator[str]:
    """The files beside the manifest that decided how it was read, whether they are there or not."""
    if is_mlproject(path):
        yield from (PYTHON_ENV_FILE, CONDA_FILE)
        yield from (each.relative_to(path.parent).as_posix() for each in loaded.files)
    else:
        yield MLFLOW_NAME


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _memo(path: Path, cache: Path) -> Path | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None  # the full check says why
    if len(content) > _LARGEST_REMEMBERED or _CREDENTIALS.search(content):
        return None
    known_by = sha256_of_text(f"{__version__}\n{path}\n{content.decode('utf-8', 'surrogateescape')}")
    return cache / "manifests" / f"{known_by[:32]}.json"


def _of_environments(loaded: LoadedManifest) -> Iterator[Diagnostic]:
    from mlproj import environments

    for at, spec in environments_of(loaded.manifest):
        # An MLproject has them under keys of its own.
        place = (*at, spec.kind) if (*at, spec.kind) in loaded.document.values else (f"{spec.kind}_env",)
        for problem in environments.problems(spec, loaded.folder):
            yield loaded.document.diagnostic(problem, place, key=place in loaded.document.keys)


def load_checked(folder: Path) -> tuple[LoadedManifest, list[Diagnostic]]:
    """The manifest of a folder, and the warnings and hints about it.

    Raises ``ManifestError`` with all findings when one of them is an error, ``NoManifestError``.
    """
    return load_checked_file(find_manifest(folder))


def load_checked_file(path: Path) -> tuple[LoadedManifest, list[Diagnostic]]:
    """``load_checked`` of one file."""
    from mlproj.manifest import consistency as manifest_consistency
    from mlproj.manifest.load import load_manifest_file
    from mlproj.parameters import consistency as parameter_consistency

    earlier: tuple[Diagnostic, ...] = ()
    try:
        loaded = load_manifest_file(path)
    except ManifestError as error:
        if error.remainder is None:
            raise
        loaded, earlier = error.remainder, error.diagnostics
    found = list(loaded.findings)
    found += [*manifest_consistency.inconsistencies(loaded), *parameter_consistency.inconsistencies(loaded)]
    if not earlier and not any(each.severity == "error" for each in found):
        found += _of_environments(loaded)
    if earlier:
        # What is warned of may be the doing of what was left out.
        found = [*earlier, *(each for each in found if each.severity == "error")]
    found = list(dict.fromkeys(found))  # what is merged into several places is told once
    found.sort(key=lambda each: (each.span.line, each.span.column) if each.span else (0, 0))
    if any(each.severity == "error" for each in found):
        raise ManifestError(found, loaded)
    return loaded, found
