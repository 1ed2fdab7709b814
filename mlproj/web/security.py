"""Who may come in, and what a page may do in a browser: host names, the token, forged requests, headers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlproj.web.errors import PageError

CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# Of what a run wrote: no script, no request, no form, an origin of its own. Styles of its own are no harm to anybody.
ARTIFACT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; font-src data:; "
    "frame-ancestors 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Access:
    """Who may do what.

    ``token`` is asked for where there is one; ``secret`` is this server's own, of which it makes what pages send back
    with a change; ``hosts`` are the names it answers to, besides the addresses of IP.
    """

    secret: bytes
    hosts: frozenset[str]
    token: str | None = None
    read_only: bool = False


def csrf_token(access: Access) -> str:
    """What a page sends back with a change, to show that it is one of ours."""
    return hmac.new(access.secret, b"csrf", hashlib.sha256).hexdigest()


def _cookie_name(request: Request) -> str:
    # Cookies do not tell ports apart: two servers on one machine would log each other's users out.
    return f"mlproj-ui-{request.url.port or 80}"


def _cookie_value(access: Access) -> str:
    return hmac.new((access.token or "").encode(), b"mlproj ui", hashlib.sha256).hexdigest()


def allowed_host(header: str, hosts: frozenset[str]) -> bool:
    """Whether a ``Host`` header is an address of IP, or a name that the server answers to.

    A page elsewhere can have its own name lead here (DNS rebinding), and then reads what is here as its own; an
    address cannot be led anywhere.
    """
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::\d{1,5})?|([^:\[\]]+)(?::\d{1,5})?", header)
    if match is None:
        return False
    name = (match[1] or match[2]).lower().rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in hosts or name.endswith(".localhost")
    return True


def check_host(request: Request, access: Access) -> None:
    """Raise PageError for a request under a name that is none of the server's."""
    if not allowed_host(request.headers.get("host", ""), access.hosts):
        raise PageError(
            421, "This server does not answer to that name.", "Start it with `--host NAME` for it to do so."
        )


def admitted(request: Request, access: Access) -> bool:
    """Whether a request may read: no token is asked for, or it comes with it, as a cookie or ``Authorization``."""
    if access.token is None:
        return True
    if _bears_token(request, access):
        return True
    given = request.cookies.get(_cookie_name(request), "")
    return hmac.compare_digest(given.encode(), _cookie_value(access).encode())


def _bears_token(request: Request, access: Access) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return (
        access.token is not None
        and kind.lower() == "bearer"
        and hmac.compare_digest(given.strip().encode(), access.token.encode())
    )


def entrance(request: Request, access: Access) -> RedirectResponse | None:
    """For an address with the right token in it: the way to the same address without it, and a cookie instead."""
    given = request.query_params.get("token")
    if access.token is None or given is None or not hmac.compare_digest(given.encode(), access.token.encode()):
        return None
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
    # Two slashes at its beginning would make it the address of another server.
    path = "/" + request.url.path.lstrip("/")
    answer = RedirectResponse(path + (f"?{urlencode(kept)}" if kept else ""), status_code=303)
    answer.set_cookie(
        _cookie_name(request),
        _cookie_value(access),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def check_change(request: Request, access: Access, form: Mapping[str, object]) -> None:
    """Raise PageError unless a request that changes something comes from a page of ours, or from no browser at all."""
    if access.read_only:
        raise PageError(403, "This server was started with `--read-only`.")
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin") or (origin is not None and not _same_origin(request, origin)):
        raise PageError(403, "A page of another site asked for this change.")
    from_program = site is None and origin is None
    if from_program and (_bears_token(request, access) or (access.token is None and _is_json(request))):
        return
    given = str(request.headers.get(CSRF_HEADER) or form.get("csrf") or "")
    if not hmac.compare_digest(given.encode(), csrf_token(access).encode()):
        raise PageError(403, "The page is of an earlier start of the server.", "Reload it and try again.")


def _same_origin(request: Request, origin: str) -> bool:
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


def _is_json(request: Request) -> bool:
    # A form of another page cannot send this type without asking first.
    return request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"


def with_safe_headers(application: ASGIApp) -> ASGIApp:
    """The application with the headers on every answer that say what a page may do; an answer's own stay."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = Headers(raw=message["headers"])
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    if name not in own:
                        headers[name] = value
                if "cache-control" not in own:
                    headers["cache-control"] = "no-store"
            await send(message)

        await application(scope, receive, send_safely)

    return answer
