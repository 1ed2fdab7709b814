"""The environment variables by which MLflow's clients find the run that they are in."""

from __future__ import annotations

from collections.abc import Mapping

from mlproj.tracking.gateway.listener import LOOPBACK, Gateway, address_of

URI = "MLFLOW_TRACKING_URI"
# What that is when it is a gateway's, so that a run within the run takes it for no server.
OWN_URI = "MLPROJ_GATEWAY"
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_PAST_PROXIES = ("no_proxy", "NO_PROXY")


def on_server(variables: Mapping[str, str], uri: str, run_id: str, experiment: str) -> dict[str, str]:
    """``variables`` with what has MLflow's clients join a run of the server at ``uri``, by the ids it has there."""
    found = dict(variables)
    # Two names of the experiment that differ are an error to them.
    found.pop("MLFLOW_EXPERIMENT_NAME", None)
    return {**found, URI: uri, "MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": experiment}


def joined(
    variables: Mapping[str, str], gateway: Gateway, run_id: str, experiment: str, host: str = LOOPBACK
) -> dict[str, str]:
    """``variables`` with what has MLflow's clients join a run, of the experiment with this id."""
    found = on_server(variables, address_of(gateway, host), run_id, experiment)
    found[OWN_URI] = found[URI]
    # The page that clients would point to is none of the gateway's.
    found.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if any(found.get(name) for name in _PROXIES):
        # Programs read one or the other.
        past = [each for name in _PAST_PROXIES for each in found.get(name, "").split(",") if each]
        found |= dict.fromkeys(_PAST_PROXIES, ",".join(dict.fromkeys([*past, host])))
    return found
