"""The web application: its addresses, who may come in, and how errors look."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mlproj.errors import MlprojError
from mlproj.files import write_atomically
from mlproj.web.calls import CALLS, Call, answered
from mlproj.web.changes import change_by_form
from mlproj.web.compare_page import compare_page
from mlproj.web.errors import PageError, status_of
from mlproj.web.openapi import document
from mlproj.web.pages import STATIC, page
from mlproj.web.run_page import artifact_file, artifacts_zip, go_to_run, own_file, run_page
from mlproj.web.security import admitted, check_host, entrance, with_safe_headers
from mlproj.web.stores import Site
from mlproj.web.table_page import runs_page

_LARGEST_FORM = 1 << 20
_MOST_FIELDS = 5000
_CRASH_FILE = "ui-crash.txt"
_TITLES = {
    400: "This cannot be", 401: "A token is asked for", 403: "Not allowed", 404: "Not found", 405: "Not allowed",
    421: "Another name", 503: "The store cannot be read",
}  # fmt: skip
Page = Callable[[Site, Request], Response]


def application(site: Site) -> ASGIApp:
    """The application over a store."""
    routes: list[BaseRoute] = [
        Route("/", _page(site, runs_page)),
        Route("/go", _page(site, go_to_run)),
        Route("/compare", _page(site, compare_page)),
        Route("/runs/{run}", _page(site, run_page)),
        Route("/runs/{run}/artifacts.zip", _page(site, artifacts_zip)),
        Route("/runs/{run}/artifacts/{path:path}", _page(site, artifact_file)),
        Route("/runs/{run}/own/{name}", _page(site, own_file)),
        Route("/runs/{run}/{tab}", _page(site, run_page)),
        Route("/changes/{what}", _form(site), methods=["POST"]),
        Route("/api/openapi.json", _page(site, _openapi)),
        *(Route(call.path, _call(site, call), methods=[call.method]) for call in CALLS),
        Mount("/static", _Assets(directory=STATIC)),
    ]

    async def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        message = {404: "There is no such page.", 405: "This cannot be asked for in that way."}.get(status, str(error))
        return _failure(site, request, PageError(status, message))

    handlers: dict[object, object] = {HTTPException: http_error}
    return with_safe_headers(Starlette(routes=routes, exception_handlers=handlers))  # type: ignore[arg-type]


class _Assets(StaticFiles):
    """Our own files: a browser asks each time whether they are still the same, which an upgrade changes."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        response = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        response.headers["cache-control"] = "no-cache"
        return response


def _page(site: Site, function: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await _guarded(site, request, lambda: run_in_threadpool(function, site, request))

    return answer


def _form(site: Site) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        async def changed() -> Response:
            _check_length(request)
            text = (await request.body()).decode("utf-8", "replace")
            try:
                fields = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
            except ValueError:
                raise PageError(413, "That is more than is taken here.") from None
            return await run_in_threadpool(change_by_form, site, request, fields)

        return await _guarded(site, request, changed)

    return answer


def _call(site: Site, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        async def called() -> Response:
            if call.method != "GET":
                _check_length(request)
            body = await request.body() if call.method != "GET" else b""
            return await run_in_threadpool(answered, site, call, request, body)

        return await _guarded(site, request, called)

    return answer


def _check_length(request: Request) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > _LARGEST_FORM:
        raise PageError(413, "That is more than is taken here.")


async def _guarded(site: Site, request: Request, action: Callable[[], Awaitable[Response]]) -> Response:
    try:
        check_host(request, site.access)
        inside = entrance(request, site.access)
        if inside is not None:
            return inside
        if not admitted(request, site.access):
            hint = "Open the address that `mlproj ui` has printed: it has the token in it."
            raise PageError(401, "This server asks for its token.", hint)
        return await action()
    except MlprojError as error:
        return _failure(site, request, error)
    except HTTPException as error:
        return _failure(site, request, PageError(error.status_code, str(error.detail)))
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception:
        return _failure(site, request, _crash(site))


def _crash(site: Site) -> PageError:
    try:
        write_atomically(site.folder / _CRASH_FILE, traceback.format_exc())
    except OSError:
        return PageError(500, "This is a fault of mlproj.")
    return PageError(500, "This is a fault of mlproj.", f"What happened is in {site.folder / _CRASH_FILE}.")


def _failure(site: Site, request: Request, error: MlprojError) -> Response:
    status = status_of(error)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": error.message, "hint": error.hint}, status_code=status)
    title = _TITLES.get(status, "Something went wrong")
    # Whoever may not come in gets nothing by which a change could be made.
    return page(site, "error.html", status=status, title=title, message=error.message, hint=error.hint, csrf="")


def _openapi(_site: Site, _request: Request) -> Response:
    return JSONResponse(document())
