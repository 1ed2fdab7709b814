"""``mlproj.lock``: to what images the Docker environments of a project are pinned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproj.environments.images.project_files import read_regular
from mlproj.environments.images.references import Image
from mlproj.errors import LockError
from mlproj.manifest.image_names import is_digest, is_image_name
from mlproj.text import one_line
from mlproj.toml import dump_toml, parse_toml

LOCK_NAME = "mlproj.lock"
_VERSION = "1"
_LARGEST = 10 << 20
_HEADER = "# The images of a project's Docker environments, written by `mlproj lock`.\n\n"


@dataclass(frozen=True)
class Pin:
    """What a reference meant: by the registry's ``digest``, or by ``id`` when no registry is known to hold it."""

    image: str
    digest: str | None
    id: str | None

    @property
    def identity(self) -> str:
        """The one of both that there is."""
        return self.digest or self.id or ""


@dataclass(frozen=True)
class Build:
    """What an image was built from: digests of the Dockerfile and the context, and what else decides."""

    dockerfile: str
    context: str
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    bases: tuple[Pin, ...] = ()


@dataclass(frozen=True)
class Locked:
    """One environment of a lock: of an ``image``, or of a ``build``; ``platform`` is the one asked for."""

    name: str | None
    platform: str | None
    image: Pin | None = None
    build: Build | None = None

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The images that it pins."""
        if self.image is not None:
            return (self.image,)
        return self.build.bases if self.build is not None else ()


def pin_of(image: Image) -> Pin:
    """The pin of an image that was found."""
    return Pin(image.reference, image.digest, None if image.digest else image.id)


def read_lock(folder: Path) -> tuple[Locked, ...] | None:
    """The environments of a project's lock, or ``None`` without one. Raises ``LockError`` for one that is broken."""
    path = folder / LOCK_NAME
    try:
        return parse_lock(read_regular(path, _LARGEST).decode("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise LockError(
            f"`{one_line(path)}` cannot be read: {one_line(reason)}",
            hint="`mlproj lock` writes it anew, when it has been removed",
        ) from error


def parse_lock(text: str) -> tuple[Locked, ...]:
    """The environments that a lock's text holds. Raises ``ValueError`` saying why it holds none."""
    document = parse_toml(text)
    version = document.get("lock-version")
    if not isinstance(version, str) or version.split(".")[0] != _VERSION:
        raise ValueError(f"it has no `lock-version` of {_VERSION}")
    tables = document.get("environments", [])
    if not isinstance(tables, list):
        raise ValueError("its `environments` are no list")
    return tuple(_locked(_table(table)) for table in tables)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("one of its `environments` is no table")
    return value


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its `{key}` is no text")
    return value


def _locked(table: Mapping[str, Any]) -> Locked:
    build = table.get("build")
    return Locked(
        name=_text(table, "name"),
        platform=_text(table, "platform"),
        image=_pin(table) if build is None else None,
        build=None if build is None else _build(_table(build)),
    )


def _pin(table: Mapping[str, Any]) -> Pin:
    image, digest, identifier = _text(table, "image"), _text(table, "digest"), _text(table, "image-id")
    if image is None or not is_image_name(image):
        raise ValueError(f"`{one_line(image)}` is no image")
    if not is_digest(identifier if digest is None else digest) or (digest is not None and identifier is not None):
        raise ValueError("one of its images has no `digest` or `image-id` of the form sha256:…")
    return Pin(image, digest, identifier)


def _digest(table: Mapping[str, Any], key: str) -> str:
    value = _text(table, key)
    if value is None or not is_digest(value):
        raise ValueError(f"the `{key}` of a `build` is not of the form sha256:…")
    return value


def _build(table: Mapping[str, Any]) -> Build:
    arguments, bases = table.get("args", {}), table.get("bases", [])
    if not isinstance(arguments, dict) or not isinstance(bases, list):
        raise ValueError("a `build` of it is not as `mlproj lock` writes one")
    return Build(
        dockerfile=_digest(table, "dockerfile"),
        context=_digest(table, "context"),
        args={str(name): str(value) for name, value in arguments.items()},
        target=_text(table, "target"),
        bases=tuple(_pin(_table(base)) for base in bases),
    )


def dump_lock(environments: tuple[Locked, ...]) -> str:
    """The text of a lock."""
    tables = [_dumped(one) for one in sorted(environments, key=lambda one: one.name or "")]
    return _HEADER + dump_toml({"lock-version": _VERSION, "environments": tables})


def _dumped(one: Locked) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if one.name is not None:
        table["name"] = one.name
    if one.platform is not None:
        table["platform"] = one.platform
    if one.image is not None:
        table |= _dumped_pin(one.image)
    if one.build is not None:
        build = one.build
        inner: dict[str, Any] = {"dockerfile": build.dockerfile, "context": build.context}
        if build.args:
            inner["args"] = dict(sorted(build.args.items()))
        if build.target is not None:
            inner["target"] = build.target
        inner["bases"] = [_dumped_pin(base) for base in build.bases]
        table["build"] = inner
    return table


def _dumped_pin(pin: Pin) -> dict[str, str]:
    known = {"digest": pin.digest} if pin.digest else {"image-id": pin.id or ""}
    return {"image": pin.image, **known}


def with_environment(environments: tuple[Locked, ...], one: Locked) -> tuple[Locked, ...]:
    """The environments of a lock with ``one`` in the place of the one of its name."""
    return (*(each for each in environments if each.name != one.name), one)


def differences(locked: Locked, wanted: Locked) -> list[str]:
    """Why a lock is not of what is declared now, a reason each; the pins themselves are not compared."""
    if (locked.image is None) != (wanted.image is None):
        return ["it locks " + ("an image" if locked.image else "a build") + ", and the manifest declares the other"]
    reasons = []
    if locked.platform != wanted.platform:
        reasons.append(f"it is for the platform {locked.platform or 'of the engine'}")
    if locked.image is not None and wanted.image is not None and locked.image.image != wanted.image.image:
        reasons.append(f"it pins {locked.image.image}, and the manifest declares {wanted.image.image}")
    if locked.build is not None and wanted.build is not None:
        before, after = locked.build, wanted.build
        names = [base.image for base in after.bases]
        for key, changed in (
            ("the Dockerfile", before.dockerfile != after.dockerfile),
            ("`args`", dict(before.args) != dict(after.args)),
            ("`target`", before.target != after.target),
            ("what it builds on", [base.image for base in before.bases] != names),
        ):
            if changed:
                reasons.append(f"{key} changed")
    return reasons


def context_changed(locked: Locked, wanted: Locked) -> bool:
    """Whether the files that a build copies are not those of the lock."""
    return locked.build is not None and wanted.build is not None and locked.build.context != wanted.build.context
