"""The image that a project's image is built on, and the Python that is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlproj.environments.environment import Policy, Report
from mlproj.environments.images.engine import Engine, engine_errors_but_refusals, explanation
from mlproj.environments.images.probes import probe_container
from mlproj.environments.images.pulls import Wanted, have
from mlproj.environments.images.references import Image
from mlproj.environments.vendored import CONDA_PLATFORMS, Target
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.packaging.inside_base import OWN
from mlproj.packaging.own_wheels import OLDEST_PYTHON
from mlproj.text import one_line

_PROGRAMS = ("python3", "python")
_PROBE = (
    "import sys, os, platform, json; print(json.dumps(['mlproj-probe', getattr(sys, '_base_executable', '')"
    " or sys.executable, platform.python_version(), platform.machine(), platform.libc_ver(),"
    f" os.path.exists({str(OWN)!r})]))"
)


@dataclass(frozen=True)
class BaseImage:
    """An image that the engine has, and its Python: where, and what wheels are for it."""

    image: Image
    python: str
    target: Target


def base_image(engine: Engine, reference: str, platform: str | None, report: Report) -> BaseImage:
    """The image to build on, pulled where the engine has it not. Its Python is asked by running it.

    Raises ``EnvironmentBuildError`` when it is not to be had, ``UsageError`` for one that mlproj cannot be put into.
    """
    try:
        image, _ = have(engine, Wanted(reference, platform, "missing"), Policy(), report)
    except EnvironmentBuildError as error:
        hint = "`--base` names another image with a Python, such as one that the engine has (`docker images`)."
        raise EnvironmentBuildError(error.message, hint=hint) from None
    shown = one_line(reference)
    for program in _PROGRAMS:
        answer = _ask(engine, image.id, program)
        if answer is None:
            continue
        path, version, machine, (library, of_library), has_own = answer
        if has_own:
            raise UsageError(
                f"the image `{shown}` has an mlproj in it already, at {OWN}",
                hint="Build on the image that it was built on, its label `org.opencontainers.image.base.name`.",
            )
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PYTHON:
            raise UsageError(f"the image `{shown}` has Python {version}, and mlproj, which is put into it, needs 3.10")
        name = f"linux-{machine}"
        numbers = of_library.split(".")
        if library != "glibc" or name not in CONDA_PLATFORMS or not all(each.isdigit() for each in numbers[:2]):
            has = f"{library or 'another C library'} on {machine}"
            raise UsageError(
                f"the image `{shown}` has {one_line(has)}: images are built on glibc, for x86_64 and aarch64",
                hint="Instead of an Alpine image take a Debian one: `--base python:3.12-slim`.",
            )
        glibc = (int(numbers[0]), int(numbers[1]))
        return BaseImage(image, path, Target(name, version.rstrip("+"), glibc=glibc))
    raise UsageError(
        f"the image `{shown}` has no Python, and mlproj, which is put into it, needs one of at least 3.10",
        hint="`--base` names another image; for a Docker environment its image has to have one.",
    )


def _ask(engine: Engine, image: str, program: str) -> tuple[str, str, str, tuple[str, str], bool] | None:
    """What a Python in the image says of itself; ``None`` when there is none of this name."""
    from docker.errors import APIError

    client, is_made = engine.client, False
    host = client.create_host_config(network_mode="none")
    options = {"entrypoint": [program], "host_config": host, "user": "0", "network_disabled": True}
    try:
        with (
            engine_errors_but_refusals(engine.address),
            probe_container(client, image, ["-I", "-c", _PROBE], **options) as created,
        ):
            is_made = True
            client.start(created)
            client.wait(created, timeout=None)
            said = client.logs(created, stdout=True, stderr=False).decode("utf-8", "replace")
    except APIError as error:
        if is_made:
            return None  # it has no such program
        raise UsageError(f"the image cannot be run: {one_line(explanation(error))}") from None
    for line in said.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, list) and answer[:1] == ["mlproj-probe"]:
            _, path, version, machine, library, has_own = answer
            return str(path), str(version), str(machine), (str(library[0]), str(library[1])), bool(has_own)
    return None
