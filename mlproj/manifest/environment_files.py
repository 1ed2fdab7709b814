"""The files that environments name: which they are. No pydantic here: a warm run asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from mlproj.manifest.models import Docker, EnvironmentSpec, Manifest


def files_of_environments(manifest: Manifest) -> Iterator[str]:
    """The files, relative to the project, that a manifest's environments are declared in."""
    for _, spec in environments_of(manifest):
        if spec.virtualenv is not None:
            yield from filter(None, (spec.virtualenv.requirements, spec.virtualenv.project))
        if spec.conda is not None and spec.conda.file is not None:
            yield spec.conda.file


def environments_of(manifest: Manifest) -> Iterator[tuple[tuple[int | str, ...], EnvironmentSpec]]:
    """Every environment that is declared, and where."""
    found: list[tuple[tuple[int | str, ...], EnvironmentSpec | str | None]] = [(("environment",), manifest.environment)]
    found += [(("environments", name), spec) for name, spec in manifest.environments.items()]
    found += [(("entry_points", name, "environment"), each.environment) for name, each in manifest.entry_points.items()]
    yield from ((at, spec) for at, spec in found if isinstance(spec, EnvironmentSpec))


def dockerfiles_of(docker: Docker) -> tuple[str, ...]:
    """Where the Dockerfile of an image that is built may be, relative to the project; the first that is there counts.

    One that is named is looked for from the project, as `docker build --file` has it, and from the context, as Compose
    has it.
    """
    assert docker.build is not None
    context = PurePosixPath(docker.build.context)
    if docker.build.dockerfile is None:
        return ((context / "Dockerfile").as_posix(),)
    return docker.build.dockerfile, (context / docker.build.dockerfile).as_posix()
