"""References of images: repository, tag and digest, and what an image that is there is known by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_DEFAULT_REGISTRY = "docker.io"


@dataclass(frozen=True)
class Reference:
    """An image's reference. ``repository`` is as it was written; ``tag`` is ``latest`` when neither is given."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def full_repository(self) -> str:
        """The repository with its registry: ``docker.io/library/python``."""
        first, slash, rest = self.repository.partition("/")
        if not slash:
            return f"{_DEFAULT_REGISTRY}/library/{self.repository}"
        if "." not in first and ":" not in first and first != "localhost":
            return f"{_DEFAULT_REGISTRY}/{self.repository}"
        if first in ("docker.io", "index.docker.io"):
            return f"{_DEFAULT_REGISTRY}/{rest if '/' in rest else f'library/{rest}'}"
        return self.repository

    def pinned(self, digest: str) -> str:
        """The reference of exactly one image: ``python@sha256:…``."""
        return f"{self.repository}@{digest}"

    def __str__(self) -> str:
        if self.digest is not None:
            return self.pinned(self.digest)
        return f"{self.repository}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """The parts of a reference. A digest decides: the tag before it only informs."""
    rest, _, digest = text.partition("@")
    slash = rest.rfind("/")
    colon = rest.rfind(":")
    tag = rest[colon + 1 :] if colon > slash else None
    repository = rest[:colon] if colon > slash else rest
    return Reference(repository, (tag or "latest") if not digest else tag, digest or None)


@dataclass(frozen=True)
class Image:
    """An image that the engine has. ``digest`` is its registry's, ``None`` when none is known to hold it."""

    reference: str
    id: str
    digest: str | None
    platform: str
    size: int
    has_triggers: bool
    user: str

    @property
    def identity(self) -> str:
        """What it is the same image by: the registry's digest where there is one, which other machines share."""
        return self.digest or self.id

    @property
    def pinned(self) -> str:
        """A reference that means this image and no other."""
        return parse_reference(self.reference).pinned(self.digest) if self.digest else self.id


def image_of(reference: str, inspected: Mapping[str, Any]) -> Image:
    """The image that the engine's ``inspected`` describes, asked for by ``reference``."""
    wanted = parse_reference(reference)
    digests = [parse_reference(each) for each in inspected.get("RepoDigests") or []]
    known = [each.digest for each in digests if each.full_repository == wanted.full_repository]
    configuration = inspected.get("Config") or {}
    parts = [inspected.get("Os"), inspected.get("Architecture"), inspected.get("Variant")]
    return Image(
        reference=reference,
        id=inspected["Id"],
        digest=wanted.digest if wanted.digest in known else (known[0] if known else None),
        platform="/".join(part for part in parts if part),
        size=inspected.get("Size") or 0,
        has_triggers=bool(configuration.get("OnBuild")),
        user=configuration.get("User") or "",
    )


def same_platform(wanted: str, found: str) -> bool:
    """Whether an image of platform ``found`` is what ``wanted`` asks for; a variant counts when it is asked for."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    asked = [names.get(part, part) for part in wanted.split("/")]
    got = [names.get(part, part) for part in found.split("/")]
    if asked[1:] in (["arm64", "v8"], ["arm64"]):
        return got[:2] == asked[:2]
    return got[: len(asked)] == asked
