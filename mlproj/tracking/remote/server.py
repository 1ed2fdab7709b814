"""A tracking server as MLflow's own client speaks to it, and what its errors mean."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlproj.errors import MlprojError
from mlproj.text import one_line
from mlproj.tracking.remote.address import credentials_of, shown_uri

MISSING = "`pip install 'mlproj[mlflow]'` where mlproj is installed has MLflow's client"
_LONGEST_MESSAGE = 300
# The server is asked again later, by the next push or by `mlproj sync`: waiting for minutes would be waited for.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
# What the caller's variables say of another run is not to be taken up here, and nothing is told to others.
_NOT_OURS = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_CONTEXT")
_QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# Folders such as `mlruns` are what many have, whatever MLflow thinks of them by now.
_ALLOWED = {"MLFLOW_ALLOW_FILE_STORE": "true"}
# MLflow's answers that are about what was asked: the same, asked again, is answered the same.
_REFUSALS = frozenset(
    ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE",
     "NOT_IMPLEMENTED", "ENDPOINT_NOT_FOUND")
)  # fmt: skip


class ServerError(MlprojError):
    """A tracking server could not be reached, or did not do what it was asked.

    ``refusal`` is MLflow's code when the answer is about what was asked, and would be the same again; ``status``
    is that of the HTTP answer, where it is known.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, refusal: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.refusal = refusal
        self.status = status


@dataclass(frozen=True)
class Server:
    """A tracking server or store; ``client`` is MLflow's ``MlflowClient``."""

    uri: str
    client: Any

    @property
    def shown(self) -> str:
        """Its URI as it may be shown and recorded."""
        return shown_uri(self.uri)


def is_installed() -> bool:
    """Whether MLflow's client is there to be imported."""
    from importlib.util import find_spec

    return find_spec("mlflow") is not None


def connect(uri: str) -> Server:
    """MLflow's client of a tracking URI. Nothing is asked of the server yet.

    MLflow reads its variables from the environment of this process, which is set here for good. Raises
    ``MlprojError`` when MLflow is not installed, ``ServerError`` when it knows no such URI.
    """
    for name in _NOT_OURS:
        os.environ.pop(name, None)
    for name, value in {**_PATIENCE, **_QUIET, **_ALLOWED}.items():
        os.environ.setdefault(name, value)
    # Where artifacts are is looked up by this, whatever the client was given.
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise MlprojError(
            "MLflow's client is not installed, and tracking servers are spoken to by it", hint=MISSING
        ) from None
    with asked(uri):
        return Server(uri, MlflowClient(tracking_uri=uri))


@contextmanager
def asked(uri: str) -> Iterator[None]:
    """Whatever a server, or MLflow's client, comes up with in the block, as a ``ServerError`` without credentials."""
    try:
        yield
    except MlprojError:
        raise
    except ImportError as error:
        name = one_line(error.name or error)
        hint = f"`pip install mlflow` where mlproj is installed has what this kind of server needs ({name})."
        raise ServerError(f"{shown_uri(uri)}: MLflow's client lacks `{name}`", hint=hint) from None
    except Exception as error:  # MLflow raises whatever its libraries raise
        code = getattr(error, "error_code", None)
        status = _http_status(str(error))
        refused = code in _REFUSALS and status not in (401, 403, 404, 408, 429) and (status or 0) < 500
        message = f"{shown_uri(uri)}: {_message(error, uri)}"
        refusal = code if refused else None
        raise ServerError(message, hint=_hint(status, str(error)), refusal=refusal, status=status) from error


def all_of(server: Server, ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """What a search finds, page after page; ``ask`` is handed the token of the next one. Raises ServerError."""
    token = None
    while True:
        with asked(server.uri):
            page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _http_status(text: str) -> int | None:
    found = re.search(r"error code (\d{3})|\b(\d{3}) Client Error|\b(\d{3}) Server Error|too many (\d{3}) error", text)
    return int(next(each for each in found.groups() if each)) if found else None


def _hint(status: int | None, text: str) -> str | None:
    if "unsupported URI" in text:
        return "Databases need MLflow's full package: `pip install mlflow` where mlproj is installed."
    if status in (401, 403):
        return (
            "MLflow's own variables say who you are: MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    return None


def _message(error: Exception, uri: str) -> str:
    text = str(error) or type(error).__name__
    for secret in credentials_of(uri, os.environ):
        text = text.replace(secret, "***")
    text = re.sub(r"//[^/\s@]*@", "//", one_line(text))
    # What urllib3 says is nested: the last cause is what people read.
    if found := re.search(r"Caused by \w+\((.*)\)\)", text):
        text = str(found[1]).strip("'\"")
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
