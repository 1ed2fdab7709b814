"""What MLflow allows in names, values and batches, by the version of the client (``mlflow/utils/validation.py``)."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from mlproj.runs.metric_lines import LONGEST_TEXT
from mlproj.tracking.gateway.call import Call
from mlproj.tracking.gateway.errors import invalid

LONGEST_KEY = 250
_CUTS_OFF = (2, 10)
_MOST = {"metrics": 1000, "params": 100, "tags": 100}
_MOST_IN_ALL = 1000
_PLAIN = re.compile(r"[/\w.\- ]*")
_WITH_COLON = re.compile(r"[/\w.\- :]*")


@lru_cache(maxsize=4096)
def check_key(what: str, key: str, client: tuple[int, int]) -> None:
    """Raise the client's own error for a name that no metric, parameter or tag can have."""
    newer = client >= (2, 16)
    if not (_WITH_COLON if newer else _PLAIN).fullmatch(key):
        colons = ", colons(:)" if newer else ""
        raise invalid(
            f"Invalid {what} name: '{key}'. Names may only contain alphanumerics, underscores (_), dashes (-), "
            f"periods (.), spaces ( ){colons} and slashes (/)."
        )
    resolved = posixpath.normpath(key)
    if resolved != key or resolved == "." or resolved.startswith(("..", "/")):
        raise invalid(
            f"Invalid {what} name: '{key}'. Names may be treated as files in certain cases, and must not resolve to "
            f"other names when treated as such. This name would resolve to '{resolved}'"
        )
    check_length(f"{what} name", key, LONGEST_KEY)


def check_param(key: str, value: str, client: tuple[int, int]) -> None:
    """Raise the client's own error for a parameter that cannot be."""
    check_key("parameter", key, client)
    check_length(f"Param value for '{key}'", value, 500 if client < (2, 0) else _longest(6000, client))


def check_tag(key: str, value: str, client: tuple[int, int]) -> None:
    """Raise the client's own error for a tag that cannot be."""
    check_key("tag", key, client)
    check_length(f"Tag value for '{key}'", value, _longest(5000, client))


def _longest(limit: int, client: tuple[int, int]) -> int:
    # Where newer clients and their servers cut a value off, it is kept whole.
    return limit if client < _CUTS_OFF else LONGEST_TEXT


def check_length(what: str, text: str, longest: int) -> None:
    """Raise an error that says what is too long and by how much."""
    if len(text) > longest:
        raise invalid(f"{what} had length {len(text)}, which exceeded length limit of {longest}")


def check_batch(call: Call) -> None:
    """Raise MLflow's error for a batch of too much."""
    counts = {name: len(each) for name in _MOST if isinstance(each := call.fields.get(name) or [], list)}
    for name, most in _MOST.items():
        if counts.get(name, 0) > most:
            raise invalid(
                f"A batch logging request can contain at most {most} {name}. Got {counts[name]} {name}. "
                f"Please split up {name} across multiple requests and try again."
            )
    if sum(counts.values()) > _MOST_IN_ALL:
        raise invalid(
            f"A batch logging request can contain at most {_MOST_IN_ALL} metrics, params, and tags. "
            f"Got {sum(counts.values())}. Please split up across multiple requests and try again."
        )
