"""The environment variables by which MLflow's clients find the run that they are in."""

from __future__ import annotations

from collections.abc import Mapping

from mlproj.tracking.gateway.listener import LOOPBACK, Gateway, address_of

URI = "MLFLOW_TRACKING_URI"
# What that is when it is a gateway's, so that a run within the run can tell.
_OWN = "MLPROJ_GATEWAY"
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_PAST_PROXIES = ("no_proxy", "NO_PROXY")


def joins_here(variables: Mapping[str, str]) -> bool:
    """Whether clients are to be answered by mlproj: not when they have been sent to a server of their own.

    The address of another run's gateway, this one having been started within it, is none.
    """
    return variables.get(URI, "") in ("", variables.get(_OWN))


def joined(
    variables: Mapping[str, str], gateway: Gateway, run_id: str, experiment: str, host: str = LOOPBACK
) -> dict[str, str]:
    """``variables`` with what has MLflow's clients join a run, of the experiment with this id."""
    found = dict(variables)
    # Two names of the experiment that differ are an error to them.
    found.pop("MLFLOW_EXPERIMENT_NAME", None)
    found |= {
        URI: address_of(gateway, host),
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_EXPERIMENT_ID": experiment,
    }
    found[_OWN] = found[URI]
    # The page that clients would point to is none of the gateway's.
    found.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if any(found.get(name) for name in _PROXIES):
        # Programs read one or the other.
        past = [each for name in _PAST_PROXIES for each in found.get(name, "").split(",") if each]
        found |= dict.fromkeys(_PAST_PROXIES, ",".join(dict.fromkeys([*past, host])))
    return found
