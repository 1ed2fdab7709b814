"""The gateway as a web application: who may come in, which function answers, and how errors look."""

from __future__ import annotations

import errno
import hmac
import json
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlproj.errors import MlprojError
from mlproj.files import write_atomically
from mlproj.runs.metric_lines import Mask
from mlproj.text import one_line
from mlproj.tracking.gateway import (
    artifact_calls,
    experiment_calls,
    logging_calls,
    model_calls,
    registry_calls,
    run_calls,
    trace_calls,
)
from mlproj.tracking.gateway.call import Call, client_version
from mlproj.tracking.gateway.errors import MlflowError
from mlproj.tracking.gateway.messages import number_message
from mlproj.tracking.gateway.session import Session

CALLS = {
    **run_calls.CALLS,
    **logging_calls.CALLS,
    **experiment_calls.CALLS,
    **artifact_calls.CALLS,
    **model_calls.CALLS,
    **registry_calls.CALLS,
    **trace_calls.CALLS,
}
# Clients of 1.x know some calls as previews.
_MOUNTS = ("api/{version}/mlflow", "api/{version}/preview/mlflow", "ajax-api/{version}/mlflow")
# By these clients find out what more a server has to offer; without an answer they ask for nothing more.
_PROBES = ("version", "api/3.0/mlflow/server-info")
_LARGEST_BODY = 64 << 20
_INSUFFICIENT_STORAGE = 507
_CRASH_FILE = "gateway-crash.txt"
_MOST_NOTICES = 20
_NEVER_KEPT = re.compile(
    r"(?!user_)\w*_ids?|.*_uuid|.*_token|step|.*timestamp.*|version|status|.*_type|filter.*|order_by|experiment_name|etag"
)
_Endpoint = Callable[[Session, Request], Awaitable[Response]]


def application(session: Session, token: str, hosts: frozenset[str]) -> ASGIApp:
    """The application for a session. Its addresses begin with ``token``; ``hosts`` are the names it answers to."""
    # A call without parameters in its address is looked up: finding its route takes longer than answering it.
    exact: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {}

    def guarded(endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if not hmac.compare_digest(request.path_params["token"].encode(errors="replace"), token.encode()):
                return _failure(MlflowError("PERMISSION_DENIED", "The address lacks the token of this run."))
            # A page that a browser is lured to could reach loopback under a name of its own (DNS rebinding).
            if request.headers.get("host", "").rpartition(":")[0] not in hosts:
                return _failure(MlflowError("PERMISSION_DENIED", "The gateway does not answer to this host name."))
            try:
                return await endpoint(session, request)
            except MlflowError as error:
                return _failure(error)
            except ClientDisconnect:
                return Response(status_code=400)
            except MlprojError as error:
                return _failure(MlflowError("INTERNAL_ERROR", error.message))
            except OSError as error:
                status = _INSUFFICIENT_STORAGE if error.errno in (errno.ENOSPC, errno.EDQUOT) else 400
                return _failure(MlflowError("INTERNAL_ERROR", one_line(error.strerror or error)), status)
            except Exception:
                return _crashed(session, request)

        return answer

    artifacts = "/{token}/{api:path}/mlflow-artifacts"
    routes = [
        Route("/{token}/", guarded(_greeting), methods=["GET"]),
        Route("/{token}/health", guarded(_health), methods=["GET"]),
        Route(artifacts + "/artifacts", guarded(_list), methods=["GET"]),
        Route(artifacts + "/artifacts/{path:path}", guarded(_receive), methods=["PUT"]),
        Route(artifacts + "/artifacts/{path:path}", guarded(_fetch), methods=["GET", "HEAD"]),
        Route(artifacts + "/artifacts/{path:path}", guarded(_remove), methods=["DELETE"]),
        Route(artifacts + "/mpu/{step}/{path:path}", guarded(_parts), methods=["POST"]),
        Route("/{token}/parts/{upload}/{number:int}", guarded(_receive_part), methods=["PUT"]),
    ]
    for (method, path), function in CALLS.items():
        answering = guarded(_answering(function))
        routes += [Route(f"/{{token}}/{mount}/{path}", answering, methods=[method]) for mount in _MOUNTS]
        exact[method, f"api/2.0/mlflow/{path}"] = answering
    routes.append(Route("/{token}/{rest:path}", guarded(_unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))
    routed = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        _, _, address = scope["path"].partition("/")
        given, _, rest = address.partition("/")
        answering = exact.get((scope["method"], rest))
        if answering is None:
            await routed(scope, receive, send)
            return
        scope["path_params"] = {"token": given}
        response = await answering(Request(scope, receive))
        await response(scope, receive, send)

    return dispatch


def _answering(function: Callable[[Any, Call], Any]) -> _Endpoint:
    async def answer(session: Session, request: Request) -> Response:
        named = {name: value for name, value in request.path_params.items() if name not in ("token", "version")}
        call = await _call(request)
        return _json(function(session, replace(call, fields=_masked({**call.fields, **named}, session.mask))))

    return answer


def _masked(fields: dict[str, Any], mask: Mask | None) -> dict[str, Any]:
    """A call's fields with secrets masked in what might be kept; not in ids, times and filters."""
    if mask is None:
        return fields
    return {
        name: value if _NEVER_KEPT.fullmatch(name) else _masked_value(value, mask) for name, value in fields.items()
    }


def _masked_value(value: Any, mask: Mask) -> Any:
    if isinstance(value, dict):
        return _masked(value, mask)
    if isinstance(value, list):
        return [_masked_value(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


async def _call(request: Request) -> Call:
    fields: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        fields[name.removesuffix("[]")] = values[0] if len(values) == 1 else values
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise MlflowError("BAD_REQUEST", f"A request of more than {_LARGEST_BODY >> 20} MB is not read.")
    if body:
        try:
            # Large bodies are lists of metrics, in which Python's own NaN may stand.
            sent = json.loads(body)
        except (ValueError, RecursionError):
            raise MlflowError("BAD_REQUEST", "The request's body is not JSON.") from None
        if not isinstance(sent, dict):
            raise MlflowError("BAD_REQUEST", "The request's body is not a JSON object.")
        fields |= sent
    return Call(fields, client_version(request.headers.get("user-agent", "")))


async def _greeting(session: Session, _: Request) -> Response:
    text = f"The gateway of run {session.own}: `mlproj show {session.own[:12]}` shows it.\n"
    return Response(text, media_type="text/plain")


async def _health(_: Session, __: Request) -> Response:
    return Response("OK")


async def _list(session: Session, request: Request) -> Response:
    return _json(artifact_calls.list_of_proxy(session, await _call(request)))


async def _receive(session: Session, request: Request) -> Response:
    await artifact_calls.receive(session, request.path_params["path"], request.stream())
    return _json({})


async def _fetch(session: Session, request: Request) -> Response:
    size, chunks = artifact_calls.fetch(session, request.path_params["path"])
    headers = {
        "content-length": str(size),
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(_stream(chunks), headers=headers, media_type="application/octet-stream")


async def _stream(chunks: Any) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _remove(session: Session, request: Request) -> Response:
    artifact_calls.remove(session, request.path_params["path"])
    return _json({})


async def _parts(session: Session, request: Request) -> Response:
    step, path, call = request.path_params["step"], request.path_params["path"], await _call(request)
    if step == "create":
        base = str(request.base_url).rstrip("/") + "/" + request.path_params["token"]
        return _json(artifact_calls.begin_parts(session, _full_path(path, call), call, base))
    if step == "complete":
        artifact_calls.complete_parts(session, _full_path(path, call), call)
    elif step == "abort":
        artifact_calls.abort_parts(session, call)
    else:
        return await _unknown(session, request)
    return _json({})


def _full_path(folder: str, call: Call) -> str:
    # The address names the folder, the body the file as the client has it: its last part is the file's name.
    return f"{folder}/{call.text('path').rpartition('/')[2]}"


async def _receive_part(session: Session, request: Request) -> Response:
    parts = request.path_params
    tag = await artifact_calls.receive_part(session, parts["upload"], parts["number"], request.stream())
    return Response(headers={"etag": tag})


async def _unknown(session: Session, request: Request) -> Response:
    path = one_line("/" + request.path_params["rest"])
    if request.path_params["rest"] not in _PROBES and len(session.notices) < _MOST_NOTICES:
        session.notices[f"an MLflow client called {request.method} {path[:200]}, which mlproj does not answer"] = None
    raise MlflowError("ENDPOINT_NOT_FOUND", f"mlproj does not answer {request.method} {path}.")


async def _not_found(request: Request, _: Exception) -> Response:
    return _failure(MlflowError("ENDPOINT_NOT_FOUND", f"mlproj does not answer {request.method} of this address."))


def _json(answer: Any, status: int = 200) -> Response:
    try:
        content = json.dumps(answer, allow_nan=False)
    except ValueError:
        content = json.dumps(_numbers(answer))
    return Response(content, status, media_type="application/json")


def _numbers(value: Any) -> Any:
    if isinstance(value, float):
        return number_message(value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list) else value


def _failure(error: MlflowError, status: int | None = None) -> Response:
    return _json({"error_code": error.code, "message": error.message}, status or error.status)


def _crashed(session: Session, request: Request) -> Response:
    own = session.open_runs[session.own].files
    write_atomically(own.folder / _CRASH_FILE, traceback.format_exc())
    session.notices[f"mlproj failed to answer an MLflow client; what happened is in {own.folder / _CRASH_FILE}"] = None
    return _failure(MlflowError("INTERNAL_ERROR", f"mlproj itself failed to answer {request.method} of this address."))
