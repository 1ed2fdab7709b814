"""An image of a project: its layers, from those that change the least, and the context that they are built from."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mlproj.environments.environment import Report
from mlproj.environments.images.building import has_buildkit, send_build
from mlproj.environments.images.engine import Engine, engine_errors_but_refusals, explanation
from mlproj.environments.images.references import parse_reference
from mlproj.environments.uv import ToolLog
from mlproj.errors import EnvironmentBuildError, PackagingError, UsageError
from mlproj.locations import MADE_FROM_VARIABLE, PROJECT_VARIABLE
from mlproj.manifest.models import EnvironmentSpec
from mlproj.packaging.base_image import BaseImage
from mlproj.packaging.entries import FIXED_TIME, Entry, open_tar, write_entry
from mlproj.packaging.inside import ENVIRONMENTS
from mlproj.packaging.inside_base import ENVIRONMENTS_MADE, HOME, MADE, OWN, USER
from mlproj.text import one_line

_INSIDE_BASE = Path(__file__).with_name("inside_base.py")
# Where wheels and tools are seen while a step runs; they are in no layer.
_BUILDING = "/mnt"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_.+/-]*")


@dataclass(frozen=True)
class ImageRecipe:
    """All that an image is made from.

    ``own`` are mlproj's wheels by name; ``environment`` is what decides the environments, with their packages;
    ``source`` are the project's files, ``made_from`` says where those are from. ``variables`` are set in it. ``kind``
    is another one to run in than the declared. Without the ``cache`` of the engine every step is done again.
    """

    reference: str
    base: BaseImage
    project_at: str
    entry_point: str | None
    kind: str | None
    own: Mapping[str, Path]
    environment: Sequence[Entry]
    source: Sequence[Entry]
    variables: Mapping[str, str]
    labels: Mapping[str, str]
    made_from: str
    platform: str | None
    cache: bool = True


def environments_entry(wanted: Sequence[tuple[str | None, EnvironmentSpec]]) -> Entry:
    """The file by which the environments are built in the image, without the rest of the manifest."""
    specs = {name: {kind: value for kind, value in asdict(spec).items() if value} for name, spec in wanted}
    named = {name: spec for name, spec in specs.items() if name is not None}
    content = json.dumps({"entry_points": {}, "environment": specs.get(None), "environments": named}, sort_keys=True)
    return Entry(ENVIRONMENTS, content=content.encode())


def dockerfile(recipe: ImageRecipe) -> str:
    """The steps: mlproj in an environment of its own, the project's environments, its source.

    No shell runs. Packages are in no layer but as they are installed, and nothing secret is in the steps.
    """
    project, seconds = recipe.project_at, str(FIXED_TIME)
    if not _PLAIN_PATH.fullmatch(project) or project == "/":
        raise UsageError(f"`project_at: {one_line(project)}` cannot be a project's place in an image")
    begin = [recipe.base.python, "-I", "-B", f"{_BUILDING}/{_INSIDE_BASE.name}", f"{_BUILDING}/wheels", seconds]
    prepare = [f"{OWN}/bin/python", "-I", "-B", "-m", "mlproj.packaging.inside", project, seconds]
    has_environments = any(entry.name == ENVIRONMENTS for entry in recipe.environment)
    variables = f"ENV HOME={HOME} MLPROJ_HOME={HOME}/runs MLPROJ_CACHE={HOME}/cache"
    lines = [
        f"FROM {recipe.base.image.reference} AS made",
        "USER root",
        f"RUN --mount=type=bind,source=building,target={_BUILDING} {json.dumps(begin)}",
        f"USER {USER}:{USER}",
        variables,
    ]
    if has_environments:
        # Where the project will be, so that what is remembered of it is found by the runs.
        lines += [f"COPY --chown={USER}:{USER} environment/ {project}/", f"RUN {json.dumps(prepare)}"]
    lines += [f"FROM {recipe.base.image.reference}", f"COPY --from=made {MADE}/ /"]
    lines += [f"COPY --from=made {ENVIRONMENTS_MADE}/ /"] if has_environments else []
    lines += [f"USER {USER}:{USER}", variables]
    lines += [f"ENV {name}={_quoted(value)}" for name, value in sorted(recipe.variables.items())]
    lines += [f"COPY --chown={USER}:{USER} source/ {_parent(project)}", f"WORKDIR {project}"]
    lines += [f"ENV {PROJECT_VARIABLE}={project}", f"ENV {MADE_FROM_VARIABLE}={_quoted(recipe.made_from)}"]
    command = [f"{OWN}/bin/mlproj", "run", project]
    command += [] if recipe.kind is None else ["--env-manager", recipe.kind]
    command += [] if recipe.entry_point is None else [f"--entry-point={recipe.entry_point}"]
    lines.append(f"ENTRYPOINT {json.dumps(command)}")
    return "\n".join(lines) + "\n"


def _parent(project: str) -> str:
    """The folder that the project's is in, which is given no other owner by what is copied into it."""
    return f"{PurePosixPath(project).parent.as_posix().rstrip('/')}/"


def _quoted(text: str) -> str:
    """A value as a Dockerfile's ENV has it. Raises ``UsageError`` for one that it cannot have."""
    if any(letter in text for letter in "\n\r\0"):
        raise UsageError(f"the variable's value `{one_line(text)}` holds a line break, which no image can have")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def write_context(recipe: ImageRecipe, stream: IO[bytes]) -> None:
    """Write the tar that the engine builds from: in it nothing is of this machine but the contents."""
    # BuildKit tells a tar by its first kilobyte: a folder's plain header, whatever comes after it.
    with open_tar(stream, format=tarfile.GNU_FORMAT) as tar:
        _add_folder(tar, ".")
        write_entry(tar, Entry("Dockerfile", content=dockerfile(recipe).encode("utf-8", "surrogateescape")))
        tools = [Entry("uv", content=_uv_of(recipe.own), executable=True), Entry(_INSIDE_BASE.name, _INSIDE_BASE)]
        wheels = [Entry(f"wheels/{name}", path) for name, path in recipe.own.items()]
        parts: list[tuple[str, Sequence[Entry]]] = [
            ("building", [*tools, *wheels]),
            ("environment", recipe.environment),
            (f"source/{PurePosixPath(recipe.project_at).name}", recipe.source),
        ]
        _add_folder(tar, "source")
        for part, entries in parts:
            _add_folder(tar, part)
            made: set[str] = set()
            for entry in sorted(entries, key=lambda each: each.name):
                for folder in reversed(Path(entry.name).parents[:-1] if "/" in entry.name else []):
                    if (name := f"{part}/{folder.as_posix()}") not in made:
                        made.add(name)
                        _add_folder(tar, name)
                write_entry(tar, _within(part, entry))
    stream.seek(0)


def _within(part: str, entry: Entry) -> Entry:
    return Entry(f"{part}/{entry.name}", entry.path, entry.content, entry.target, entry.executable, entry.size)


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.mtime = tarfile.DIRTYPE, 0o755, FIXED_TIME
    tar.addfile(header)


def _uv_of(wheels: Mapping[str, Path]) -> bytes:
    """The uv program for the image, out of its wheel: what installs there, where there may be no pip."""
    for name, path in wheels.items():
        if name.startswith("uv-"):
            with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
                inside = next(each for each in archive.namelist() if each.endswith(".data/scripts/uv"))
                return archive.read(inside)
    raise PackagingError("there is no uv among what mlproj needs")


def build(engine: Engine, recipe: ImageRecipe, cache: Path, scratch: Path, report: Report) -> str:
    """Build the image and give its id. It has its name when it is whole.

    Raises ``EnvironmentBuildError`` with the last lines of a build that fails, ``UsageError`` for an engine too old.
    """
    if not has_buildkit(engine) and not engine.is_podman:
        raise UsageError("the Docker engine is too old to build it", hint="Docker 18.09 was the first with BuildKit.")
    context = scratch / "context.tar"
    with context.open("w+b") as stream:
        write_context(recipe, stream)
        report(f"building {one_line(recipe.reference)}")
        parameters: dict[str, Any] = {
            "t": recipe.reference,
            "dockerfile": "Dockerfile",
            "labels": json.dumps(dict(recipe.labels)),
            "platform": recipe.platform,
            "nocache": not recipe.cache,
        }
        send_build(engine, stream, parameters, ToolLog(scratch / "build.log"), cache, report)
    context.unlink()
    identifier: str = engine.client.inspect_image(recipe.reference)["Id"]
    return identifier


def push(engine: Engine, reference: str, report: Report) -> str | None:
    """Push an image to its registry, with the user's own login; gives its digest there. Raises ``PackagingError``."""
    from docker.errors import APIError

    parsed = parse_reference(reference)
    report(f"pushing {one_line(reference)}")
    digest: str | None = None
    failure: str | None = None
    try:
        with engine_errors_but_refusals(engine.address):
            for answer in engine.client.push(parsed.repository, tag=parsed.tag, stream=True, decode=True):
                if "error" in answer:
                    failure = str(answer["error"])
                digest = (answer.get("aux") or {}).get("Digest") or digest
    except APIError as error:
        failure = explanation(error)
    except EnvironmentBuildError as error:
        raise PackagingError(error.message, hint=error.hint) from None
    if failure is not None:
        registry = parsed.full_repository.partition("/")[0]
        raise PackagingError(
            f"the image `{one_line(reference)}` could not be pushed: {one_line(failure)}",
            hint=f"It is on the engine. Is {one_line(registry)} right, and are you logged in (`docker login`)?",
        )
    return digest
