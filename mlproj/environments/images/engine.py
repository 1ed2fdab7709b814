"""The Docker engine: connecting to one, what it is like, and what to do when it fails."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproj.environments.images.addresses import Address, named_address, refuse_nonsense, usual_addresses
from mlproj.environments.images.probes import probe_container
from mlproj.errors import EnvironmentBuildError
from mlproj.files import sha256_of_text, write_atomically
from mlproj.text import one_line

_CONNECT_SECONDS = 5
# For an answer; what takes as long as it takes (a build, a pull, a wait) is asked for without a limit.
_ANSWER_SECONDS = 60
# Docker 17.06: the first that takes a platform to build for, and bind mounts that have to be there.
_OLDEST_API = "1.30"
# Who makes an engine's socket: itself, or the system's first process for it.
_API_WITH_HOST_GATEWAY = (1, 41)
_ENGINE_PROGRAMS = ("dockerd", "podman", "systemd", "init")
_OWN_MOUNTS = Path("/proc/self/ns/mnt")
_START_ONE = (
    "start Docker or Podman (`systemctl start docker`, `podman system service`), or say where it is by DOCKER_HOST or"
    " `docker context use NAME`"
)


@dataclass(frozen=True)
class Engine:
    """An engine that answers: the client to ask it by, a ``docker.APIClient``, and where it is."""

    client: Any
    address: Address
    is_podman: bool = False

    @property
    def url(self) -> str:
        """The URL, by which ``connect_to`` finds the same engine again."""
        return self.address.url


def connect() -> Engine:
    """The engine that the caller's docker command would use, or else one that answers where engines usually are.

    Raises ``EnvironmentBuildError``.
    """
    named = named_address()
    if named is not None:
        return _connected(named)
    failures = []
    for address in usual_addresses():
        if address.socket is None or not _is_there(address.socket):
            continue
        try:
            return _connected(address)
        except EnvironmentBuildError as error:
            failures.append(error)
    # One that could not be had is what its user has to do something about; one that is down may be left over.
    denied = [error for error in failures if "permission" in error.message]
    if failures:
        raise (denied or failures)[0]
    raise EnvironmentBuildError("there is no Docker engine on this machine", hint=_START_ONE)


def connect_to(url: str) -> Engine:
    """The engine at a URL that an earlier ``Engine`` had. Raises ``EnvironmentBuildError``."""
    named = named_address() if not url.startswith("unix://") else None
    return _connected(named if named is not None and named.url == url else Address(url, url))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True


def _connected(address: Address) -> Engine:
    import docker
    from docker.errors import DockerException
    from docker.utils import version_lt

    refuse_nonsense(address)
    with engine_errors(address):
        if address.socket is not None:
            _refuse_unreachable(address.socket)
        if address.url.startswith("ssh://"):
            from mlproj.environments.images.over_ssh import ssh_client

            client = ssh_client(address.url)
        else:
            client = docker.APIClient(
                base_url=address.url, version=_OLDEST_API, timeout=_CONNECT_SECONDS, tls=_tls(address, docker)
            )
        # With it, REQUESTS_CA_BUNDLE would go before the engine's own authority, and ~/.netrc send it a password.
        client.trust_env = False
        answer = client._get(f"{client.base_url}/_ping")
        client._raise_for_status(answer)
        version = answer.headers.get("Api-Version")
        if version is None:
            raise DockerException("what answers is no Docker engine")
        if version_lt(version, _OLDEST_API):
            raise EnvironmentBuildError(
                f"the Docker engine at {one_line(address.url)} speaks version {one_line(version)} of its API,"
                f" and mlproj needs {_OLDEST_API}",
                hint="update it: Docker 17.06 was the first",
            )
        # As the library's own `version="auto"` has it, whose question takes Podman a quarter of a second.
        client._version = version
        client.timeout = _ANSWER_SECONDS
    return Engine(client, address, "Libpod-Api-Version" in answer.headers)


def _refuse_unreachable(path: Path) -> None:
    """Raise what connecting to a socket raises: the library tells it as a text."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        probe.connect(str(path))


def _tls(address: Address, docker: Any) -> Any:
    if address.certificates is None:
        return False
    folder = address.certificates
    pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
    authority = folder / "ca.pem"
    return docker.tls.TLSConfig(
        client_cert=pair if Path(pair[0]).exists() else None,
        ca_cert=str(authority) if authority.exists() else None,
        verify=address.verify,
    )


@contextmanager
def engine_errors(address: Address) -> Iterator[None]:
    """Raise what goes wrong with an engine within a ``with`` block as ``EnvironmentBuildError``, saying what to do."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        raise EnvironmentBuildError(
            f"the Docker engine at {one_line(address.url)} refused: {one_line(explanation(error))}"
        ) from error
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise unreachable(address, error) from error


def explanation(error: Any) -> str:
    """What the engine itself said of an ``APIError``."""
    return str(getattr(error, "explanation", None) or error).strip()


def unreachable(address: Address, error: BaseException) -> EnvironmentBuildError:
    """The error for an engine that cannot be reached, does not answer, or died while it was asked something."""
    at = f"the Docker engine at {one_line(address.url)}"
    named = "" if address.named_by in address.url else f" (named by {address.named_by})"
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EACCES, errno.EPERM):
        hint = (
            "your user has no access to it: have it added to the group `docker` (`sudo usermod -aG docker $USER`, then"
            " log in again), or use a rootless engine"
        )
        return EnvironmentBuildError(f"no permission to use {at}{named}", hint=hint)
    if number == errno.ENOENT:
        return EnvironmentBuildError(f"{at}{named} is not there", hint=_START_ONE)
    if number == errno.ECONNREFUSED:
        return EnvironmentBuildError(f"{at}{named} is not running", hint=_START_ONE)
    said = f"{at}{named} does not answer: {one_line(_cause(error))}"
    if address.url.startswith("ssh://"):
        return EnvironmentBuildError(
            said, hint="see whether `ssh` gets there without a password, and `docker` is there"
        )
    return EnvironmentBuildError(said, hint="see whether it runs (`docker version`), and its log")


def _cause(error: BaseException) -> str:
    """What the system said, of an error that libraries have told one another."""
    from requests.exceptions import Timeout

    if isinstance(error, Timeout):
        return "nothing was heard of it in time"
    inner: BaseException | None = error
    for _ in range(10):
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        told = [getattr(inner, "reason", None), *getattr(inner, "args", ()), getattr(inner, "__cause__", None)]
        inner = next((each for each in told if isinstance(each, BaseException)), getattr(inner, "__context__", None))
    return str(error).removeprefix("Error while fetching server API version: ")


def is_rootless(engine: Engine) -> bool:
    """Whether the engine runs as the caller, so that root inside a container is the caller outside."""
    if engine.address.socket is not None and listener_of(engine.address.socket)[1] == 0:
        return False  # asked for quicker than what it says of itself
    with engine_errors(engine.address):
        information = engine.client.info()
    # Docker says it among the security options, Podman by itself.
    options = information.get("SecurityOptions") or []
    return information.get("Rootless") is True or any("rootless" in str(option) for option in options)


def host_address(engine: Engine) -> str | None:
    """The address of this machine at which containers reach it, or ``None`` for an engine that does not tell.

    It is that of the engine's own bridge, for which `host-gateway` stands since Docker 20.10.
    """
    if tuple(int(part) for part in engine.client.api_version.split(".")) < _API_WITH_HOST_GATEWAY:
        return None
    import docker.errors

    try:
        with engine_errors_but_refusals(engine.address):
            bridge = engine.client.inspect_network("bridge")
    except docker.errors.APIError:
        return None
    addresses = [str(each.get("Gateway", "")) for each in bridge["IPAM"]["Config"] or []]
    addresses += _addresses_of((bridge.get("Options") or {}).get("com.docker.network.bridge.name"))
    return next((each for each in addresses if re.fullmatch(r"[0-9.]+", each)), None)


def _addresses_of(interface: str | None) -> list[str]:
    """The addresses of a network interface of this machine: an engine that has just made its bridge may not tell."""
    import psutil

    return [each.address for each in psutil.net_if_addrs().get(interface or "", [])]


def shares_folders(engine: Engine, image: str, scratch: Path) -> bool:
    """Whether the engine sees this machine's folders, so that they can be mounted.

    ``image`` is one that the engine has; a folder that nobody knows the name of is made in ``scratch`` for a while.
    """
    socket = engine.address.socket
    if socket is None:
        return _sees(engine, image, scratch)
    program, _, process = listener_of(socket)
    if program in _ENGINE_PROGRAMS and _same_mounts(process):
        return True
    # Behind a socket that was forwarded, or mounted into the container that mlproj is in; or one that sees other
    # mounts, or does not tell. It is asked once for as long as both are as they are.
    memory = (
        scratch / "recalled" / f"{sha256_of_text(json.dumps([engine.url, str(scratch), *_looks(socket)]))[:32]}.seen"
    )
    try:
        return memory.read_text() == "yes"
    except OSError:
        sees = _sees(engine, image, scratch)
    with suppress(OSError):
        write_atomically(memory, "yes" if sees else "no")
    return sees


def _same_mounts(process: int | None) -> bool:
    """Whether a process has the mounts that this one has, as far as this one may know."""
    try:
        return Path(f"/proc/{process}/ns/mnt").readlink() == _OWN_MOUNTS.readlink()
    except OSError:
        return False


def _looks(socket: Path) -> list[Any]:
    """What is another when the machine was started anew, or the engine, or this process has other mounts."""
    found: list[Any] = []
    with suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        found.append(str(_OWN_MOUNTS.readlink()))
    status = socket.stat()
    return [*found, status.st_dev, status.st_ino, status.st_ctime_ns]


def listener_of(path: Path) -> tuple[str | None, int | None, int | None]:
    """The program that made a socket, if it is one of this machine as this process sees it, its user and number."""
    import socket
    import struct

    if not hasattr(socket, "SO_PEERCRED"):
        return None, None, None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
            found = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        process, user, _ = struct.unpack("3i", found)
        # Of another machine's or an outer container's processes the number is 0.
        return (Path(f"/proc/{process}/comm").read_text().strip() if process else None), user, process
    except OSError:
        return None, None, None


def _sees(engine: Engine, image: str, scratch: Path) -> bool:
    import tempfile

    from docker.errors import APIError
    from docker.types import Mount

    with tempfile.TemporaryDirectory(prefix="mlproj-shared-", dir=scratch) as folder:
        host = engine.client.create_host_config(mounts=[Mount("/shared", folder, type="bind", read_only=True)])
        try:
            labels = {"mlproj.probe": str(os.getpid())}
            with (
                engine_errors_but_refusals(engine.address),
                probe_container(engine.client, image, ["true"], host_config=host, labels=labels),
            ):
                return True
        except APIError:
            return False


@contextmanager
def engine_errors_but_refusals(address: Address) -> Iterator[None]:
    """``engine_errors``, except that what the engine answers with (``docker.errors.APIError``) goes through."""
    from docker.errors import APIError

    refusal: Any = None
    with engine_errors(address):
        try:
            yield
        except APIError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def engine_platform(engine: Engine) -> str:
    """The platform that the engine runs: ``linux/amd64``."""
    with engine_errors(engine.address):
        version: Mapping[str, Any] = engine.client.version()
    return f"{version.get('Os', 'linux')}/{version.get('Arch', 'amd64')}"
