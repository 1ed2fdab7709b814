"""Where the Docker engine is: as the docker command finds it, and where engines are when nobody says."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlproj.errors import EnvironmentBuildError
from mlproj.locations import home_folder
from mlproj.text import one_line

_SCHEMES = ("unix", "tcp", "http", "https", "ssh")


@dataclass(frozen=True)
class Address:
    """An engine's URL, who named it, and the folder of certificates (``ca.pem``, ``cert.pem``, ``key.pem``) for TLS."""

    url: str
    named_by: str
    certificates: Path | None = None
    verify: bool = True

    @property
    def socket(self) -> Path | None:
        """The socket's path, of an engine that is reached by one."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None


def refuse_nonsense(address: Address) -> None:
    """Raise ``EnvironmentBuildError`` for an address that no engine can have."""
    try:
        parts = urlsplit(address.url)
        whole = parts.path.startswith("/") if parts.scheme == "unix" else bool(parts.hostname)
        # ssh alone has a port of its own.
        port = 22 if parts.scheme in ("unix", "ssh") and parts.port is None else parts.port
        whole = whole and parts.scheme in _SCHEMES and bool(port)
    except ValueError:
        whole = False
    if not whole or re.search(r"[\x00-\x20\x7f]", address.url):
        raise EnvironmentBuildError(
            f"no Docker engine can be at `{one_line(address.url)}`, which {address.named_by} names",
            hint="it is written `unix:///run/docker.sock`, `tcp://host:2376` or `ssh://user@host`",
        )


def configuration_folder() -> Path:
    """The docker command's folder: ``$DOCKER_CONFIG`` or ``~/.docker``."""
    return Path(os.environ.get("DOCKER_CONFIG") or (home_folder() or Path("/")) / ".docker")


def named_address() -> Address | None:
    """The engine that the caller named, by ``DOCKER_HOST`` or a context; ``None`` for the usual place.

    Raises ``EnvironmentBuildError`` for a context that there is none of.
    """
    if host := os.environ.get("DOCKER_HOST"):
        verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
        tls = verify or bool(os.environ.get("DOCKER_TLS"))
        certificates = Path(os.environ.get("DOCKER_CERT_PATH") or configuration_folder()) if tls else None
        return Address(_completed(host), "DOCKER_HOST", certificates, verify)
    name, named_by = os.environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not name:
        configuration = _read_json(configuration_folder() / "config.json")
        name, named_by = configuration.get("currentContext"), "docker's current context"
    if not isinstance(name, str) or name in ("", "default"):
        return None
    return _context(name, named_by)


def _completed(host: str) -> str:
    # As the docker command has it: `DOCKER_HOST=127.0.0.1:2375` is TCP.
    return host if "://" in host else f"tcp://{host}"


def _context(name: str, named_by: str) -> Address:
    contexts = configuration_folder() / "contexts"
    digest = hashlib.sha256(name.encode()).hexdigest()
    endpoint = _read_json(contexts / "meta" / digest / "meta.json").get("Endpoints", {}).get("docker", {})
    if not isinstance(endpoint, Mapping) or not isinstance(endpoint.get("Host"), str):
        raise EnvironmentBuildError(
            f"there is no Docker context `{one_line(name)}`, which {named_by} names",
            hint="`docker context ls` shows those there are, `docker context use NAME` takes another",
        )
    certificates = contexts / "tls" / digest / "docker"
    return Address(
        endpoint["Host"],
        f"the Docker context `{one_line(name)}`",
        certificates if certificates.is_dir() else None,
        not endpoint.get("SkipTLSVerify", False),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def usual_addresses() -> Iterator[Address]:
    """Where engines are when nobody says: Docker's, rootless and Docker Desktop's, then Podman's."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    home = home_folder() or Path("/")
    for path in (
        Path("/var/run/docker.sock"),
        runtime / "docker.sock",
        home / ".docker" / "run" / "docker.sock",
        home / ".docker" / "desktop" / "docker.sock",
        runtime / "podman" / "podman.sock",
        Path("/run/podman/podman.sock"),
    ):
        yield Address(f"unix://{path}", str(path))
