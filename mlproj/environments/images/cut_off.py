"""The network of hermetic containers: from it nothing is reached but this machine, and no other container."""

from __future__ import annotations

import re
from typing import Any

from mlproj.environments.images.engine import Engine, engine_errors_but_refusals, explanation
from mlproj.errors import EnvironmentBuildError

# One for all: engines have addresses for some thirty networks, and one that a killed run left would be lost to them.
NETWORK = "mlproj-cut-off"
_APART = {"com.docker.network.bridge.enable_icc": "false"}


def address_in_cut_off_network(engine: Engine) -> str | None:
    """The address of this machine in the network, which is made where the engine has it not.

    Raises ``EnvironmentBuildError`` when it cannot be made, or when there is another one of its name.
    """
    from docker.errors import APIError

    try:
        with engine_errors_but_refusals(engine.address):
            network = _network(engine) or _made(engine)
    except APIError as error:
        raise EnvironmentBuildError(
            f"the engine has no network that is cut off: {explanation(error)}",
            hint="`--no-hermetic` runs in the network that the manifest names.",
        ) from None
    if not network.get("Internal"):
        raise EnvironmentBuildError(
            f"the engine's network `{NETWORK}` is not cut off, so it is none of mlproj's",
            hint=f"`docker network rm {NETWORK}` removes it.",
        )
    addresses = [str(each.get("Gateway", "")).partition("/")[0] for each in network["IPAM"]["Config"] or []]
    return next((each for each in addresses if re.fullmatch(r"[0-9.]+", each)), None)


def _network(engine: Engine) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = engine.client.inspect_network(NETWORK)
    except NotFound:
        return None
    return found


def _made(engine: Engine) -> dict[str, Any]:
    from docker.errors import APIError

    try:
        engine.client.create_network(NETWORK, "bridge", options=_APART, internal=True, check_duplicate=True)
    except APIError:
        # Another mlproj may have made it in between.
        if (found := _network(engine)) is not None:
            return found
        raise
    made: dict[str, Any] = engine.client.inspect_network(NETWORK)
    return made
