"""Having an image on the engine: there already, or pulled from its registry, with the user's own login."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mlproj.environments.environment import Policy, Report
from mlproj.environments.images.engine import (
    Engine,
    engine_errors_but_refusals,
    engine_platform,
    explanation,
)
from mlproj.environments.images.references import Image, image_of, parse_reference, same_platform
from mlproj.errors import EnvironmentBuildError
from mlproj.files import human_size
from mlproj.text import one_line

Pull = Literal["missing", "always", "never"]


@dataclass(frozen=True)
class Wanted:
    """An image that is asked for, as it is named or as a lock pins it: by its ``digest``, or by its ``id`` when no
    registry is known to hold it.
    """

    reference: str
    platform: str | None
    pull: Pull
    digest: str | None = None
    id: str | None = None

    @property
    def exact(self) -> str:
        """The reference to ask the engine for: the one pinned, when one is by its digest."""
        if self.digest is None:
            return self.reference
        return parse_reference(self.reference).pinned(self.digest)


def find(engine: Engine, reference: str) -> Image | None:
    """An image that the engine has, by reference or id. Raises ``EnvironmentBuildError`` when it cannot be asked."""
    from docker.errors import APIError, NotFound

    try:
        with engine_errors_but_refusals(engine.address):
            return image_of(reference, engine.client.inspect_image(reference))
    except NotFound:
        return None
    except APIError as error:
        raise EnvironmentBuildError(
            f"the image `{one_line(reference)}` cannot be looked at: {one_line(explanation(error))}"
        ) from error


def locally(engine: Engine, wanted: Wanted) -> Image | None:
    """The image that is wanted, when the engine has it, of whatever platform."""
    if wanted.id is None:
        return find(engine, wanted.exact)
    found = find(engine, wanted.id)
    return None if found is None else replace(found, reference=wanted.reference)


def have(engine: Engine, wanted: Wanted, policy: Policy, report: Report) -> tuple[Image, bool]:
    """The image that is wanted, pulled when it has to be, and whether it was pulled now.

    Raises ``EnvironmentBuildError`` when it is not to be had, or is of another platform.
    """
    there = locally(engine, wanted)
    if there is not None and not _to_be_pulled(there, wanted, policy):
        _refuse_platform(engine, there, wanted)
        return there, False
    if wanted.id is not None:
        raise EnvironmentBuildError(
            f"the image `{one_line(wanted.reference)}` is pinned to {one_line(wanted.id)[:19]}, which is not on this"
            " machine and, as far as the lock knows, in no registry",
            hint="build it here, or push it to a registry; then `mlproj lock`",
        )
    if there is None and wanted.pull == "never":
        raise EnvironmentBuildError(
            f"the engine has no image `{one_line(wanted.exact)}`, and `pull: never` forbids to pull it",
            hint=f"`docker pull {one_line(wanted.exact)}`, or build it",
        )
    if policy.offline:
        if there is not None and wanted.pull != "always":
            _refuse_platform(engine, there, wanted)
            return there, False
        raise EnvironmentBuildError(
            f"the image `{one_line(wanted.exact)}` would have to be pulled, and `--offline` forbids it",
            hint="run once without `--offline`",
        )
    try:
        pull(engine, wanted.exact, wanted.platform, report)
    except _NotInRegistryError as error:
        # Asked anew of a registry that has never seen it: it was built here.
        if there is None or there.digest is not None or wanted.pull == "always":
            raise _with_advice(wanted, error) from error
        report(f"the image {one_line(wanted.reference)} is on this machine only: taken as it is")
    pulled = locally(engine, wanted)
    if pulled is None:
        raise EnvironmentBuildError(f"the image `{one_line(wanted.exact)}` was pulled and is not there")
    _refuse_platform(engine, pulled, wanted)
    return pulled, there is None or there.id != pulled.id


def _to_be_pulled(there: Image, wanted: Wanted, policy: Policy) -> bool:
    if wanted.digest is not None or wanted.id is not None:
        return False  # the very one that is pinned
    if wanted.pull == "never":
        return False
    if wanted.platform is not None and not same_platform(wanted.platform, there.platform):
        return True
    return wanted.pull == "always" or policy.refresh


def _refuse_platform(engine: Engine, image: Image, wanted: Wanted) -> None:
    if wanted.platform is not None:
        if not same_platform(wanted.platform, image.platform):
            raise EnvironmentBuildError(
                f"the image `{one_line(image.reference)}` is for {one_line(image.platform)}, and"
                f" {one_line(wanted.platform)} was asked for",
                hint="its registry may have no other: take another image, or another `platform`",
            )
        return
    if engine.address.socket is not None and same_platform(f"linux/{os.uname().machine}", image.platform):
        return
    own = engine_platform(engine)
    if not same_platform(own, image.platform):
        raise EnvironmentBuildError(
            f"the image `{one_line(image.reference)}` is for {one_line(image.platform)}, and the Docker engine runs"
            f" {one_line(own)}",
            hint=f"`platform: {own}` has it pulled for this engine; `platform: {one_line(image.platform)}` runs it"
            " in emulation, where the engine has that",
        )


class _NotInRegistryError(EnvironmentBuildError):
    """The registry has no such image, or does not say so to who asks."""


def _with_advice(wanted: Wanted, error: _NotInRegistryError) -> EnvironmentBuildError:
    return EnvironmentBuildError(
        error.message,
        hint="see that it is written right; a private one needs"
        f" `{_login(wanted.reference)}`, a local one has to be built first",
    )


def _login(reference: str) -> str:
    registry = parse_reference(reference).full_repository.partition("/")[0]
    return "docker login" if registry == "docker.io" else f"docker login {one_line(registry)}"


def pull(engine: Engine, reference: str, platform: str | None, report: Report) -> None:
    """Pull one image, telling how far it is. Raises ``EnvironmentBuildError``."""
    from docker.errors import APIError

    parsed = parse_reference(reference)
    report(f"pulling {one_line(reference)}")
    try:
        with engine_errors_but_refusals(engine.address):
            answers = engine.client.pull(
                parsed.repository,
                tag=parsed.digest or parsed.tag,
                platform=platform,
                stream=True,
                decode=True,
            )
            for phrase in _progress(answers, reference):
                report(phrase)
    except APIError as error:
        raise _pull_error(reference, explanation(error), error.status_code) from error


def _progress(answers: Iterator[Mapping[str, Any]], reference: str) -> Iterator[str]:
    layers: dict[str, tuple[int, int]] = {}
    told = ""
    for answer in answers:
        if "error" in answer:
            raise _pull_error(reference, str(answer["error"]), None)
        detail = answer.get("progressDetail") or {}
        if answer.get("status") == "Downloading" and detail.get("total"):
            layers[str(answer.get("id"))] = (int(detail.get("current") or 0), int(detail["total"]))
        elif answer.get("status") == "Download complete" and str(answer.get("id")) in layers:
            total = layers[str(answer.get("id"))][1]
            layers[str(answer.get("id"))] = (total, total)
        if layers:
            done, total = (sum(each) for each in zip(*layers.values()))
            phrase = f"pulling {one_line(reference)}: {human_size(done)} of {human_size(total)}"
            if phrase != told:
                told = phrase
                yield phrase


_ABSENT = ("not found", "manifest unknown", "does not exist", "name unknown", "pull access denied")
_DENIED = ("unauthorized", "denied", "no basic auth", "authentication required", "forbidden")
_UNREACHABLE = ("dial tcp", "connection refused", "no such host", "timeout", "i/o timeout", "tls:", "x509")


def _pull_error(reference: str, said: str, status: int | None) -> EnvironmentBuildError:
    message = f"the image `{one_line(reference)}` could not be pulled: {one_line(said)}"
    low = said.lower()
    registry = parse_reference(reference).full_repository.partition("/")[0]
    if "no matching manifest" in low or "does not match the specified platform" in low:
        return EnvironmentBuildError(message, hint="its registry has it for other platforms only: see `platform`")
    if any(word in low for word in _UNREACHABLE):
        return EnvironmentBuildError(
            message, hint=f"see whether the engine reaches {one_line(registry)}; `--offline` takes what is there"
        )
    if status == 404 or any(word in low for word in _ABSENT):
        return _NotInRegistryError(message)
    if status in (401, 403) or any(word in low for word in _DENIED):
        return EnvironmentBuildError(message, hint=f"log in by `{_login(reference)}`")
    return EnvironmentBuildError(message)


def digest_in_registry(engine: Engine, reference: str) -> str:
    """The digest that a reference has in its registry now, which nothing is pulled for.

    Raises ``EnvironmentBuildError``.
    """
    from docker.errors import APIError

    parsed = parse_reference(reference)
    if parsed.digest is not None:
        return parsed.digest
    try:
        with engine_errors_but_refusals(engine.address):
            answer = engine.client.inspect_distribution(str(parsed))
    except APIError as error:
        failure = _pull_error(reference, explanation(error), error.status_code)
        message = failure.message.replace("could not be pulled", "was not found in its registry")
        hint = failure.hint or _with_advice(Wanted(reference, None, "missing"), _NotInRegistryError(message)).hint
        raise EnvironmentBuildError(message, hint=hint) from error
    digest = answer.get("Descriptor", {}).get("digest")
    if not isinstance(digest, str):
        raise EnvironmentBuildError(
            f"the registry gives no digest of `{one_line(reference)}`: {json.dumps(answer)[:200]}"
        )
    return digest


def remove_image(engine: Engine, reference: str, identifier: str) -> None:
    """Remove an image from the engine, unless it has other names too, or is gone already.

    Where ``reference`` means another image by now, that one stays. Raises ``EnvironmentBuildError``, also for an image
    that a container is of.
    """
    from docker.errors import APIError

    found = find(engine, reference)
    try:
        with engine_errors_but_refusals(engine.address):
            engine.client.remove_image(reference if found is not None and found.id == identifier else identifier)
    except APIError as error:
        said = explanation(error).lower()
        others = error.status_code == 409 and "container" not in said
        if error.status_code != 404 and not others:
            raise EnvironmentBuildError(
                f"the image `{one_line(reference)}` could not be removed: {one_line(explanation(error))}"
            ) from error
