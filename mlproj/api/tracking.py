"""How the clients in a run are joined to it: by its gateway, or on the user's own server, which a mirror keeps up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlproj.api.request import Listener, RunRequest
from mlproj.api.resolution import Resolved
from mlproj.errors import UsageError
from mlproj.runs.experiments import id_of
from mlproj.runs.record import RunRecord, TrackingRecord
from mlproj.runs.store import LiveRun
from mlproj.text import one_line
from mlproj.tracking.gateway.joining import URI, joined, on_server
from mlproj.tracking.gateway.listener import LOOPBACK, Gateway, JoinedRun, close_gateway, open_gateway
from mlproj.tracking.remote.address import absolute_uri, is_of_this_machine, shown_uri, uri_of
from mlproj.tracking.remote.mirroring import Mirror, close_mirror, end_mirror, open_mirror, settle, wait_for_counterpart
from mlproj.tracking.remote.server import is_installed
from mlproj.tracking.remote.state import Counterpart, keep_counterpart

# How long a command waits for a server that is slow to make its run; then it joins the gateway.
_PATIENCE_S = 10.0


@dataclass
class Tracking:
    """How a run is tracked while it goes on: by its gateway, by a server with a mirror of it, or by both."""

    live: LiveRun
    mirror: Mirror | None = None
    gateway: Gateway | None = None
    direct: bool = False
    """Whether the command's clients speak to the server themselves."""
    store_alone: bool = False
    """Whether no server was asked for, whatever the variables say."""
    cut_off: bool = False
    """Whether the command has a network of its own, in which there is the gateway alone."""
    later: str | None = None
    """The server, as it is shown, that is to be sent the run by `mlproj sync` alone."""


def server_uri(request: RunRequest, resolved: Resolved) -> str | None:
    """The tracking server that a run is to be on: as asked for, as the variables say, as the manifest declares.

    Raises ``UsageError`` when one was asked for and MLflow's client is not there to speak to it.
    """
    from_manifest = resolved.loaded.manifest.tracking.uri
    from_variable = resolved.entry_point.environment_variables.get(URI) or uri_of(os.environ)
    uri = None
    if request.tracking_uri is not None:
        uri = absolute_uri(request.tracking_uri, Path.cwd()) if request.tracking_uri else None
    elif from_variable:
        uri = absolute_uri(from_variable, Path.cwd())
        if not is_installed():
            return None  # the server is told by the clients in the run alone, as `notices_of` says
    elif from_manifest and resolved.snapshot.tree is None:
        uri = absolute_uri(from_manifest, resolved.loaded.folder)
    if uri is not None and not is_installed():
        raise UsageError(
            f"the run is to be on {shown_uri(uri)}, and MLflow's client, which speaks to it, is not installed",
            hint="`pip install 'mlproj[mlflow]'` where mlproj is installed; or `--tracking-uri ''`: the store alone.",
        )
    return uri


def notices_of(request: RunRequest, resolved: Resolved) -> list[str]:
    """What the user should know of where a run is not tracked, and may have thought it was."""
    from_manifest = resolved.loaded.manifest.tracking.uri
    found = []
    asked = request.tracking_uri is not None or uri_of(os.environ)
    if from_manifest and resolved.snapshot.tree is not None and not asked:
        found.append(
            "the tracking server that the fetched project names is told of the run only if asked for: "
            f"`--tracking-uri {one_line(from_manifest)}`"
        )
    if request.tracking_uri is None and (uri := uri_of(os.environ)) and not is_installed():
        found.append(
            f"{URI} is set, and {shown_uri(uri)} is told of the run only by the clients in it: "
            "`pip install 'mlproj[mlflow]'` has mlproj tell it too"
        )
    return found


def begin_tracking(
    uri: str | None, request: RunRequest, resolved: Resolved, live: LiveRun, record: RunRecord, listener: Listener
) -> Tracking:
    """Have a server told of a run that begins, while its environment is being made. Raises OSError, StoreError."""
    if uri is None:
        return Tracking(live, store_alone=request.tracking_uri == "")
    if request.policy.offline and not is_of_this_machine(uri):
        shown = shown_uri(uri)
        keep_counterpart(live.store, live.id, Counterpart(shown, record.experiment))
        listener.notice(f"{shown} is not told of the run, without a network: `mlproj sync {live.id[:12]}` does that")
        return Tracking(live, later=shown)
    chosen = request.experiment is not None or resolved.loaded.manifest.tracking.experiment is not None
    experiment_id = None if chosen else os.environ.get("MLFLOW_EXPERIMENT_ID") or None
    return Tracking(
        live,
        open_mirror(uri, live.store.folder, live.id, record.experiment, experiment_id, listener.sending),
    )


def meet_server(tracking: Tracking, record: RunRecord, listener: Listener) -> RunRecord:
    """The run's record with its counterpart on the server, where the server has made one in time."""
    mirror = tracking.mirror
    if mirror is None:
        return record if tracking.later is None else replace(record, tracking=TrackingRecord(tracking.later))
    found = wait_for_counterpart(mirror, _PATIENCE_S)
    if found is None:
        trouble = mirror.trouble or f"{mirror.shown} has not answered yet"
        listener.notice(f"{trouble}; the run goes on, and is sent when the server answers")
        return replace(record, tracking=TrackingRecord(mirror.shown))
    return replace(
        record,
        experiment=found["experiment"],
        tracking=TrackingRecord(mirror.shown, found["experiment_id"], found["run_id"]),
    )


def open_to_clients(
    tracking: Tracking, joined_run: JoinedRun, variables: Mapping[str, str], reach: str | None, listener: Listener
) -> None:
    """Have the clients of a command with these ``variables`` find something to speak to.

    That is the server where the run is on it and can be reached, else a gateway; ``reach`` is the address at which a
    container finds this machine.
    """
    mirror, record = tracking.mirror, joined_run.record
    if mirror is not None:
        met = record.tracking is not None and record.tracking.run_id is not None
        tracking.direct = met and not tracking.cut_off and (reach is None or not is_of_this_machine(mirror.uri))
        if tracking.direct:
            return
    elif uri_of(variables) is not None and not tracking.store_alone and tracking.later is None:
        return
    try:
        tracking.gateway = open_gateway(joined_run, reach)
    except OSError as error:
        listener.notice(f"MLflow clients cannot join this run: {one_line(error.strerror or error)}")


def joining_variables(
    tracking: Tracking, variables: dict[str, str], record: RunRecord, host: str = LOOPBACK
) -> dict[str, str]:
    """``variables`` with what has MLflow's clients join the run."""
    if tracking.direct and tracking.mirror is not None and record.tracking is not None:
        return on_server(
            variables, tracking.mirror.uri, record.tracking.run_id or "", record.tracking.experiment_id or ""
        )
    if tracking.gateway is None:
        return variables
    return joined(variables, tracking.gateway, record.id, id_of(tracking.live.store, record.experiment), host)


def leave(tracking: Tracking, record: RunRecord, *, keeps_experiment: bool) -> RunRecord:
    """The command has ended: answer its clients no more, and bring in what they have told the server."""
    if (gateway := close_to_clients(tracking)) is not None:
        record = replace(record, notices=[*record.notices, *gateway.notices])
        if gateway.experiment and not keeps_experiment:
            record = replace(record, experiment=gateway.experiment)
    if tracking.mirror is not None and tracking.direct:
        settle(tracking.mirror)
    return record


def close_to_clients(tracking: Tracking) -> Gateway | None:
    """Answer no more; gives the gateway when there was one."""
    gateway, tracking.gateway = tracking.gateway, None
    if gateway is not None:
        close_gateway(gateway)
    return gateway


def end_tracking(tracking: Tracking, notice: Callable[[str], None]) -> None:
    """The run is closed: have the server told of all of it. What cannot be sent now is for ``mlproj sync``."""
    if tracking.mirror is None:
        return
    mirror, tracking.mirror = tracking.mirror, None
    try:
        close_mirror(mirror)
    except BaseException:
        end_mirror(mirror)
        notice(f"{mirror.shown} does not have all of the run: `mlproj sync {tracking.live.id[:12]}` sends what is left")
        raise
    if mirror.trouble is not None:
        notice(f"{mirror.trouble}; `mlproj sync {tracking.live.id[:12]}` sends what is left")
        if mirror.hint:
            notice(mirror.hint)
