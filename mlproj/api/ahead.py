"""What can be started before a run is resolved: the client of its container, which takes as long to come up."""

from __future__ import annotations

import os

from mlproj.api.checked import checked_manifest, manifest_folder
from mlproj.api.environment_choice import choose_environment
from mlproj.api.request import RunRequest
from mlproj.errors import MlprojError
from mlproj.execution.plan import Plan
from mlproj.execution.supervise import Standby, channel_of, start_ahead
from mlproj.locations import cache_folder
from mlproj.manifest.durations import parse_duration
from mlproj.manifest.entry_points import choose_entry_point
from mlproj.sources import Fetching, is_folder_as_it_is


def start_client_ahead(request: RunRequest, standby: Standby) -> None:
    """Start the client of a run's container, when the project is a folder here whose manifest asks for one."""
    if not is_folder_as_it_is(request.project, Fetching(request.revision)):
        return
    try:
        loaded = checked_manifest(manifest_folder(request.project), cache_folder())
        _, entry_point = choose_entry_point(loaded.manifest, loaded.path, request.entry_point)
        environment = choose_environment(loaded, entry_point, request)
        grace_s = parse_duration(entry_point.grace_period)
    except (MlprojError, OSError):
        return  # what is wrong is found out again, and told
    if environment.spec.docker is not None:
        start_ahead(standby, client_of(standby, grace_s))


def client_of(standby: Standby, grace_s: float) -> Plan:
    """The plan of the client that waits for its container at the standby's channel."""
    from mlproj.execution.container import waiting_client

    return waiting_client(channel_of(standby), grace_s, os.environ)
