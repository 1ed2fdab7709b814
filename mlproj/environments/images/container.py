"""What a command's container is given: folders, variables, limits; and what of this machine it may not have unasked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproj.environments.environment import Container, Policy, Reach, Report, Volume
from mlproj.environments.images import cut_off
from mlproj.environments.images.addresses import named_address, usual_addresses
from mlproj.environments.images.engine import Engine, host_address, is_rootless
from mlproj.environments.images.lockfile import LOCK_NAME
from mlproj.environments.images.references import Image
from mlproj.environments.images.volumes import give_volume, new_volumes
from mlproj.errors import EnvironmentBuildError, UsageError
from mlproj.manifest.models import Docker
from mlproj.text import one_line

_HOME_INSIDE = "/home/mlproj"
_LOOPBACK = "127.0.0.1"
# Docker's own name for this machine, which on Linux it has to be told to make known.
_KNOWN_HOST = {"host.docker.internal": "host-gateway"}
# `$(pwd)`, as documentation of `docker run -v` has it, and variables: what a shell would have put there.
_EXPANDED = re.compile(r"\$\(\s*pwd\s*\)|`\s*pwd\s*`|\$\{(?P<braced>PWD|HOME)\}|\$(?P<name>PWD|HOME)(?![A-Za-z0-9_])")
_NAMED_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MODES = {"ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([bkmgt]?)b?", re.IGNORECASE)


def container_of(
    wanted: Docker, folder: Path, image: Image, engine: Engine, shares_folders: bool, policy: Policy, report: Report
) -> Container:
    """The container that commands of a project run in.

    Raises as ``check``, and ``EnvironmentBuildError`` for folders that an engine on another machine was to mount.
    """
    volumes = check(wanted, folder, policy)
    if policy.allowed_mounts is not None:
        # What was judged is what is mounted, even if a link is turned elsewhere in between.
        volumes = tuple(
            replace(each, source=str(_real(Path(each.source)))) if each.source.startswith("/") else each
            for each in volumes
        )
    if shares_folders:
        _refuse_unsayable(folder, volumes)
        _make_missing(volumes)
    elif outside := [volume.source for volume in volumes if volume.source.startswith("/")]:
        raise EnvironmentBuildError(
            f"the Docker engine is on another machine, which has no `{one_line(outside[0])}` to mount",
            hint="declare a named volume (`data:/data`), or have the data in the project, which is copied there",
        )
    # A network of mlproj's own is made by that, also for an engine from which nothing of this machine is reached.
    reach = _reach(wanted, engine)
    user, reach = _user(wanted, engine), reach if shares_folders else None
    named = [volume for volume in volumes if not volume.source.startswith("/")]
    for volume in new_volumes(engine, named):
        report(f"a new volume of the engine: {one_line(volume.source)}")
        if wanted.user is None and user not in (None, "0:0") and not volume.read_only:
            give_volume(engine, image.id, volume, str(user), report)
    return Container(
        engine=engine.url,
        image=image.id,
        platform=wanted.platform,
        project_at=wanted.project_at,
        workdir=wanted.workdir or wanted.project_at,
        user=user,
        # A user whom the image knows nothing of has no home in it.
        home=_HOME_INSIDE if wanted.user is None and user not in (None, "0:0") else None,
        entrypoint=None if wanted.entrypoint is None else tuple(wanted.entrypoint),
        volumes=volumes,
        variables=_variables(wanted, report),
        ports=tuple(_exposed(wanted.ports)),
        host={**host_settings(wanted), **({"extra_hosts": _KNOWN_HOST} if reach and reach.name in _KNOWN_HOST else {})},
        shares_folders=shares_folders,
        reach=reach,
    )


def _reach(wanted: Docker, engine: Engine) -> Reach | None:
    if wanted.network == "host":
        return Reach(_LOOPBACK, _LOOPBACK)
    if wanted.network == cut_off.NETWORK:
        address = cut_off.address_in_cut_off_network(engine)
        return None if address is None else Reach(address, address)
    if wanted.network == "none" or (wanted.network or "").startswith("container:"):
        return None
    address = host_address(engine)
    return None if address is None else Reach(next(iter(_KNOWN_HOST)), address)


def check(wanted: Docker, folder: Path, policy: Policy) -> tuple[Volume, ...]:
    """The volumes that a declaration asks for.

    Raises ``UsageError`` for what cannot be mounted, and for what a fetched project wants of this machine and was not
    allowed.
    """
    volumes = tuple(read_volume(text, folder) for text in wanted.volumes)
    refuse_unallowed(wanted, volumes, folder, policy)
    host_settings(wanted)
    return volumes


def _user(wanted: Docker, engine: Engine) -> str | None:
    if wanted.user is not None:
        return wanted.user
    # To a rootless engine root inside is the caller outside; any other user would be one of the caller's sub-users.
    return "0:0" if is_rootless(engine) else f"{os.getuid()}:{os.getgid()}"


def read_volume(text: str, folder: Path) -> Volume:
    """The volume that ``SOURCE:TARGET[:ro]`` declares for a project's ``folder``. Raises ``UsageError``."""
    expanded = _EXPANDED.sub(lambda match: _shell_value(match, folder), text)
    source, target, mode = _split(expanded, text)
    if "$" in source or "`" in source:
        raise UsageError(
            f"the volume `{one_line(text)}`: no shell runs, and of variables only $PWD, $HOME and $(pwd) are known",
            hint="write the path itself, or one relative to the project",
        )
    modes = mode.split(",") if mode else []
    if unknown := [each for each in modes if each not in _MODES]:
        raise UsageError(f"the volume `{one_line(text)}`: `{one_line(unknown[0])}` is no mode; they are `ro` and `rw`")
    if source.startswith("~"):
        source = str(_of_somebodys_home(source))
    if not source.startswith("/"):
        if _NAMED_VOLUME.fullmatch(source) and "/" not in source and not (folder / source).exists():
            return Volume(source, target, "ro" in modes)
        source = str(folder / source)
    return Volume(os.path.normpath(source), target, "ro" in modes)


def _shell_value(match: re.Match[str], folder: Path) -> str:
    variable = match["braced"] or match["name"] or "PWD"
    return str(_of_somebodys_home("~")) if variable == "HOME" else str(folder)


def _of_somebodys_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"`{one_line(path)}`: there is no such home", hint="write the path itself") from error


def _split(expanded: str, text: str) -> tuple[str, str, str]:
    parts = expanded.split(":")
    if len(parts) not in (2, 3) or not parts[0] or not parts[1].startswith("/") or "\x00" in expanded:
        raise UsageError(
            f"the volume `{one_line(text)}` is not of the form `SOURCE:/TARGET` or `SOURCE:/TARGET:ro`",
            hint="the target is an absolute path inside the container",
        )
    target = os.path.normpath(parts[1])
    if target == "/":
        raise UsageError(f"the volume `{one_line(text)}` would hide all of the image")
    return parts[0], target, parts[2] if len(parts) == 3 else ""


def _refuse_unsayable(folder: Path, volumes: Sequence[Volume]) -> None:
    for path in (str(folder), *(volume.source for volume in volumes)):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"`{one_line(path)}` cannot be mounted: its name is not UTF-8, which is all that an engine understands",
                hint="rename it",
            ) from None


def _make_missing(volumes: Sequence[Volume]) -> None:
    """Make the folders to be mounted that are not there, as ``docker run -v`` does, but as the caller's own."""
    for volume in volumes:
        path = Path(volume.source)
        if not volume.source.startswith("/") or path.exists():
            continue
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"there is no `{one_line(path)}` to mount, and it cannot be made: {error.strerror}"
            ) from error


@dataclass(frozen=True)
class _Asked:
    """Something of this machine that a container is to have: what it is called, the word or path that allows it."""

    what: str
    allowed_by: str


def refuse_unallowed(wanted: Docker, volumes: Sequence[Volume], folder: Path, policy: Policy) -> None:
    """Refuse what a fetched project wants of this machine and its caller did not allow. Raises ``UsageError``."""
    if policy.allowed_mounts is None:
        return
    words = {each for each in policy.allowed_mounts if each == "privileged" or re.match(r"(network|pid)=", each)}
    places = [_real(_of_somebodys_home(each)) for each in policy.allowed_mounts if each not in words]
    for asked in _asked_for(wanted, volumes, folder):
        if asked.allowed_by in policy.allowed_mounts or any(_allows(place, asked.allowed_by) for place in places):
            continue
        raise UsageError(
            f"the project was fetched, and its container asks for {one_line(asked.what)}",
            hint=f"if you trust it, allow that by `--allow-mount {one_line(asked.allowed_by)}`",
        )


def _allows(place: Path, asked: str) -> bool:
    if not asked.startswith("/"):
        return False
    path = Path(asked)
    # Who has the engine's socket has the machine: that it is in an allowed folder is not enough.
    return path == place or (not path.is_socket() and path.is_relative_to(place))


def _asked_for(wanted: Docker, volumes: Sequence[Volume], folder: Path) -> Iterator[_Asked]:
    if wanted.privileged:
        yield _Asked("all that root may do on this machine (`privileged`)", "privileged")
    if wanted.network == "host":
        yield _Asked("this machine's network (`network: host`)", "network=host")
    elif wanted.network is not None and wanted.network.startswith("container:"):
        yield _Asked(f"the network of another container (`network: {wanted.network}`)", f"network={wanted.network}")
    elif wanted.network not in (None, "none", "bridge", "default", cut_off.NETWORK):
        yield _Asked(f"a network that others are in (`network: {wanted.network}`)", f"network={wanted.network}")
    if wanted.pid is not None:
        yield _Asked("this machine's processes (`pid: host`)", f"pid={wanted.pid}")
    if wanted.build is not None:
        # A link in the project would have the engine sent what it leads to.
        context, dockerfile = Path(wanted.build.context), wanted.build.dockerfile
        files = [context / (dockerfile or "Dockerfile"), Path(dockerfile or context)]
        lists = [each.with_name(f"{each.name}.dockerignore") for each in files]
        for each in (context, *files, *lists, context / ".dockerignore"):
            place = _real(folder / each)
            if not place.is_relative_to(_real(folder)):
                yield _Asked(f"an image built from `{place}`, which is outside of it", str(place))
    place = _real(folder / LOCK_NAME)
    if not place.is_relative_to(_real(folder)):
        yield _Asked(f"`{place}`, which is outside of it, as its lock", str(place))
    for volume in volumes:
        if not volume.source.startswith("/"):
            yield _Asked(f"a volume of the engine (`{volume.source}`), which others may keep data in", volume.source)
            continue
        place = _real(Path(volume.source))
        if not place.is_relative_to(_real(folder)):
            what = "the Docker socket" if place.is_socket() else "all of this machine" if str(place) == "/" else ""
            yield _Asked(f"{what} (`{place}`)" if what else f"`{place}`, which is outside of it", str(place))
        for each in _engine_sockets():
            if each != place and each.is_relative_to(place):
                yield _Asked(f"the Docker socket (`{each}`), which is in `{place}`", str(each))


def _engine_sockets() -> Iterator[Path]:
    """The sockets by which engines are asked that are on this machine."""
    with suppress(EnvironmentBuildError):
        for address in (named_address(), *usual_addresses()):
            if address is not None and address.socket is not None:
                path = _real(address.socket)
                with suppress(OSError):
                    if path.is_socket():
                        yield path


def _real(path: Path) -> Path:
    # A link inside the project may lead out of it.
    return Path(os.path.realpath(path))


def _variables(wanted: Docker, report: Report) -> dict[str, str]:
    found: dict[str, str] = {}
    missing = []
    for each in wanted.environment:
        if not isinstance(each, str):
            found[each[0]] = each[1]
        elif each in os.environ:
            found[each] = os.environ[each]
        else:
            missing.append(each)
    if missing:
        names = ", ".join(f"`{one_line(name)}`" for name in missing)
        report(f"not set here, so not copied into the container: {names}")
    return found


def size_in_bytes(text: str) -> int:
    """The bytes of a size as docker writes it: ``512m``, ``1.5g``. Raises ``UsageError``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"`{one_line(text)}` is no size", hint="write it as `512m` or `8g`")
    unit = match[2].lower()
    return int(float(match[1]) * (1024 ** ("kmgt".index(unit) + 1) if unit in "kmgt" and unit else 1))


def host_settings(wanted: Docker) -> dict[str, Any]:
    """The limits, devices, network and ports of a declaration, as keyword arguments of docker's ``create_host_config``.

    Raises ``UsageError`` for one that is none.
    """
    host: dict[str, Any] = {}
    if wanted.memory is not None:
        host["mem_limit"] = size_in_bytes(wanted.memory)
    if wanted.shm_size is not None:
        host["shm_size"] = size_in_bytes(wanted.shm_size)
    if wanted.cpus is not None:
        host["nano_cpus"] = round(wanted.cpus * 1_000_000_000)
    if wanted.gpus is not None:
        host["device_requests"] = [gpu_request(wanted.gpus)]
    if wanted.network is not None:
        host["network_mode"] = wanted.network
    if wanted.pid is not None:
        host["pid_mode"] = wanted.pid
    if wanted.privileged:
        host["privileged"] = True
    if bindings := _bindings(wanted.ports):
        host["port_bindings"] = bindings
    return host


def gpu_request(gpus: str) -> dict[str, Any]:
    """The engine's device request for ``all``, a number of GPUs, or ``device=0,2``. Raises ``UsageError``."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    chosen = gpus.strip().strip("\"'")
    if chosen == "all":
        return {**request, "Count": -1}
    if chosen.isdigit():
        return {**request, "Count": int(chosen)}
    if chosen.startswith("device=") and chosen != "device=":
        return {**request, "DeviceIDs": [each for each in chosen.removeprefix("device=").split(",") if each]}
    raise UsageError(f"`{one_line(gpus)}` is no choice of GPUs", hint="`all`, a number, or `device=0,2`")


def _ports(texts: Sequence[str]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each port inside (``80/tcp``) with the address and the port outside that it gets; ``None`` for any free one."""
    for text in texts:
        rest, _, protocol = text.partition("/")
        *before, inside = rest.split(":")
        address = before[0] if len(before) == 2 else ""
        outside = before[-1] if before else None
        insides, outsides = _range(inside, text), _range(outside, text) if outside else None
        if outsides is not None and len(outsides) != len(insides):
            raise UsageError(f"the ports `{one_line(text)}`: as many outside as inside")
        for number, port in enumerate(insides):
            given = None if outsides is None else str(outsides[number])
            yield f"{port}/{protocol or 'tcp'}", (address, given)


def _range(text: str, whole: str) -> list[int]:
    first, _, last = text.partition("-")
    numbers = [int(first), int(last or first)] if first.isdigit() and (last or first).isdigit() else [1, 0]
    if not 0 < numbers[0] <= numbers[1] <= 65535:
        raise UsageError(f"`{one_line(whole)}` is no port", hint="`80`, `8080:80` or `127.0.0.1:8080:80`")
    return list(range(numbers[0], numbers[1] + 1))


def _exposed(texts: Sequence[str]) -> list[str]:
    return [port for port, _ in _ports(texts)]


def _bindings(texts: Sequence[str]) -> Mapping[str, list[dict[str, str | None]]]:
    bindings: dict[str, list[dict[str, str | None]]] = {}
    for port, (address, outside) in _ports(texts):
        bindings.setdefault(port, []).append({"HostIp": address, "HostPort": outside})
    return bindings
