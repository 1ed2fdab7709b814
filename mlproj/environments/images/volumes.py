"""Volumes of the engine: which of them are new, and having one that is be its user's."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence

from mlproj.environments.environment import Report, Volume
from mlproj.environments.images.engine import Engine, engine_errors_but_refusals, explanation
from mlproj.environments.images.probes import probe_container
from mlproj.errors import EnvironmentBuildError
from mlproj.text import one_line


def new_volumes(engine: Engine, volumes: Sequence[Volume]) -> list[Volume]:
    """Those volumes that the engine has not yet: it makes them when they are mounted.

    Raises ``EnvironmentBuildError`` when it cannot be asked.
    """
    from docker.errors import APIError, NotFound

    found = []
    for volume in volumes:
        try:
            with engine_errors_but_refusals(engine.address):
                engine.client.inspect_volume(volume.source)
        except NotFound:
            found.append(volume)
        except APIError as error:
            raise EnvironmentBuildError(
                f"the volume `{one_line(volume.source)}` cannot be looked at: {one_line(explanation(error))}"
            ) from error
    return found


def give_volume(engine: Engine, image: str, volume: Volume, owner: str, report: Report) -> None:
    """Make a new volume, with what an image has at its place, and its ``owner`` (``UID:GID``) who runs the command.

    An engine makes volumes as root's. One that cannot be given is told by ``report``.
    """
    from docker.errors import APIError
    from docker.types import Mount

    client = engine.client
    user, _, group = owner.partition(":")
    entry = tarfile.TarInfo(volume.target.lstrip("/"))
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, int(user), int(group)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(entry)
    host = client.create_host_config(mounts=[Mount(volume.target, volume.source, type="volume")])
    try:
        with engine_errors_but_refusals(engine.address):
            # Never started: the image may have no program that changes owners.
            labels = {"mlproj.probe": str(os.getpid())}
            with probe_container(client, image, ["true"], host_config=host, labels=labels) as container:
                client.put_archive(container, "/", stream.getvalue())
    except APIError as error:
        report(f"the new volume {one_line(volume.source)} is root's, not yours: {one_line(explanation(error))}")
