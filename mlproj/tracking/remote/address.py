"""Which tracking server a run is to be on: what was asked for, made the same from every folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from mlproj.errors import UsageError
from mlproj.runs.record import TrackingRecord
from mlproj.text import is_text, one_line
from mlproj.tracking.gateway.joining import OWN_URI, URI
from mlproj.urls import secrets_of, without_credentials

_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.-]+:")
# URIs of MLflow's that look like names of folders.
_NAMED = ("databricks", "databricks-uc")
_RELATIVE_SQLITE = re.compile(r"(?i)(sqlite:///)(?!/)(?=.)")
_HOST_OF_ITS_OWN = re.compile(r"(?i)https?://(?:[^/@]*@)?(localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0)(?=[:/]|$)")


def uri_of(variables: Mapping[str, str]) -> str | None:
    """The server that environment variables send MLflow's clients to; the gateway of a run around this one is none."""
    uri = variables.get(URI, "")
    return uri if uri and uri != variables.get(OWN_URI) else None


def absolute_uri(text: str, folder: Path) -> str:
    """A tracking URI that means the same from every folder: paths in it are taken from ``folder``.

    Raises ``UsageError`` for what is no URI, and no folder either.
    """
    if text in _NAMED:
        return text
    _refuse_broken(text)
    if not _SCHEME.match(text):
        if "/" not in text and text not in (".", "mlruns") and not (folder / text).is_dir():
            raise UsageError(
                f"the tracking URI `{one_line(text)}` is neither a server's (http://…) nor a folder that is there",
                hint=f"A new folder is written `./{one_line(text)}`.",
            )
        return (folder / text).resolve().as_uri()
    if text.startswith("file:") and not text.startswith("file:/"):
        return (folder / text.removeprefix("file:")).resolve().as_uri()
    if found := _RELATIVE_SQLITE.match(text):
        return f"{found[1]}{(folder / text[found.end() :]).resolve()}"
    return text


def _refuse_broken(text: str) -> None:
    try:
        parts = urlsplit(text)
        broken = not text.strip() or not text.isprintable() or not is_text(text)
        if parts.scheme in ("http", "https"):
            # The port is read only when it is asked for.
            broken = broken or not parts.hostname or " " in text or parts.port == 0
    except ValueError:
        broken = True
    if broken:
        raise UsageError(
            f"the tracking URI `{one_line(without_credentials(text))}` is broken: expected such as "
            "http://mlflow.example:5000, sqlite:///mlflow.db or ./mlruns"
        )


def shown_uri(uri: str) -> str:
    """The URI as it may be shown and recorded."""
    # Taken apart and put together again, some URIs without a host lose a slash.
    return one_line(without_credentials(uri) if secrets_of(uri) else uri)


def credentials_of(uri: str, variables: Mapping[str, str]) -> list[str]:
    """What may not be recorded of how a server knows its users: in its URI, and in MLflow's variables."""
    named = (variables.get(name, "") for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"))
    return [*secrets_of(uri), *(each for each in named if each)]


def is_of_this_machine(uri: str) -> bool:
    """Whether a URI leads somewhere else, or nowhere, from within a container: to loopback, a folder or a file."""
    return not uri.startswith(("http:", "https:", "databricks")) or bool(_HOST_OF_ITS_OWN.match(uri))


def page_of(tracking: TrackingRecord) -> str:
    """Where a run's counterpart is to be looked at: its page, where the server has pages."""
    uri = one_line(tracking.uri)
    if not uri.startswith(("http:", "https:")):
        return f"{uri}  run {one_line(tracking.run_id)}"
    experiment, run = (quote(each or "", safe="") for each in (tracking.experiment_id, tracking.run_id))
    return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
