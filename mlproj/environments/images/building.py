"""Building an image: on the engine by its API, with its BuildKit; with secrets by the docker command."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mlproj.environments.credentials import redact
from mlproj.environments.environment import Report
from mlproj.environments.images.context import Context, write_tar
from mlproj.environments.images.engine import Engine, engine_errors_but_refusals, explanation
from mlproj.environments.images.trace import Step, read_trace
from mlproj.environments.uv import ToolLog, run_logged, tool_failure
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.text import one_line, printable

KEY_LABEL = "mlproj.key"
_BUILDKIT_API = "1.39"
# `Step 2/5 : RUN …` of Docker's classic builder, `STEP 2/5: RUN …` of Podman's.
_NUMBERED_STEP = re.compile(r"(?:Step|STEP) \d+/\d+ ?: (.*)")


@dataclass(frozen=True)
class Recipe:
    """All that a build is made from. ``dockerfile`` is its text, with the images that it builds on pinned."""

    key: str
    context: Context
    dockerfile: str
    args: Mapping[str, str]
    target: str | None
    platform: str | None
    secrets: Sequence[str]

    @property
    def tag(self) -> str:
        """The reference that the built image has on the engine."""
        return f"mlproj/{self.key}:latest"


def build_image(engine: Engine, recipe: Recipe, cache: Path, scratch: Path, report: Report) -> Path:
    """Build and tag an image, telling each step. Gives the path of the build's log in ``scratch``.

    Raises ``EnvironmentBuildError`` with the last lines of a build that fails, ``UsageError`` for a secret that the
    caller does not have.
    """
    log = ToolLog(scratch / "build.log")
    archive = scratch / "context.tar"
    report(f"building an image ({len(recipe.context.paths)} files)" if recipe.context.paths else "building an image")
    with archive.open("w+b") as stream:
        write_tar(recipe.context, recipe.dockerfile, stream)
        if recipe.secrets:
            _build_by_command(engine, recipe, stream, log, cache, scratch, report)
        else:
            _build_by_api(engine, recipe, stream, log, cache, report)
    archive.unlink()
    return log.path


def _build_by_api(engine: Engine, recipe: Recipe, stream: IO[bytes], log: ToolLog, cache: Path, report: Report) -> None:
    parameters = {
        "t": recipe.tag,
        "dockerfile": recipe.context.dockerfile,
        "buildargs": json.dumps(_arguments(engine.client, recipe)),
        "labels": json.dumps({KEY_LABEL: recipe.key}),
        "target": recipe.target,
        "platform": recipe.platform,
    }
    send_build(engine, stream, parameters, log, cache, report)


def send_build(
    engine: Engine, stream: IO[bytes], parameters: Mapping[str, Any], log: ToolLog, cache: Path, report: Report
) -> None:
    """Have the engine build the tar of a context, telling each step; ``parameters`` are those of its API's ``/build``.

    The image gets its name when all of it is there. Raises ``EnvironmentBuildError`` with the last lines of a build
    that fails.
    """
    from docker.errors import APIError

    client = engine.client
    headers = {"Content-Type": "application/x-tar"}
    client._set_auth_headers(headers)
    version = {"rm": True, "forcerm": True, "version": "2" if has_buildkit(engine) else "1"}
    try:
        with engine_errors_but_refusals(engine.address), log.path.open("a", encoding="utf-8") as lines:
            told = _Telling(lines, log.last_lines, report)
            # The library's own `build` knows no version 2, which is BuildKit.
            answer = client._post(
                client._url("/build"),
                data=stream,
                params={**version, **parameters},
                headers=headers,
                stream=True,
                timeout=None,
            )
            client._raise_for_status(answer)
            for message in client._stream_helper(answer, decode=True):
                told.take(message)
            told.finish()
    except APIError as error:
        raise EnvironmentBuildError(
            f"the engine refused to build the image: {one_line(redact(explanation(error)))}"
        ) from error
    except EnvironmentBuildError as error:
        raise EnvironmentBuildError(f"the build of the image broke off: {error.message}", hint=error.hint) from error
    if told.failure is not None:
        failed = tool_failure("the image could not be built", 1, log, cache)
        lines_shown = failed.message.partition("\n")[2]
        said = printable(redact(told.failure)).strip()
        raise EnvironmentBuildError(
            f"the image could not be built: {said}" + (f"\n{lines_shown}" if lines_shown else ""), hint=failed.hint
        )


def _arguments(client: Any, recipe: Recipe) -> dict[str, str]:
    # The proxies of the docker command's configuration, which it passes to every build.
    proxies: Mapping[str, str] = client._proxy_configs.get_environment()
    return {**proxies, **recipe.args}


def has_buildkit(engine: Engine) -> bool:
    """Whether the engine builds with BuildKit."""
    from docker.utils import version_gte

    return not engine.is_podman and bool(version_gte(engine.client._version, _BUILDKIT_API))


class _Telling:
    """Takes what the engine says of a build: into the log, and each step's beginning to who waits."""

    def __init__(self, lines: IO[str], last_lines: deque[str], report: Report) -> None:
        self.lines = lines
        self.last_lines = last_lines
        self.report = report
        self.failure: str | None = None
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        self.unfinished = ""

    def take(self, message: Mapping[str, Any]) -> None:
        """Take one message of the engine's."""
        if "error" in message:
            detail = message.get("errorDetail") or {}
            self.failure = str(detail.get("message") or message["error"])
        elif message.get("id") == "moby.buildkit.trace":
            steps, output = read_trace(str(message.get("aux", "")))
            for step in steps:
                self._step(step)
            self._output(output.decode("utf-8", "replace"))
        elif "stream" in message:
            self._output(str(message["stream"]))
        elif message.get("status") and "progressDetail" not in message:
            self._output(f"{message['status']}\n")

    def finish(self) -> None:
        """Take the end."""
        if self.unfinished:
            self._output("\n")
        if self.failure is not None:
            self._keep(f"ERROR: {self.failure}", last=False)

    def _step(self, step: Step) -> None:
        internal = step.name.startswith(("[internal]", "copy /context", "load", "exporting"))
        if step.started and step.digest not in self.begun:
            self.begun.add(step.digest)
            self._keep(f"#{len(self.begun)} {step.name}", last=not internal)
            if not internal:
                self.report(one_line(redact(step.name))[:160])
        if step.completed and step.digest not in self.ended:
            self.ended.add(step.digest)
            if step.error:
                self._keep(f"ERROR: {step.error}", last=False)
            elif step.cached:
                self._keep("CACHED", last=False)

    def _output(self, text: str) -> None:
        *whole, self.unfinished = (self.unfinished + text).split("\n")
        for each in whole:
            # Of what a progress bar wrote over itself, the last.
            line = each.rstrip("\r").rpartition("\r")[2]
            if step := _NUMBERED_STEP.fullmatch(line):
                self.report(one_line(redact(step[1]))[:160])
            self._keep(line, last=bool(line.strip()))

    def _keep(self, line: str, *, last: bool) -> None:
        shown = redact(line)
        self.lines.write(shown + "\n")
        self.lines.flush()
        if last:
            self.last_lines.append(shown)


def _build_by_command(
    engine: Engine,
    recipe: Recipe,
    stream: IO[bytes],
    log: ToolLog,
    cache: Path,
    scratch: Path,
    report: Report,
) -> None:
    """Build with secrets, which BuildKit asks its client for while it builds: only the docker command can answer."""
    begin = building_command()
    folder = scratch / "context"
    _unpack(stream, folder)
    _refuse_unset(recipe.secrets)
    argv = [*begin, "--progress", "plain", "--tag", recipe.tag, "--label", f"{KEY_LABEL}={recipe.key}"]
    argv += ["--file", str(folder / recipe.context.dockerfile)]
    argv += [] if recipe.target is None else [f"--target={recipe.target}"]
    argv += [] if recipe.platform is None else [f"--platform={recipe.platform}"]
    argv += ["--load"] if begin[1] == "buildx" else []
    for name, value in recipe.args.items():
        argv.append(f"--build-arg={name}={value}")
    argv += [f"--secret=id={name},env={name}" for name in recipe.secrets]

    def tell(line: str) -> None:
        # `#7 [2/3] RUN …`
        number, _, rest = line.partition(" ")
        if number.startswith("#") and rest.startswith("[") and not rest.startswith("[internal]"):
            report(one_line(redact(rest))[:160])

    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_CLI_HINTS": "false"}
    if not engine.url.startswith("ssh://") and engine.address.certificates is None:
        environment["DOCKER_HOST"] = engine.url
    status = run_logged([*argv, "--", str(folder)], cwd=scratch, env=environment, log=log, on_line=tell)
    if status != 0:
        raise tool_failure("the image could not be built", status, log, cache)


def _refuse_unset(names: Sequence[str]) -> None:
    for name in names:
        if name not in os.environ:
            raise UsageError(
                f"the secret `{one_line(name)}` of the image's build is not set",
                hint=f"set the variable {one_line(name)} in your environment",
            )


def building_command() -> list[str]:
    """The docker command that builds with BuildKit: by its buildx, or before there was one.

    Raises ``EnvironmentBuildError``.
    """

    def answer(*argv: str) -> str | None:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if answer("docker", "buildx", "version"):
        return ["docker", "buildx", "build"]
    version = answer("docker", "--version") or ""
    # `Docker version 20.10.24+dfsg1, build …`; from 23 on BuildKit is buildx.
    major = version.removeprefix("Docker version ").partition(".")[0]
    if major.isdigit() and 18 < int(major) < 23:
        return ["docker", "build"]
    raise EnvironmentBuildError(
        "a build with `secrets` needs the docker command with its buildx, and there is none",
        hint="install Docker's `docker-buildx-plugin` (Debian: `docker-buildx`); secrets are never sent as build"
        " arguments, which stay in the image",
    )


def _unpack(stream: IO[bytes], folder: Path) -> None:
    import tarfile

    folder.mkdir()
    with tarfile.open(fileobj=stream) as tar:
        # Our own tar: its links may lead anywhere, which Python 3.14 would refuse, and nothing goes through one.
        tar.extraction_filter = lambda member, _: member
        for entry in tar:
            tar.extract(entry, folder)
