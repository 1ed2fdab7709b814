"""What conda knows of a machine: its platform, and the virtual packages that stand for what it has."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.text import one_line

if TYPE_CHECKING:
    from rattler import GenericVirtualPackage

_PLATFORMS = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "ppc64le"): "linux-ppc64le",
    ("darwin", "x86_64"): "osx-64",
    ("darwin", "arm64"): "osx-arm64",
}
_OVERRIDE = "CONDA_OVERRIDE_"


def this_platform() -> str:
    """Conda's name of this machine's platform. Raises ``EnvironmentBuildError`` where conda has none."""
    machine = (sys.platform, os.uname().machine)
    if machine not in _PLATFORMS:
        raise EnvironmentBuildError(f"conda environments cannot be made on this platform, {'-'.join(machine)}")
    return _PLATFORMS[machine]


def override_variables() -> list[str]:
    """The names of the variables that may say what the machine has."""
    usual = [f"{_OVERRIDE}{name}" for name in ("ARCHSPEC", "CUDA", "GLIBC", "LINUX", "OSX", "UNIX", "WIN")]
    return sorted({*usual, *(name for name in os.environ if name.startswith(_OVERRIDE))})


def overrides() -> dict[str, str]:
    """What the caller's ``CONDA_OVERRIDE_…`` variables say, by virtual package."""
    return {
        f"__{name.removeprefix(_OVERRIDE).lower()}": value.strip()
        for name, value in os.environ.items()
        if name.startswith(_OVERRIDE)
    }


def virtual_packages(platform: str, declared: Mapping[str, str]) -> dict[str, str]:
    """The virtual packages to solve for, name to version, with its build after a space where that says something.

    Those of this machine, or for another platform the ones that conda-lock takes for it; then what
    ``CONDA_OVERRIDE_…`` and what the manifest say instead.
    """
    if platform == this_platform():
        found = _detected()
        # rattler knows some of them only; an empty one says that there is none.
        found.update(overrides())
    else:
        found = _usual()[platform]
    found.update(declared)
    return {name: version for name, version in found.items() if version}


def _detected() -> dict[str, str]:
    from rattler import VirtualPackage, VirtualPackageOverrides

    found = {}
    for package in VirtualPackage.detect(VirtualPackageOverrides()):
        generic = package.into_generic()
        build = str(generic.build_string)
        found[generic.name.source] = str(generic.version) + (f" {build}" if build != "0" else "")
    return found


def _usual() -> dict[str, dict[str, str]]:
    # conda-lock's own file, found without importing conda-lock, which takes as long as a whole run.
    from importlib.util import find_spec

    import yaml

    spec = find_spec("conda_lock")
    assert spec is not None and spec.origin is not None
    document: dict[str, Any] = yaml.safe_load(Path(spec.origin).with_name("default-virtual-packages.yaml").read_text())
    usual = {platform: dict(each["packages"]) for platform, each in document["subdirs"].items()}
    for packages in usual.values():
        # A package for a GPU is not what a machine without one should get by default.
        packages.pop("__cuda", None)
    return usual


def as_rattler_has_them(packages: Mapping[str, str]) -> list[GenericVirtualPackage]:
    """Virtual packages as the solver takes them. Raises ``UsageError`` for a version that is none."""
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    made = []
    for name, text in packages.items():
        version, _, build = text.partition(" ")
        try:
            made.append(GenericVirtualPackage(PackageName(name), Version(version), BuildString(build or "0")))
        except Exception as error:  # rattler has an error of its own for each part
            raise UsageError(f"`{one_line(name)}: {one_line(text)}` is no virtual package: {one_line(error)}") from None
    return made


def unmet(requirements: Mapping[str, str], packages: Mapping[str, str]) -> list[str]:
    """Those of ``requirements`` (name to versions) on the machine that its virtual packages do not meet."""
    from rattler import Version, VersionSpec

    missing = []
    for name, wanted in requirements.items():
        version = packages.get(name, "").partition(" ")[0]
        # `>=2.17,<3.0.a0 *`: after the versions there may be a build, which nobody asks a machine for.
        versions = wanted.split(" ")[0]
        if not version or (versions not in ("", "*") and not VersionSpec(versions).matches(Version(version))):
            missing.append(f"{name} {wanted}".strip())
    return missing
